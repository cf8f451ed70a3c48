"""Where there is no terminal, each logged step is a line; other processes print nothing."""

from __future__ import annotations

import io

from rich.console import Console

from schemas.training.training_metrics import TrainingMetrics
from trainer.loop.progress_bar import TrainingBar

METRICS = TrainingMetrics(
    step=20, epoch=1.0, loss=0.5, validation_loss=0.75, tokens_per_second=1234.0, echo_share=0.5, seconds=3.0
)


def said(console: Console | None) -> str:
    with TrainingBar(console, "run", step=0, total=40) as bar:
        bar.line(METRICS)
    return console.file.getvalue() if console is not None else ""  # type: ignore[attr-defined]


def test_a_logged_step_is_a_line() -> None:
    line = said(Console(file=io.StringIO(), width=200))
    assert "step 20/40  loss 0.5000  validation loss 0.7500  1,234 tok/s  echo steps 50%" in line


def test_a_process_without_a_console_prints_nothing() -> None:
    assert said(None) == ""
