"""One program judged: its calls run in one container, the tests that make them in another, the verdict comes from there."""

from __future__ import annotations

import secrets
import time
from typing import Literal, cast

from evaluator.sandbox.cell import framing
from evaluator.sandbox.cell.child import TOO_LONG
from evaluator.sandbox.cell.values import BadValue, from_json
from evaluator.sandbox.cells import Cell, ProgramGone
from evaluator.sandbox.program import Program, ProgramResult
from schemas.errors import UserError

Verdict = Literal["passed", "failed", "timed_out", "broken"]

ANSWER_SECONDS = 5.0  # a cell's supervisor notices the end of a program's time itself; later, the cell is lost
LONGEST_VERDICT = 2**14  # bytes


def judge(
    program: Program, program_cell: Cell, test_cell: Cell, *, timeout: float, wall_timeout: float = 30.0
) -> ProgramResult:
    """Runs the task's tests against the program. Raises CellLost; UserError where the tests themselves are broken.

    The two containers share nothing. Between them the evaluator carries messages that it does not read; it believes a
    verdict only from the tests' container, and only with this program's nonce, which the program's never sees.
    """
    started = time.monotonic()
    limits = {"cpu_seconds": timeout, "seconds": wall_timeout}
    nonce = secrets.token_hex(16)
    about = {"prompt": program.prompt, "test": program.test, "entry_point": program.entry_point}
    program_cell.start({"role": "program", "source": program.source, "entry_point": program.entry_point, **limits})
    test_cell.start({"role": "tests", "nonce": nonce, **about, **limits})
    try:
        verdict, detail = _verdict(program_cell, test_cell, nonce, started + wall_timeout + ANSWER_SECONDS)
    except BadValue as error:
        verdict, detail = "failed", str(error)
    program_cell.finish()
    test_cell.finish()
    if verdict == "broken":
        raise UserError(f"the tests of this task do not run: {detail}", where=program.name, fix="repair the data set")
    return ProgramResult(program.name, verdict, _printable(detail), time.monotonic() - started)


def _printable(detail: str) -> str:
    """Text that may quote the program, without anything that a terminal would obey."""
    return "".join(character if character.isprintable() else " " for character in detail)


def _verdict(program_cell: Cell, test_cell: Cell, nonce: str, deadline: float) -> tuple[Verdict, str]:
    try:
        kind, body = program_cell.receive(deadline)
        if kind != framing.READY:
            return "failed", f"the program does not load: {body[:300].decode(errors='replace')}"
        kind, body = test_cell.receive(deadline)
        while kind == framing.MESSAGE:
            program_cell.send(body)
            test_cell.send(program_cell.receive(deadline)[1])
            kind, body = test_cell.receive(deadline)
    except ProgramGone as gone:
        return ("timed_out" if str(gone) == TOO_LONG else "failed"), str(gone)
    return _read_verdict(kind, body, nonce)


def _read_verdict(kind: bytes, body: bytes, nonce: str) -> tuple[Verdict, str]:
    """The verdict of the tests' process. Raises BadValue where that is none."""
    message = from_json(body) if kind == framing.VERDICT and len(body) <= LONGEST_VERDICT else None
    if not isinstance(message, dict) or message.get("verdict") not in ("passed", "failed", "broken"):
        raise BadValue("no verdict")
    if not secrets.compare_digest(str(message.get("nonce")).encode(), nonce.encode()):
        raise BadValue("a verdict with another nonce")
    return cast(Verdict, message["verdict"]), str(message.get("detail", ""))
