"""The page: whole in itself, right in its figures, and alive in a real browser."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

from evaluator.commands import report
from schemas.errors import UserError

Runs = dict[str, Path]
QUICKSTART = "configs/policies/quickstart.yaml"
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needs_browser = pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome on this machine")


class References(HTMLParser):
    """Everything a browser would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [
            f"{tag}: {value}" for name, value in attrs if name in ("src", "href", "srcset", "data") and value
        ]


def write(runs: Runs, *names: str) -> Path:
    assert report.main([str(runs[name]) for name in names]) == 0
    return runs[names[0]] / "report.html"


def open_in_browser(page: Path, profile: Path, fragment: str = "") -> str:
    """The document as the browser holds it after the scripts ran."""
    flags = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync")
    quiet = ("--disable-background-networking", "--disable-component-update", f"--user-data-dir={profile}")
    command = [str(BROWSER), *flags, *quiet, "--dump-dom", f"file://{page}{fragment}"]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


def listed(document: str) -> list[str]:
    """The sample browser's rows, each as its text."""
    body = document.split('id="samples"', 1)[1].split("</ol>", 1)[0]
    return [re.sub("<[^>]+>", " ", row) for row in body.split("<li>")[1:]]


def test_the_page_fetches_nothing(runs: Runs) -> None:
    text = write(runs, "echo", "lora").read_text()
    references = References()
    references.feed(text)
    assert [one for one in references.found if one != "link: data:," and ": #" not in one] == []
    assert "url(http" not in text
    assert "@import" not in text
    assert "default-src 'none'" in text


def test_the_table_holds_the_scores_of_every_seed_group(runs: Runs) -> None:
    text = write(runs, "echo", "lora").read_text()
    for name, variant in (("echo", "adapter"), ("lora", "adapter"), ("echo", "base")):
        macro = json.loads((runs[name] / "evaluation/quickstart/report.json").read_text())["macro"][variant]
        assert f'<td class="num strong">{macro * 100:.1f}</td>' in text


def test_a_page_of_another_suite_s_run_is_refused(runs: Runs, evaluation: Callable[..., Path], tmp_path: Path) -> None:
    other = evaluation(tmp_path / "other", {"gsm8k": {"base": [0], "adapter": [1]}}, suite="gsm8k")
    with pytest.raises(UserError, match="share no evaluated suite"):
        report.main([str(runs["echo"]), str(other)])
    assert not (runs["echo"] / "report.html").exists()


@needs_browser
def test_a_browser_runs_the_page_and_lists_the_answers(runs: Runs, tmp_path: Path) -> None:
    document = open_in_browser(write(runs, "echo", "lora"), tmp_path / "profile")
    assert "400 of 400 answers." in document
    assert len(listed(document)) == 25
    assert "&lt;b&gt;" in document.split('id="samples"', 1)[1]


@needs_browser
@pytest.mark.parametrize(
    ("show", "ours", "theirs"),
    [("fixed", "correct", "wrong"), ("broken", "wrong", "correct"), ("unparsed", "unparsed", "")],
)
def test_the_filters_keep_what_they_name(
    evaluation: Callable[..., Path], tmp_path: Path, show: str, ours: str, theirs: str
) -> None:
    run = evaluation(tmp_path / "run", {"boolq": {"base": [1] * 6 + [0] * 6, "adapter": [1, 0, 2] * 4}})
    document = open_in_browser(write({"run": run}, "run"), tmp_path / "profile", f"#show={show}")
    rows = listed(document)
    assert len(rows) == {"fixed": 2, "broken": 4, "unparsed": 4}[show]
    if show != "broken":
        assert all(f"Echo-LoRA {ours}" in row and f"base {theirs}" in row for row in rows)
    else:
        assert all("base correct" in row and "Echo-LoRA correct" not in row for row in rows)


@needs_browser
def test_a_search_finds_words_of_the_question(runs: Runs, tmp_path: Path) -> None:
    document = open_in_browser(write(runs, "echo", "lora"), tmp_path / "profile", "#search=question+17+of+piqa")
    assert "1 of 400 answers." in document
    assert "PIQA 17" in listed(document)[0]
