"""Copies of adapters under the hash of their manifest.

vLLM's prefix cache keys on an adapter's name and path, not on its content, so a replaced file would reuse stale keys
and values. A path that is a hash cannot hold anything else; and what vLLM opens is what was hashed.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from schemas.adapter_reader import VerifiedAdapter
from schemas.document import sha256_of, sync_directory
from schemas.errors import UserError
from schemas.run_directory import ADAPTER_FILES


def store_adapter(adapter: VerifiedAdapter, cache: Path) -> Path:
    """Copies the adapter to `cache/adapters/<manifest hash>` and hashes what arrived.

    Raises:
        UserError: the files changed while they were copied, or the stored copy is not what it was.
    """
    target = cache / "adapters" / adapter.manifest_sha256

    def copy(staged: Path) -> None:
        for name in ADAPTER_FILES:
            shutil.copyfile(adapter.directory / name, staged / name)
            os.chmod(staged / name, 0o444)
        if changed := changed_files(adapter, staged):
            raise UserError(
                f"{', '.join(changed)} changed while {adapter.manifest.name} was verified", where=adapter.directory
            )

    place(target, copy)
    if changed := changed_files(adapter, target):
        raise UserError(
            f"the stored copy of {adapter.manifest.name} is not the verified adapter: {', '.join(changed)}",
            where=target,
            fix="delete that directory and start again",
        )
    return target


def changed_files(adapter: VerifiedAdapter, directory: Path) -> list[str]:
    """Names of the adapter's files that are missing from the directory or whose hash is not the verified one."""
    expected = {name: record.sha256 for name, record in adapter.manifest.files.items()}
    expected["manifest.json"] = adapter.manifest_sha256
    return [
        name
        for name, sha256 in sorted(expected.items())
        if not (directory / name).is_file() or sha256_of(directory / name) != sha256
    ]


def place(target: Path, fill: Callable[[Path], None]) -> None:
    """Fills a staged directory and renames it to `target`: the target is whole or absent, and never filled twice."""
    if target.is_dir():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    staged = Path(tempfile.mkdtemp(dir=target.parent, prefix=".staged."))
    try:
        fill(staged)
        sync_directory(staged)
        os.chmod(staged, 0o755)  # noqa: S103  (models are read by other users' servers too)
        try:
            staged.rename(target)
        except OSError:
            if not target.is_dir():  # another server placed the same content first: as good
                raise
        sync_directory(target.parent)
    finally:
        shutil.rmtree(staged, ignore_errors=True)
