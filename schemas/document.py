"""What every document has in common: frozen, no unknown keys, no NaN, written whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from schemas.errors import UserError
from schemas.storage.json_files import MOST_BYTES, parse_json
from schemas.storage.plain_file import read_bounded

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]
PositiveFloat = Annotated[float, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
_MOST_FAULTS = 1_000


class Section(BaseModel):
    """A part of a document. Containers inside are tuples or mappings that nobody mutates."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        use_attribute_docstrings=True,
        validate_default=True,
        protected_namespaces=(),
    )


class Document(Section):
    """A versioned file between two stages. Subclasses declare `schema_version: Literal[...]` and `title`.

    A document whose keys change gets the next version, and in `upgrades`, by the version it takes, a function that turns
    plain data of that version into the next one's: what was written once stays readable. Data without a version are
    people's YAML, in old words or new, so an upgrade leaves alone what it does not know.
    """

    title: ClassVar[str]
    upgrades: ClassVar[Mapping[str, Callable[[dict[str, Any]], dict[str, Any]]]] = {}

    def to_json(self) -> str:
        """The document as indented JSON with a final newline; equal documents give equal text."""
        return self.model_dump_json(indent=2) + "\n"

    def sha256(self) -> str:
        """Hash of the document's own JSON text."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    def write(self, path: Path) -> Path:
        """Writes the JSON text atomically and returns the path."""
        return write_atomically(path, self.to_json().encode())

    @classmethod
    def read(cls, path: Path) -> Self:
        """Reads and validates a document.

        Raises:
            UserError: the file is missing, is not JSON, has another schema version or does not fit the schema.
        """
        written_by = f"run the stage that writes {path.name}"
        return cls.from_bytes(read_bounded(path, cls.title, limit=MOST_BYTES, fix=written_by), where=path)

    @classmethod
    def from_bytes(cls, raw: bytes, *, where: object) -> Self:
        """Validates a document's JSON text, for whoever hashes or verifies the very bytes that are believed.

        Raises:
            UserError: see `read`.
        """
        return cls.parse(parse_json(raw, cls.title, where=where, fix="write it again"), where=where)

    @classmethod
    def parse(cls, data: Any, *, where: object) -> Self:
        """Validates plain data, naming every faulty field at once.

        Raises:
            UserError: the data do not fit the schema.
        """
        expected = cls.model_fields["schema_version"].default
        data = cls.upgraded(data)
        if isinstance(data, dict) and data.get("schema_version", expected) != expected:
            raise UserError(
                f"the {cls.title} has schema version {data['schema_version']!r}, this release reads {expected!r}",
                where=where,
                fix="write it again with this release",
            )
        try:
            # JSON mode: lists are read as tuples, and text is not taken for a number.
            return cls.model_validate_json(json.dumps(data, default=str))
        except ValidationError as error:
            raise UserError(f"the {cls.title} does not fit its schema\n{describe(error)}", where=where) from None

    @classmethod
    def upgraded(cls, data: Any) -> Any:
        """The data in the words of this release, from whichever version they were written in."""
        while isinstance(data, dict):
            version = data.get("schema_version", "1")
            upgrade = cls.upgrades.get(version) if isinstance(version, str) else None
            if upgrade is None:
                break
            data = {**upgrade(data), "schema_version": str(int(version) + 1)}
        return data


def describe(error: ValidationError) -> str:
    """One line per fault: the field as the user writes it, what is wrong, and the value found."""
    if error.error_count() > _MOST_FAULTS:
        return f"  - {error.error_count():,} faults: this is another kind of file"
    lines = []
    for fault in error.errors(include_url=False):
        field = ".".join(str(part) for part in fault["loc"]) or "(top level)"
        message = fault["msg"].removeprefix("Value error, ")
        found = "" if fault["type"] in ("missing", "value_error") else f" (found {fault['input']!r:.200})"
        if fault["type"] == "extra_forbidden":
            message = "unknown key"
        lines.append(f"  - {field}: {message}{found}")
    return "\n".join(lines)


def sha256_of(path: Path) -> str:
    """Hash of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_atomically(path: Path, data: bytes) -> Path:
    """Writes beside the target, flushes to the disk, then renames: the path holds the old bytes or all of the new."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, staged = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.staged-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(staged, 0o644)
        os.replace(staged, path)
    except BaseException as error:
        Path(staged).unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:  # a full disk: say at which file
            raise OSError(error.errno, error.strerror, str(path)) from None
        raise
    sync_directory(path.parent)
    return path


def sync_directory(path: Path) -> None:
    """Makes a rename inside the directory survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
