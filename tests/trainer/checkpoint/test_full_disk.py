"""Runs on file systems of a few hundred kilobytes (a tmpfs; needs the right to mount one)."""

from __future__ import annotations

import errno
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from schemas.adapter_reader import read_adapter
from schemas.errors import UserError
from schemas.run_directory import RunDirectory
from trainer.checkpoint.checkpoint import newest_checkpoint


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    directory = tmp_path / "disk"
    directory.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", directory], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"no right to mount a file system here: {mounted.stderr.strip()}")
    yield directory
    subprocess.run(["umount", directory], check=True)


def resize(disk: Path, kilobytes: int) -> None:
    subprocess.run(["mount", "-o", f"remount,size={kilobytes}k", disk], check=True)


def disk_full(command: Callable[[], object]) -> str | None:
    """The file that a command ran out of space at; None where it did not."""
    try:
        command()
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        return str(error.filename)
    return None


def test_a_disk_that_fills_up_anywhere_leaves_only_whole_artifacts_and_a_run_that_resumes(
    disk: Path,
    tiny_base: Path,
    records: list[dict[str, str]],
    training_runs: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        "trainer.plan.hardware.free_disk", lambda directory: 2**40
    )  # else the run would rightly be refused
    config = training_runs.make_config(
        disk, tiny_base, records[:20], training__max_steps=4, training__save_every=1, method="echo_dora"
    )
    run = RunDirectory(disk / "runs" / "run")
    stages = set()
    for kilobytes in range(40, 2000, 60):
        resize(disk, kilobytes)
        full = disk_full(lambda: training_runs.run(config))
        if full is None:
            break
        stages.add(Path(full).name)
        assert not run.adapter.exists()
        assert newest_checkpoint(run.checkpoints)[1] == []
    read_adapter(run.adapter)
    assert {"adapter.safetensors", "optimizer.safetensors"} & stages
    resize(disk, 4000)
    wanted = training_runs.adapter_sha256(run)
    assert training_runs.adapter_sha256(training_runs.run(config, overwrite=True)) == wanted


def test_a_read_only_disk_is_refused_before_training_and_a_finished_run_on_it_is_complete(
    disk: Path, tiny_base: Path, records: list[dict[str, str]], training_runs: ModuleType
) -> None:
    resize(disk, 4000)
    config = training_runs.make_config(disk, tiny_base, records[:20], training__max_steps=2)
    other = training_runs.make_config(disk, tiny_base, records[:20], training__max_steps=2, name="other")
    training_runs.run(config)
    (disk / "runs" / "other").mkdir()
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    training_runs.run(config)
    with pytest.raises(UserError, match="cannot be written"):
        training_runs.run(other)
    new = other.model_copy(update={"name": "new"})
    with pytest.raises(UserError, match="cannot be made"):
        training_runs.run(new)
