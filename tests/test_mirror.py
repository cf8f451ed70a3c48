"""Tests mirror the tree: a module's tests are where its path says, or a line below says where it is tested instead."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGES = ("schemas", "trainer", "evaluator", "serving", "studies")
ELSEWHERE: dict[str, str] = {}


def test_file_of(module: Path) -> Path:
    return Path("tests") / module.parent / f"test_{module.stem.strip('_')}.py"


def modules() -> list[Path]:
    paths = (path.relative_to(ROOT) for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
    return sorted(path for path in paths if path.name != "__init__.py")


def test_every_module_has_a_test_file_of_its_name():
    bare = [str(module) for module in modules() if not (ROOT / test_file_of(module)).is_file()]
    assert sorted(set(bare) - set(ELSEWHERE)) == []


def test_the_exceptions_are_few_true_and_tested_where_they_say():
    assert len(ELSEWHERE) <= 15
    for module, where in ELSEWHERE.items():
        assert (ROOT / module).is_file(), module
        assert not (ROOT / test_file_of(Path(module))).is_file(), f"{module} has a test file now"
        named = where.split()[0].rstrip(":,;")
        assert (ROOT / named).exists(), f"{module}: {named}"
