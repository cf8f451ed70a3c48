"""The one table of a running study: arms by seeds (or by rates), what each run is doing, and when it will be over."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from studies.run.workers import Tally

Rows = Mapping[str, Mapping[str, str]]
"""Row label to column label to the job's name."""


class Board:
    """A table that redraws itself on a terminal; elsewhere one line per finished or failed run.

    Args:
        console: where to draw.
        title: what is being run.
        rows: which job belongs into which cell.
        tally: what the workers have done.
        workers: how many work at a time.
        percent: whether scores are shares to be shown in percent.
    """

    def __init__(self, console: Console, title: str, rows: Rows, tally: Tally, workers: int, *, percent: bool) -> None:
        self._console, self._title, self._rows, self._tally = console, title, rows, tally
        self._workers, self._percent = workers, percent
        self._told: set[str] = set()
        self._live = Live(console=console, auto_refresh=False) if console.is_terminal else None

    def __enter__(self) -> Board:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._live:
            self._live.update(self.table(), refresh=True)
            self._live.stop()

    def draw(self) -> None:
        """Shows the present state."""
        if self._live:
            self._live.update(self.table(), refresh=True)
            return
        for name, score in self._tally.finished.items():
            if name not in self._told:
                self._told.add(name)
                shown = "done" if score is None else self._figure(score)
                self._console.print(f"{name}: {shown} ({self._caption()})", highlight=False, soft_wrap=True)
        for name, failure in self._tally.failed.items():
            if name not in self._told:
                self._told.add(name)
                self._console.print(f"{name}: failed, see {failure.log}", highlight=False, soft_wrap=True)

    def table(self) -> Table:
        """The table as it stands."""
        columns = list(dict.fromkeys(column for cells in self._rows.values() for column in cells))
        table = Table(title=self._title, title_justify="left", caption=self._caption(), caption_justify="left")
        table.add_column("arm", no_wrap=True)
        for column in columns:
            table.add_column(column, justify="right", no_wrap=True)
        table.add_column("mean", justify="right", no_wrap=True)
        for label, cells in self._rows.items():
            scores = [self._tally.finished.get(name) for name in cells.values()]
            known = [score for score in scores if score is not None]
            mean = self._figure(sum(known) / len(known)) if known else ""
            table.add_row(label, *(self._cell(cells.get(column)) for column in columns), mean)
        return table

    def _cell(self, name: str | None) -> Text:
        if name is None:
            return Text("")
        if name in self._tally.failed:
            return Text("diverged" if self._tally.failed[name].diverged else "failed", style="red")
        if name in self._tally.finished:
            score = self._tally.finished[name]
            return Text("done" if score is None else self._figure(score), style="green")
        for activity in self._tally.active:
            if activity.job.name == name:
                doing = activity.job.progress() if activity.work.phase == "training" else "scoring"
                return Text(doing, style="yellow")
        return Text("waiting", style="dim")

    def _caption(self) -> str:
        total = sum(len(cells) for cells in self._rows.values())
        over = len(self._tally.finished) + len(self._tally.failed)
        text = f"{over} of {total} runs"
        if self._tally.seconds and over < total:
            mean = sum(self._tally.seconds) / len(self._tally.seconds)
            spent = sum(min(mean, time.monotonic() - one.started) for one in self._tally.active)
            left = max(0.0, (total - over) * mean - spent) / self._workers
            text += f", about {timedelta(seconds=round(left))} left"
        return text

    def _figure(self, score: float) -> str:
        return f"{score * 100:.1f}" if self._percent else f"{score:.4f}"


def rows_by_column(jobs: Sequence[tuple[str, str, str]]) -> dict[str, dict[str, str]]:
    """From (row, column, job's name) to the board's rows."""
    rows: dict[str, dict[str, str]] = {}
    for row, column, name in jobs:
        rows.setdefault(row, {})[column] = name
    return rows
