"""The untrusted side: runs a generated program and answers calls of its function. No test is in this container."""

from __future__ import annotations

from typing import Any

from .exchange import described
from .framing import FAILED, MESSAGE, READY
from .peer import Peer
from .start import Receive, Send


def run_program(order: dict[str, Any], receive: Receive, send: Send) -> None:
    """Executes `order["source"]`, says whether its function is there, then answers one call per message."""
    namespace: dict[str, Any] = {}
    try:
        exec(compile(order["source"], "<program>", "exec"), namespace)  # noqa: S102  (running it is the purpose)
        function = namespace[order["entry_point"]]
    except BaseException as error:
        send(FAILED, ": ".join(described(error)).encode(errors="replace"))
        return
    peer = Peer(receive, lambda body: send(MESSAGE, body), trusting=True, exports=[function])
    send(READY, b"")
    while True:
        peer.serve(receive())
