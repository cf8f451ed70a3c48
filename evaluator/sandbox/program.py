"""A generated program to be judged, and what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from schemas.errors import UserError

LONGEST_PROGRAM = 2**20
"""Bytes. No model writes a longer function; a longer text is a fault of what feeds the sandbox."""


@dataclass(frozen=True)
class Program:
    """One completion of one HumanEval-like task."""

    name: str
    """Names it in results and messages, such as `HumanEval/0`."""
    prompt: str
    """The task's own text: imports, helper functions, signature and docstring. Tests see it too."""
    completion: str
    """What the model wrote after the prompt."""
    test: str
    """Source that defines `check(candidate)`."""
    entry_point: str
    """Name of the function under test."""

    @property
    def source(self) -> str:
        """The generated program: prompt and completion, without the tests."""
        return self.prompt + self.completion


@dataclass(frozen=True)
class ProgramResult:
    """The verdict on one program."""

    name: str
    """The program's."""
    outcome: Literal["passed", "failed", "timed_out"]
    """Passed every test; failed one, or broke; or went past a limit of time."""
    detail: str
    """The reason in a few words. It may quote the program's own error text, so it is no evidence."""
    seconds: float
    """Wall time from the start of its process to the verdict."""

    @property
    def passed(self) -> bool:
        """Whether the program solves the task."""
        return self.outcome == "passed"


def refuse_oversized(programs: Sequence[Program]) -> None:
    """Raises UserError for a program that no model can have meant, before anything starts."""
    for program in programs:
        size = len(program.source.encode(errors="surrogatepass"))
        if size > LONGEST_PROGRAM:
            raise UserError(
                f"a generated program is {size:,} bytes long; the sandbox takes at most {LONGEST_PROGRAM:,}",
                where=program.name,
                fix="limit the generation (max_new_tokens, stop sequences) or look at what wrote this sample",
            )
