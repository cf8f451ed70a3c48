"""The training bar: loss, speed, the echo's share, and how long it will take."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from schemas.training.training_metrics import TrainingMetrics
from trainer.loop.step import StepReport


class TrainingBar:
    """A bar on a terminal; elsewhere one line per logged step.

    Args:
        console: where to draw; None draws nothing (every process but the first).
        name: the run's name.
        step: steps finished before.
        total: steps of the whole run.
    """

    def __init__(self, console: Console | None, name: str, step: int, total: int) -> None:
        self._console = console
        self._total = total
        self._speed = 0.0
        self._bar = Progress(
            TextColumn(f"[bold]{name}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(elapsed_when_finished=False),
            console=console,
            disable=console is None or not console.is_terminal,
        )
        self._task = self._bar.add_task("training", total=total, completed=step, figures="")

    def __enter__(self) -> TrainingBar:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def step(self, report: StepReport, steps: int, echo_steps: int) -> None:
        """Moves on by one optimizer step."""
        speed = report.tokens / report.seconds
        self._speed = 0.9 * self._speed + 0.1 * speed if self._speed else speed
        figures = f"loss {report.loss / max(1, report.supervised_tokens):.3f}  {self._speed:,.0f} tok/s"
        if report.echo_probability is not None:
            figures += f"  p {report.echo_probability:.2f}  echo {echo_steps / steps:.0%}"
        self._bar.update(self._task, advance=1, figures=figures)

    def line(self, metrics: TrainingMetrics) -> None:
        """Prints a logged line where there is no terminal to draw on."""
        if self._console is None or self._console.is_terminal:
            return
        parts = [f"step {metrics.step}/{self._total}"]
        parts += [f"loss {metrics.loss:.4f}"] if metrics.loss is not None else []
        parts += [f"validation loss {metrics.validation_loss:.4f}"] if metrics.validation_loss is not None else []
        parts += [f"{metrics.tokens_per_second:,.0f} tok/s"] if metrics.tokens_per_second else []
        parts += [f"p {metrics.echo_probability:.2f}"] if metrics.echo_probability is not None else []
        parts += [f"echo steps {metrics.echo_share:.0%}"] if metrics.echo_share is not None else []
        self._console.print("  ".join(parts), highlight=False, soft_wrap=True)
