"""The trainer starts only where it would replace nothing but its own."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from schemas.errors import UserError
from schemas.run_directory import RunDirectory
from trainer.checkpoint.own_files import refuse_foreign, remove_checkpoints, remove_leftovers


@pytest.fixture(scope="module")
def finished(
    tmp_path_factory: pytest.TempPathFactory,
    tiny_base: Path,
    records: list[dict[str, str]],
    training_runs: ModuleType,
) -> RunDirectory:
    config = training_runs.make_config(tmp_path_factory.mktemp("finished"), tiny_base, records[:20])
    run: RunDirectory = training_runs.run(config)
    return run


@pytest.fixture
def run(finished: RunDirectory, tmp_path: Path) -> RunDirectory:
    """A copy of a finished run."""
    return RunDirectory(Path(shutil.copytree(finished.root, tmp_path / "run")))


def a_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def only_peft_files(path: Path) -> None:
    (path / "manifest.json").unlink()
    (path / "README.md").unlink()


FOREIGN: list[tuple[str, Callable[[Path], object], str]] = [
    ("config.yaml", lambda p: p.write_text("model: mine\n"), "is no training config"),
    ("config.yaml", lambda p: p.write_text("# mine\n" + "\n".join(p.read_text().splitlines()[1:])), "by hand"),
    ("config.yaml", a_directory, "is no file"),
    ("metrics.jsonl", a_directory, "is no file"),
    ("metrics.jsonl", lambda p: p.write_text("time,loss\n"), "holds other lines"),
    ("metrics.jsonl", lambda p: p.write_text("[" * 5000), "holds other lines"),
    ("adapter", lambda p: (p / ".gitattributes").write_text("x"), "did not write: .gitattributes"),
    ("adapter", only_peft_files, "has no manifest"),
    ("checkpoints", lambda p: (p / "step-00000006" / "notes.md").write_text("x"), "step-00000006/notes.md"),
    ("checkpoints", lambda p: (p / "step-00000007").write_text("x"), "is no directory"),
]


@pytest.mark.parametrize(("name", "spoil", "reason"), FOREIGN)
@pytest.mark.parametrize("overwrite", [False, True])
def test_what_the_trainer_did_not_write_is_refused_by_name(
    run: RunDirectory, name: str, spoil: Callable[[Path], object], reason: str, overwrite: bool
) -> None:
    spoil(run.root / name)
    with pytest.raises(UserError, match=reason) as raised:
        refuse_foreign(run, overwrite=overwrite)
    assert str(raised.value.where).endswith(name)


def test_its_own_files_and_other_peoples_beside_them_are_welcome(run: RunDirectory) -> None:
    for name in (".git", "slurm.log", "evaluation"):
        (run.root / name).mkdir()
    refuse_foreign(run, overwrite=True)
    refuse_foreign(run, overwrite=False)


def test_leftovers_of_a_kill_go_and_what_only_looks_like_them_stays(run: RunDirectory) -> None:
    gone = [".adapter.staged/manifest.json", "checkpoints/.staged-step-00000008/adapter.safetensors"]
    gone += [".config.yaml.staged-ab_12xyz", "checkpoints/.removed-step-00000002/checkpoint.json"]
    stay = [".git/HEAD", ".adapter.staged.bak/x", "checkpoints/.mine", ".config.yaml.original", ".adapter.staged/mine"]
    for name in gone + stay:
        (run.root / name).parent.mkdir(parents=True, exist_ok=True)
        (run.root / name).write_text("x")
    remove_leftovers(run)
    assert [name for name in gone + stay if (run.root / name).exists()] == stay


def test_removing_checkpoints_spares_what_else_lies_among_them(run: RunDirectory) -> None:
    (run.checkpoints / "checkpoint-500").mkdir()
    (run.checkpoints / "step-00000006" / "mine").write_text("x")
    remove_checkpoints(run.checkpoints)
    left = sorted(str(path.relative_to(run.checkpoints)) for path in run.checkpoints.rglob("*"))
    assert left == ["checkpoint-500", "step-00000006", "step-00000006/mine"]
