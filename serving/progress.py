"""What the person at the terminal sees while the server comes up."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape

console = Console(stderr=True, highlight=False)


def complain(message: str, *, kind: str = "error") -> None:
    """One red line; brackets in the message are the message's own."""
    console.print(f"[red]{kind}:[/red] {escape(message)}")


@contextmanager
def step(what: str) -> Iterator[None]:
    """A spinner on a terminal, and a line with the seconds it took anywhere."""
    started = time.perf_counter()
    with console.status(what):
        yield
    console.print(f"[green]✓[/green] {what} [dim]({time.perf_counter() - started:.1f} s)[/dim]")
