"""The reference pages of docs/: every field of every document, with its type, default and meaning, from the schemas.

`python -m schemas docs docs` writes them, and a test holds them against the schemas: they cannot drift.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from schemas.catalog import DOCUMENTS
from schemas.document import Document
from schemas.evaluation.gate_policy import GatePolicy
from schemas.studies.study_config import StudyConfig
from schemas.training.train_config import TrainConfig
from schemas.training.training_bench import BenchConfig

Schema = dict[str, Any]
"""A JSON Schema or a part of one."""

WRITTEN_BY_PEOPLE: tuple[type[Document], ...] = (TrainConfig, GatePolicy, StudyConfig, BenchConfig)
_GENERATED = (
    "<!-- Written by `python -m schemas docs docs` from the schemas. Edit the docstrings there, not this file. -->"
)
_CONFIGURATION = f"""\
{_GENERATED}

# Configuration

Every key of the YAML files that people write: the [training config](#trainconfig), the [gate's policy](#gatepolicy), a
[study](#studyconfig) and a [bench](#benchconfig). A key that is not here is refused, and so is a key that stands twice.

Each key of the training config is also an option of `python -m trainer`, such as `--training.max_steps 100`, and a variable,
such as `ECHO_LORA_TRAINING__MAX_STEPS=100`. The command line wins over the environment, and that over the file. `null`
clears a key; lists and mappings are JSON.
"""
_DOCUMENTS = f"""\
{_GENERATED}

# Documents

Every file that a command writes for the next one, field by field. What people write is in [configuration](configuration.md).
A document is JSON of a fixed version: an unknown key, NaN or another version is refused, and an older version is read through
an upgrade. `python -m schemas export DIR` writes the same as JSON Schema, for other tools.
"""


def pages() -> dict[str, str]:
    """The text of every generated page, by its file name in docs/."""
    written = [document for document in DOCUMENTS if document not in WRITTEN_BY_PEOPLE]
    configuration = _Page()
    pages = {"configuration.md": configuration.text(_CONFIGURATION, WRITTEN_BY_PEOPLE)}
    elsewhere = {section: f"configuration.md{anchor}" for section, anchor in configuration.sections.items()}
    return pages | {"documents.md": _Page(elsewhere).text(_DOCUMENTS, written)}


@dataclass
class _Page:
    """One page in the making."""

    sections: dict[str, str] = field(default_factory=dict)
    """JSON text of each section that has a table already, to the link there."""
    headings: dict[str, int] = field(default_factory=dict)
    """How often each heading was used; forges number the anchors of equal ones."""

    def text(self, opening: str, documents: Sequence[type[Document]]) -> str:
        """The whole page."""
        return "\n".join([opening, *(line for document in documents for line in self._document(document))])

    def _document(self, document: type[Document]) -> Iterator[str]:
        schema = document.model_json_schema()
        parts: dict[str, Schema] = schema.get("$defs", {})
        self.sections[json.dumps(_without_parts(schema))] = self._anchor(document.__name__)
        yield f"## {document.__name__}\n"
        yield f"The {document.title}. {_one_line(schema['description'])}\n"
        places = dict(self._places(schema, parts))
        new = list(places)
        for name in new:  # before the first table, since tables link forward
            self.sections[json.dumps(parts[name])] = self._anchor(name)
        yield from self._table(schema, parts, "")
        for name in new:
            yield f"### {name}\n"
            yield f"At {' and '.join(f'`{place}`' for place in places[name])}: {_one_line(parts[name]['description'])}\n"
            only = places[name][0] if len(places[name]) == 1 else ""
            yield from self._table(
                parts[name], parts, f"{only}." if only and "*" not in only and "[]" not in only else ""
            )

    def _places(self, schema: Schema, parts: dict[str, Schema]) -> Iterator[tuple[str, list[str]]]:
        """Each section without a table yet, with the paths of the keys that hold it, in reading order."""
        found: dict[str, list[str]] = {}
        waiting = [(schema, "")]
        while waiting:
            owner, prefix = waiting.pop(0)
            for key, value in owner.get("properties", {}).items():
                for name, mark in _references(value):
                    if "properties" not in parts[name] or json.dumps(parts[name]) in self.sections:
                        continue
                    place = f"{prefix}{key}{mark}"
                    if place not in found.setdefault(name, []):
                        found[name].append(place)
                        waiting.append((parts[name], f"{place}."))
        yield from found.items()

    def _anchor(self, heading: str) -> str:
        seen = self.headings.get(heading, 0)
        self.headings[heading] = seen + 1
        return f"#{heading.lower()}" + (f"-{seen}" if seen else "")

    def _table(self, schema: Schema, parts: dict[str, Schema], prefix: str) -> Iterator[str]:
        required = schema.get("required", ())
        yield "| key | type | default | meaning |\n|---|---|---|---|"
        for key, value in schema["properties"].items():
            default = "required" if key in required else _default(value)
            kind = self._kind(value, parts)
            yield f"| `{prefix}{key}` | {kind} | {default} | {_one_line(value['description'])} |"
        yield ""

    def _kind(self, schema: Schema, parts: dict[str, Schema]) -> str:
        """A type in words a person reads, such as `integer, at least 1, or null`."""
        if "$ref" in schema:
            name = schema["$ref"].rpartition("/")[2]
            part = parts[name]
            return f"[{name}]({self.sections[json.dumps(part)]})" if "properties" in part else self._kind(part, parts)
        if choices := schema.get("anyOf") or schema.get("oneOf"):
            kinds = sorted((self._kind(choice, parts) for choice in choices), key=lambda kind: kind == "null")
            return " or ".join(dict.fromkeys(kinds))
        if "enum" in schema:
            return ", ".join(f"`{choice}`" for choice in schema["enum"])
        if "const" in schema:
            return f"`{schema['const']}`"
        return self._container(schema, parts) or _plain(schema)

    def _container(self, schema: Schema, parts: dict[str, Schema]) -> str | None:
        if items := schema.get("prefixItems"):
            return f"list of {len(items)}: {self._kind(items[0], parts)}"
        if schema.get("type") == "array":
            items = schema.get("items", {})
            return f"list of {self._kind(items, parts)}" if items else "list"
        values = next(iter(schema.get("patternProperties", {}).values()), schema.get("additionalProperties"))
        if schema.get("type") == "object":
            return f"mapping to {self._kind(values, parts)}" if isinstance(values, dict) else "mapping"
        return None


def _plain(schema: Schema) -> str:
    """A number's bounds, or a text's form."""
    bounds = {
        "minimum": "at least",
        "exclusiveMinimum": "above",
        "maximum": "at most",
        "exclusiveMaximum": "below",
    }
    words = [str(schema.get("format") or schema.get("type", "any JSON value"))]
    words += [f"{word} {schema[key]:,}" for key, word in bounds.items() if key in schema]
    if schema.get("pattern") == "^[0-9a-f]{64}$":
        return "sha256"
    return ", ".join("text" if word == "string" else word for word in words)


def _default(schema: Schema) -> str:
    """As YAML would have it; a section's own defaults stand in its own table."""
    if "default" not in schema:
        return "empty"
    return "its own" if isinstance(schema["default"], dict) else f"`{json.dumps(schema['default'])}`"


def _without_parts(schema: Schema) -> Schema:
    """A document as it would stand among another one's parts."""
    return {key: value for key, value in schema.items() if key != "$defs"}


def _one_line(text: str) -> str:
    """Prose for a table's cell: in one line, None as YAML's null."""
    return re.sub(r"\bNone\b", "null", " ".join(text.split())).replace("|", r"\|")


def _references(schema: Schema, mark: str = "") -> Iterator[tuple[str, str]]:
    """Sections inside a type, each with how one gets there: `[]` an element, `.*` a value of a mapping."""
    if "$ref" in schema:
        yield schema["$ref"].rpartition("/")[2], mark
    for choice in (*schema.get("anyOf", ()), *schema.get("oneOf", ())):
        yield from _references(choice, mark)
    for key, deeper in (("items", "[]"), ("additionalProperties", ".*")):
        if isinstance(schema.get(key), dict):
            yield from _references(schema[key], mark + deeper)
    for value in schema.get("patternProperties", {}).values():
        yield from _references(value, f"{mark}.*")
    for value in schema.get("prefixItems", ()):
        yield from _references(value, f"{mark}[]")
