"""What the person at the terminal sees while the server comes up."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

console = Console(stderr=True, highlight=False)


@contextmanager
def step(what: str) -> Iterator[None]:
    """A spinner on a terminal, and a line with the seconds it took anywhere."""
    started = time.perf_counter()
    with console.status(what):
        yield
    console.print(f"[green]✓[/green] {what} [dim]({time.perf_counter() - started:.1f} s)[/dim]")
