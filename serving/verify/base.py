"""The base under an adapter: the one it was trained on, down to the tokenizer, or none."""

from __future__ import annotations

import hashlib
from pathlib import Path

from schemas.base.base_model import BaseIdentity
from schemas.errors import UserError
from schemas.run_directory import RunDirectory
from schemas.training.adapter_manifest import BaseModelRecord

_NO_TEMPLATE = hashlib.sha256(b"").hexdigest()


def require_base(found: BaseIdentity, record: BaseModelRecord, *, directory: Path, wanted_by: RunDirectory) -> None:
    """Refuses any base but the one the adapter was trained on; what the manifest does not record is not compared.

    Raises:
        UserError: a part differs, and which.
    """
    changed = record.changes(found)
    if changed:
        parts = ", ".join(
            f"{part} ({now[:12]}, the manifest says {then[:12]})" for part, (then, now) in changed.items()
        )
        raise UserError(
            f"{wanted_by.root} was trained on another base model; what differs: {parts}",
            where=directory,
            fix=f"serve it on {record.name}" + (f" at {record.revision}" if record.revision else " as it was then"),
        )


def require_chat_template(file: str | None, base: BaseIdentity) -> None:
    """Refuses a template given on the command line where the base has one: chats would not be what was trained.

    Raises:
        UserError: the file cannot be read, or its text is not the base's template.
    """
    if file is None:
        return
    try:
        text = Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"the chat template cannot be read: {error}", where=file) from None
    if base.chat_template_sha256 not in (_NO_TEMPLATE, hashlib.sha256(text.encode()).hexdigest()):
        raise UserError(
            "the base has a chat template, and this is another one",
            where=file,
            fix="leave --chat-template out; it is for bases without one",
        )
