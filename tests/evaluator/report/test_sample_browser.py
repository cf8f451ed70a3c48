"""The items on the page: the interesting ones first, and no text that could end the script."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from evaluator.commands import report
from tests.evaluator.commands.test_report import Runs, write


def test_text_of_a_model_cannot_break_out_of_the_page(
    runs: Runs, evaluation: Callable[..., Path], tmp_path: Path
) -> None:
    run = evaluation(tmp_path / "run", {"boolq": {"base": [0, 2, 1], "adapter": [1, 2, 0]}})
    text = write({"run": run}, "run").read_text()
    assert text.count("</script>") == 2
    assert "\\u003c/script>" in text


def test_the_browser_holds_at_most_the_items_asked_for_differing_ones_first(runs: Runs) -> None:
    report.main([str(runs["worse"]), str(runs["lora"]), "--samples", "20"])
    text = (runs["worse"] / "report.html").read_text()
    data = json.loads(text.split('id="data">', 1)[1].split("</script>", 1)[0])
    assert (len(data["items"]), data["total"]) == (20, 400)
    assert all(len({answer[0] for answer in item["answers"].values()}) > 1 for item in data["items"])
