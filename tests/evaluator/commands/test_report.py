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

from evaluator.commands import gate, report
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


def test_the_headline_is_the_gate_s_verdict(runs: Runs) -> None:
    gate.main([str(runs["worse"]), "--against", str(runs["lora"]), "--policy", QUICKSTART])
    text = write(runs, "worse", "lora").read_text()
    assert "<h1>Echo-LoRA is rejected by the gate “quickstart”</h1>" in text
    assert 'class="hero rejected"' in text


def test_without_a_gate_the_headline_says_what_was_found(runs: Runs) -> None:
    text = write(runs, "echo", "lora").read_text()
    assert re.search("<h1>Echo-LoRA is better than base and .*LoRA.*</h1>", text)
    assert "No gate has judged it yet." in text


def test_the_page_fetches_nothing(runs: Runs) -> None:
    text = write(runs, "echo", "lora").read_text()
    references = References()
    references.feed(text)
    assert [one for one in references.found if one != "link: data:," and ": #" not in one] == []
    assert "url(http" not in text
    assert "@import" not in text
    assert "default-src 'none'" in text


def test_the_table_holds_the_scores_of_every_side(runs: Runs) -> None:
    text = write(runs, "echo", "lora").read_text()
    for name, variant in (("echo", "adapter"), ("lora", "adapter"), ("echo", "base")):
        macro = json.loads((runs[name] / "evaluation/quickstart/report.json").read_text())["macro"][variant]
        assert f'<td class="num strong">{macro * 100:.1f}</td>' in text


def test_every_plot_is_there_with_its_description_and_themed_colours(runs: Runs) -> None:
    lines = [
        {"step": step, "epoch": 0.1, "seconds": 1.0, "loss": 2.0 / step, "echo_loss": 1.0 / step} for step in (1, 2, 3)
    ]
    lines.append({"step": 3, "epoch": 0.1, "seconds": 1.0, "validation_loss": 0.9})
    (runs["echo"] / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"step": 4, "ep')
    text = write(runs, "echo", "lora").read_text()
    labels = re.findall('<svg role="img" aria-label="([^"]+)"', text)
    assert [label.split()[0] for label in labels] == ["Accuracy", "Paired", "Paired", "Paired", "Training"]
    assert "var(--series-2)" in text
    assert not re.search("#0[1-9a]0[1-9a]0[1-9a]", text)


def test_unparsed_answers_are_plotted_where_there_are_any(evaluation: Callable[..., Path], tmp_path: Path) -> None:
    run = evaluation(tmp_path / "run", {"boolq": {"base": [0, 2, 2, 1], "adapter": [1, 2, 1, 1]}})
    text = write({"run": run}, "run").read_text()
    assert "What unparsed answers cost" in text
    assert ">50%<" in text.replace("&#37;", "%")


def test_runs_without_metrics_have_no_loss_plot(runs: Runs) -> None:
    assert "Training loss" not in write(runs, "echo", "lora").read_text()


def test_the_attestation_is_shown_as_plain_facts(runs: Runs) -> None:
    attestation = {"served": True, "greedy": {"agreed": 50, "of": 50}, "tensors": ["a"] * 40, "note": "<b>&"}
    (runs["echo"] / "attestation.json").write_text(json.dumps(attestation))
    text = write(runs, "echo", "lora").read_text()
    assert "<dt>greedy / agreed</dt><dd>50</dd>" in text
    assert "<dt>tensors</dt><dd>40 entries</dd>" in text
    assert "<dt>note</dt><dd>&lt;b&gt;&amp;</dd>" in text


def test_text_of_a_model_cannot_break_out_of_the_page(
    runs: Runs, evaluation: Callable[..., Path], tmp_path: Path
) -> None:
    run = evaluation(tmp_path / "run", {"boolq": {"base": [0, 2, 1], "adapter": [1, 2, 0]}})
    text = write({"run": run}, "run").read_text()
    assert text.count("</script>") == 2
    assert "\\u003c/script>" in text


def test_a_page_of_another_suite_s_run_is_refused(runs: Runs, evaluation: Callable[..., Path], tmp_path: Path) -> None:
    other = evaluation(tmp_path / "other", {"gsm8k": {"base": [0], "adapter": [1]}}, suite="gsm8k")
    with pytest.raises(UserError, match="share no evaluated suite"):
        report.main([str(runs["echo"]), str(other)])
    assert not (runs["echo"] / "report.html").exists()


def test_the_browser_holds_at_most_the_items_asked_for_differing_ones_first(runs: Runs) -> None:
    report.main([str(runs["worse"]), str(runs["lora"]), "--samples", "20"])
    text = (runs["worse"] / "report.html").read_text()
    data = json.loads(text.split('id="data">', 1)[1].split("</script>", 1)[0])
    assert (len(data["items"]), data["total"]) == (20, 400)
    assert all(len({answer[0] for answer in item["answers"].values()}) > 1 for item in data["items"])


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
