"""The JSON Schemas that other tools read."""

import json

import pytest

from schemas.__main__ import main
from schemas.catalog import DOCUMENTS


def properties(schema):
    """Every (owner, field, definition) of a schema and its parts."""
    for owner, part in [("", schema), *schema.get("$defs", {}).items()]:
        for field, definition in part.get("properties", {}).items():
            yield owner, field, definition


def test_a_command_exports_every_document(tmp_path, capsys):
    assert main(["export", str(tmp_path)]) == 0
    written = {path.stem: json.loads(path.read_text()) for path in tmp_path.glob("*.json")}
    assert set(written) == {document.__name__ for document in DOCUMENTS}
    assert all(schema["type"] == "object" for schema in written.values())


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda d: d.__name__)
def test_every_field_is_documented(document):
    bare = [
        f"{owner}.{field}"
        for owner, field, value in properties(document.model_json_schema())
        if not value.get("description")
    ]
    assert bare == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda d: d.__name__)
def test_every_document_is_versioned_frozen_and_closed(document):
    assert document.model_fields["schema_version"].default
    assert document.model_config["frozen"]
    for part in [document.model_json_schema(), *document.model_json_schema().get("$defs", {}).values()]:
        if "properties" in part:
            assert part["additionalProperties"] is False
