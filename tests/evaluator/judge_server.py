"""An OpenAI-compatible server that plays a judge: a real server on a free port, whose words a function of the test decides."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Says = Callable[[str], str]
"""From the last turn of what the judge is asked to what it says."""


class JudgeServer(ThreadingHTTPServer):
    """Remembers what it was asked."""

    def __init__(self, says: Says, model: str, key: str | None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.says, self.model, self.key = says, model, key
        self.asked: list[list[dict[str, str]]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class _Handler(BaseHTTPRequestHandler):
    server: JudgeServer

    def do_GET(self) -> None:
        self._send({"object": "list", "data": [{"id": self.server.model, "object": "model"}]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if not self.path.startswith("/v1/"):
            self._send({"page": "welcome"}, 200 if self.path.startswith("/page") else 404)
            return
        self.server.asked.append(body["messages"])
        message = {"role": "assistant", "content": self.server.says(body["messages"][-1]["content"])}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        self._send(
            {"id": "1", "object": "chat.completion", "created": 0, "model": self.server.model, "choices": [choice]}
        )

    def _send(self, answer: dict[str, Any], status: int = 200) -> None:
        refused = self.server.key and self.headers["Authorization"] != f"Bearer {self.server.key}"
        raw = json.dumps({"error": {"message": "wrong key"}} if refused else answer).encode()
        self.send_response(401 if refused else status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *_: object) -> None:
        """Silent."""


@contextmanager
def judge_server(says: Says, *, model: str = "judge-1", key: str | None = None) -> Iterator[JudgeServer]:
    """The server, running until the block ends."""
    server = JudgeServer(says, model, key)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def part(title: str, asked: str) -> str:
    """What stands in one part of a judge's question."""
    return asked.partition(f"[Begin of {title}]\n")[2].partition(f"\n[End of {title}]")[0]
