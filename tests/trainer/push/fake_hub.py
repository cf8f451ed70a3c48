"""A hub on this machine that speaks as much of the hub's protocol as an upload needs, and keeps what it was sent."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class FakeHub:
    """What was asked of the hub."""

    def __init__(self) -> None:
        self.created: dict[str, Any] = {}
        self.cards: list[str] = []
        self.files: dict[str, bytes] = {}
        self.faults: str = ""
        """What the hub says against a card; empty accepts every one."""


@contextmanager
def fake_hub() -> Iterator[tuple[str, FakeHub]]:
    """Its address and its memory."""
    hub = FakeHub()

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._answer({})

        def do_GET(self) -> None:
            self._answer({"id": "me/mine", "sha": "0" * 40, "siblings": [], "name": "me"})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if self.path == "/api/validate-yaml":
                hub.cards.append(json.loads(body)["content"])
                self._answer(
                    {"error": hub.faults} if hub.faults else {"errors": [], "warnings": []}, 400 if hub.faults else 200
                )
            elif self.path == "/api/repos/create":
                hub.created = json.loads(body)
                self._answer(
                    {
                        "url": f"http://{self.headers['Host']}/me/{hub.created['name']}",
                        "id": f"me/{hub.created['name']}",
                    }
                )
            elif "/preupload/" in self.path:
                names = [file["path"] for file in json.loads(body)["files"]]
                self._answer({"files": [{"path": n, "uploadMode": "regular", "shouldIgnore": False} for n in names]})
            elif "/commit/" in self.path:
                for line in map(json.loads, body.splitlines()):
                    if line["key"] == "file":
                        hub.files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
                self._answer(
                    {
                        "commitUrl": f"http://{self.headers['Host']}/me/mine/commit/" + "1" * 40,
                        "commitOid": "1" * 40,
                        "success": True,
                    }
                )
            else:
                self._answer({"error": self.path}, 404)

        def _answer(self, data: Any, status: int = 200) -> None:
            body = json.dumps(data).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
