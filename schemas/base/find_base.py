"""Finds a base model's files, the same ones for every stage: a local directory, or a snapshot of a hub repository."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from schemas.base.base_model import BaseIdentity, identity_of_base, read_config
from schemas.base.base_weights import read_shapes
from schemas.base.hub import go_offline_if_unreachable
from schemas.errors import UserError
from schemas.training.adapter_manifest import BaseModelRecord

# All that a stage reads of a base, and no pickled weights.
HUB_FILES = ("*.json", "*.safetensors", "*.model", "*.txt", "*.jinja")
_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_NAME_IT = "run from the directory the training ran in, or name the base with --base DIR"


@dataclass(frozen=True)
class BaseModelFiles:
    """Where a base model lies on the disk."""

    directory: Path
    """Holds config.json, safetensors weights and the tokenizer."""
    revision: str | None
    """The hub commit; None for a local directory."""

    def identity(self) -> BaseIdentity:
        """What the base is known by, from the files as they are now."""
        return identity_of_base(self.directory)


def find_base(name: str | os.PathLike[str], revision: str | None = None) -> BaseModelFiles:
    """The directory of that name, or else the hub repository's snapshot, downloaded where it is not in the cache.

    Args:
        name: a directory (`~` is the home directory) or a hub repository.
        revision: commit, tag or branch on the hub; None is its default branch. A directory has none.

    Raises:
        UserError: there is no such directory, or the hub does not have it or cannot be reached; no model is in it,
            or its weight files are not whole.
    """
    directory = home_expanded(name)
    if directory.is_dir():
        return _checked(BaseModelFiles(directory, revision=None))
    if not is_repository(name):
        raise UserError("the base model's directory does not exist", where=name, fix="check the path")
    snapshot = _snapshot(os.fspath(name), revision)
    return _checked(BaseModelFiles(snapshot, revision=snapshot.name))  # the folder is named by its commit


def find_trained_base(record: BaseModelRecord, moved_to: str | os.PathLike[str] | None = None) -> BaseModelFiles:
    """The base that an adapter's manifest names, or the copy that the user names instead.

    Args:
        record: the manifest's base.
        moved_to: where the base is now; None takes the recorded place.

    Raises:
        UserError: it is not there. A base that was a directory in training is never looked for on the hub.
    """
    if moved_to is not None:
        return find_base(moved_to)
    if record.revision is None and not home_expanded(record.name).is_dir():
        raise UserError(
            f"the base model is not where it was trained from: {record.name}", where=record.name, fix=_NAME_IT
        )
    return find_base(record.name, record.revision)


def home_expanded(name: str | os.PathLike[str]) -> Path:
    """The path with a leading `~` or `~user` replaced; as it stands where there is no such home."""
    return Path(os.path.expanduser(name))


def is_repository(name: str | os.PathLike[str]) -> bool:
    """Whether a name has the hub's form, `owner/name`."""
    return _REPOSITORY.fullmatch(os.fspath(name)) is not None


def _checked(files: BaseModelFiles) -> BaseModelFiles:
    read_config(files.directory)
    read_shapes(files.directory)
    return files


def _snapshot(name: str, revision: str | None) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    go_offline_if_unreachable()
    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=list(HUB_FILES)))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(
            f"the base model is neither a directory here nor to be had from the hub: {reason}",
            where=name + (f" at {revision}" if revision else ""),
            fix="check the spelling, log in with `hf auth login` for a gated model, or name a local directory",
        ) from None
