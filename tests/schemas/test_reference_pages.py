"""The generated pages of docs/: current, complete, and with links that lead somewhere."""

import re
from pathlib import Path

import pytest

from schemas.__main__ import main
from schemas.catalog import DOCUMENTS
from schemas.reference_pages import WRITTEN_BY_PEOPLE, pages

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("name", pages())
def test_the_page_in_docs_is_what_the_schemas_say_today(name):
    shown = (DOCS / name).read_text()
    assert shown == pages()[name], "the schemas changed: python -m schemas docs docs"


def test_the_command_writes_every_page(tmp_path):
    assert main(["docs", str(tmp_path)]) == 0
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == pages()


@pytest.mark.parametrize(
    "document", dict.fromkeys([*DOCUMENTS, *WRITTEN_BY_PEOPLE]), ids=lambda document: document.__name__
)
def test_every_key_of_a_document_has_a_row(document):
    page = pages()["configuration.md" if document in WRITTEN_BY_PEOPLE else "documents.md"]
    _, _, section = page.partition(f"## {document.__name__}\n")
    rows = re.findall(r"^\| `(\w+)` \|", section.partition("\n#")[0], re.MULTILINE)
    assert rows == list(document.model_fields)


def test_an_option_of_the_trainer_stands_with_its_type_bounds_and_default():
    rows = [line for line in pages()["configuration.md"].splitlines() if line.startswith("| `data.max_length` |")]
    assert len(rows) == 1
    assert "| integer, at least 8 | `256` |" in rows[0]


@pytest.mark.parametrize("name", pages())
def test_every_link_of_a_page_leads_to_a_heading(name):
    written = pages()
    for file, anchor in re.findall(r"\]\(([\w.]*)#([\w-]+)\)", written[name]):
        headings = re.findall(r"^#+ (.+)$", written[file or name], re.MULTILINE)
        assert anchor in {heading.lower().replace(" ", "-") for heading in headings}
