"""The page's plots: there where there is something to show, in the page's own colours."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

from tests.evaluator.commands.test_report import Runs, write


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
