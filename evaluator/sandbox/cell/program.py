"""The untrusted side: runs a generated program and answers calls of its function. No test is in this container."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .exchange import answer, described
from .values import to_line


def run_program(order: dict[str, Any], read_line: Callable[[], bytes], write_line: Callable[[bytes], None]) -> None:
    """Executes `order["source"]`, says whether its function is there, then answers one call per line."""
    namespace: dict[str, Any] = {}
    try:
        exec(compile(order["source"], "<program>", "exec"), namespace)  # noqa: S102  (running it is the purpose)
        function = namespace[order["entry_point"]]
    except BaseException as error:
        write_line(to_line({"failed": described(error)}))
        return
    write_line(to_line({"ready": True}))
    while line := read_line():
        write_line(answer(function, line))
