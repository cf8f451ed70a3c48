"""The judging side: runs a task's own tests against a stand-in that calls the program in the other container.

The tests see the prompt's helper functions, as in the original checker, where all is one program text. They run in a
container of their own, because a data set's tests are strangers' code as well.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .exchange import MESSAGE_LENGTH, BrokenTest, described
from .framing import MESSAGE, VERDICT
from .peer import Peer
from .start import Receive, Send
from .values import to_json

PROGRAM = 0  # the number of the program's function


def run_tests(order: dict[str, Any], receive: Receive, send: Send) -> None:
    """Executes `order["prompt"]` and `order["test"]`, calls `check`, and sends the verdict with the order's nonce."""
    peer = Peer(receive, lambda body: send(MESSAGE, body), trusting=False)

    def candidate(*arguments: Any, **keywords: Any) -> Any:
        return peer.request(PROGRAM, "call", *arguments, **keywords)

    verdict, detail = "passed", ""
    try:
        check = _load(order, candidate)
        check(candidate)
    except BrokenTest as error:
        verdict, detail = "broken", str(error)
    except BaseException as error:
        verdict, detail = "failed", ": ".join(part for part in described(error) if part)[:MESSAGE_LENGTH]
    send(VERDICT, to_json({"verdict": verdict, "detail": detail, "nonce": order["nonce"]}))


def _load(order: dict[str, Any], candidate: Callable[..., Any]) -> Callable[..., Any]:
    namespace: dict[str, Any] = {}
    try:
        exec(compile(order["prompt"], "<prompt>", "exec"), namespace)  # noqa: S102
        exec(compile(order["test"], "<test>", "exec"), namespace)  # noqa: S102
        check: Callable[..., Any] = namespace["check"]
    except BaseException as error:
        raise BrokenTest(f"the tests do not load: {': '.join(described(error))}") from error
    namespace[order["entry_point"]] = candidate
    return check
