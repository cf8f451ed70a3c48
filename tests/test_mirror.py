"""Tests mirror the tree: a module's tests are where its path says, or a line below says where it is tested instead."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGES = ("schemas", "trainer", "evaluator", "serving", "studies")
_IN_A_CELL = "tests/evaluator/sandbox/test_attacks.py: it runs as a process of the sandbox's container and only there"
_OF_THE_ENGINE = (
    "tests/evaluator/sandbox/test_runner.py: it drives a container engine, with every program that is judged"
)
ELSEWHERE = {
    "evaluator/sandbox/cell/child.py": _IN_A_CELL,
    "evaluator/sandbox/cell/confinement.py": _IN_A_CELL,
    "evaluator/sandbox/cell/judge.py": _IN_A_CELL,
    "evaluator/sandbox/cell/namespaces.py": _IN_A_CELL,
    "evaluator/sandbox/cell/nursery.py": _IN_A_CELL,
    "evaluator/sandbox/cell/program.py": _IN_A_CELL,
    "evaluator/sandbox/cell/start.py": _IN_A_CELL,
    "evaluator/sandbox/cell/supervisor.py": _IN_A_CELL,
    "evaluator/sandbox/cell/syscalls.py": _IN_A_CELL,
    "evaluator/sandbox/cell/remote.py": "tests/evaluator/sandbox/cell/test_peer.py: a stand-in is nothing without its peer",
    "evaluator/sandbox/cells.py": _OF_THE_ENGINE,
    "evaluator/sandbox/docker_cells.py": _OF_THE_ENGINE,
    "evaluator/sandbox/docker_stream.py": _OF_THE_ENGINE,
    "evaluator/sandbox/judging.py": _OF_THE_ENGINE,
}


def mirrored(module: Path) -> Path:
    return Path("tests") / module.parent / f"test_{module.stem.strip('_')}.py"


def modules() -> list[Path]:
    paths = (path.relative_to(ROOT) for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
    return sorted(path for path in paths if path.name != "__init__.py")


def test_every_module_has_a_test_file_of_its_name():
    bare = [str(module) for module in modules() if not (ROOT / mirrored(module)).is_file()]
    assert sorted(set(bare) - set(ELSEWHERE)) == []


def test_the_exceptions_are_few_true_and_tested_where_they_say():
    assert len(ELSEWHERE) <= 15
    for module, where in ELSEWHERE.items():
        assert (ROOT / module).is_file(), module
        assert not (ROOT / mirrored(Path(module))).is_file(), f"{module} has a test file now"
        named = where.split()[0].rstrip(":,;")
        assert (ROOT / named).exists(), f"{module}: {named}"
