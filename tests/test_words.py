"""One meaning a word: those that were replaced do not come back (CONTRIBUTING has what stands in their place)."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
REPLACED = {
    r"\bunread(able)?\b": "unparsed",
    r"gatekeeper": "the middleware; the gate is the release decision",
    r"\bcompan(y|ies)\b": "concurrent",
    r"\bopponents?\b": "baseline",
    r"\bcontestants?\b": "scored run",
    r"\bheld[- _]?out\b|\bholds? out\b": "validation rows, test items",
}
# What was written once is kept in its words: old documents, their upgrades, results, and the history.
KEPT = re.compile(
    r"^(CHANGELOG\.md|configs/.*/results/|tests/schemas/old_documents/|tests/schemas/test_old_documents\.py|tests/test_words\.py"
    r"|tests/schemas/test_upgrade\.py|requirements-.*\.txt|configs/quickstart/(base|tasks|validation)/)"
)
UPGRADE = re.compile(r"Version 1 called|rename\(\{|if key == |if name == ")


def lines() -> list[tuple[str, int, str]]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    found = []
    for name in listed.splitlines():
        path = ROOT / name
        if KEPT.match(name) or path.suffix not in (
            ".py",
            ".md",
            ".yaml",
            ".yml",
            ".sh",
            ".html",
            ".j2",
            ".js",
            ".css",
            "",
        ):
            continue
        text = path.read_text(errors="ignore") if path.is_file() else ""
        found += [(name, number, line) for number, line in enumerate(text.splitlines(), start=1)]
    return found


@pytest.fixture(scope="module")
def tree() -> list[tuple[str, int, str]]:
    return lines()


@pytest.mark.parametrize("word", REPLACED)
def test_a_replaced_word_does_not_come_back(tree, word):
    guilty = [
        f"{name}:{number}: {line.strip()[:100]}"
        for name, number, line in tree
        if re.search(word, line, re.IGNORECASE) and not UPGRADE.search(line)
    ]
    assert guilty == [], REPLACED[word]


def test_every_word_of_the_table_has_one_meaning():
    table = (ROOT / "CONTRIBUTING.md").read_text().partition("## Words")[2].partition("\n## ")[0]
    terms = re.findall(r"^\| (?!term|---)([^|]+) \|", table, re.MULTILINE)
    assert len(terms) >= 20
    assert len(set(terms)) == len(terms)
