"""The board tells what is done, what failed, and what is under way."""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console

from schemas.errors import DIVERGED
from studies.run.board import Board, rows_by_column
from studies.run.workers import Failure, Tally

ROWS = rows_by_column([("lora", "seed 0", "a"), ("lora", "seed 1", "b"), ("echo", "seed 0", "c")])


def shown(tally: Tally, *, percent: bool = True) -> str:
    console = Console(record=True, width=120, file=io.StringIO())
    console.print(Board(console, "small", ROWS, tally, workers=1, percent=percent).table())
    return console.export_text()


def test_a_row_has_its_scores_and_their_mean():
    text = shown(Tally(finished={"a": 0.5, "b": 0.7}))
    assert "50.0" in text
    assert "70.0" in text
    assert "60.0" in text
    assert "2 of 3 runs" in text


def test_losses_are_not_shown_as_percent():
    assert "0.5000" in shown(Tally(finished={"a": 0.5}), percent=False)


def test_what_failed_and_what_waits_is_told_apart():
    text = shown(Tally(failed={"a": Failure("a", Path("a.log"), "the disk is gone", exit_code=2)}))
    assert "failed" in text
    assert text.count("waiting") == 2
    diverged = Failure("a", Path("a.log"), "not finite", exit_code=DIVERGED)
    assert "diverged" in shown(Tally(failed={"a": diverged}))


def test_off_a_terminal_each_run_has_one_line():
    console = Console(record=True, width=120, file=io.StringIO())
    tally = Tally(finished={"a": 0.5}, failed={"c": Failure("c", Path("c.log"), "reason", exit_code=2)})
    with Board(console, "small", ROWS, tally, workers=1, percent=True) as board:
        board.draw()
        board.draw()
    lines = console.export_text().splitlines()
    assert [line.split(":")[0] for line in lines] == ["a", "c"]
    assert "see c.log" in lines[1]
