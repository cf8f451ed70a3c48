"""Uploads a folder through the hub's own client, in one commit, after the hub has accepted its card."""

from __future__ import annotations

from pathlib import Path

from huggingface_hub import HfApi, ModelCard
from huggingface_hub.errors import HfHubHTTPError

from schemas.base.hub import go_offline_if_unreachable
from schemas.errors import UserError


def upload(folder: Path, repository: str, *, private: bool) -> str:
    """Makes the repository where it does not exist, and commits the folder; returns the commit's address.

    Raises:
        UserError: the hub cannot be reached, or refuses the card, the token or the repository.
    """
    if go_offline_if_unreachable():
        raise UserError(
            "the hub cannot be reached", where=repository, fix="--to DIR writes the folder here, to upload elsewhere"
        )
    try:
        ModelCard((folder / "README.md").read_text(encoding="utf-8")).validate()
        hub = HfApi()
        hub.create_repo(repository, private=private, exist_ok=True)
        done = hub.upload_folder(repo_id=repository, folder_path=folder, commit_message="Adapter, card and manifest")
    except (HfHubHTTPError, ValueError, OSError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(
            f"the hub refuses: {reason}", where=repository, fix="log in with `hf auth login`, and check the name"
        ) from None
    return str(done.commit_url)
