"""The verdict on a request: made once, changed afterwards, at GitHub's and GitLab's addresses, against a real server."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from evaluator.commands import gate
from evaluator.commands.comment import main
from schemas.errors import UserError


class Forge(ThreadingHTTPServer):
    """Keeps comments as GitHub's and GitLab's APIs do; a wrong token is refused."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.comments: list[dict[str, Any]] = [{"id": 1, "body": "Nice."}]
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Forge

    def _answer(self) -> None:
        allowed = "secret" in (self.headers["Authorization"] or self.headers["PRIVATE-TOKEN"])
        sent = json.loads(self.rfile.read(int(self.headers["Content-Length"] or 0)) or "{}")
        self.server.asked.append(f"{self.command} {self.path.partition('?')[0]}")
        if self.command == "POST" and allowed:
            self.server.comments.append({"id": len(self.server.comments) + 1, **sent})
        if self.command in ("PATCH", "PUT") and allowed:
            self.server.comments[int(self.path.rpartition("/")[2]) - 1].update(sent)
        raw = json.dumps(self.server.comments if self.command == "GET" else {}).encode()
        self.send_response(200 if allowed else 403)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    do_GET = do_POST = do_PATCH = do_PUT = _answer

    def log_message(self, *_: object) -> None:
        """Silent."""


@pytest.fixture
def forge() -> Iterator[Forge]:
    with Forge() as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def judged(runs: dict[str, Path], policy: Callable[..., Path]) -> Path:
    gate.main([str(runs["echo"]), "--against", "base", "--policy", str(policy("kind: superiority, against: base"))])
    return runs["echo"]


def on_github(monkeypatch: pytest.MonkeyPatch, forge: Forge, token: str = "a secret") -> None:
    variables = {
        "GITHUB_ACTIONS": "true",
        "GITHUB_API_URL": forge.url,
        "GITHUB_REPOSITORY": "me/mine",
        "PULL_REQUEST": "7",
    }
    for name, value in {**variables, "GITHUB_TOKEN": token}.items():
        monkeypatch.setenv(name, value)


def test_a_second_push_changes_the_comment_of_the_first(
    judged: Path, forge: Forge, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_github(monkeypatch, forge)
    assert main([str(judged)]) == 0
    assert main([str(judged)]) == 0
    assert forge.asked[1::2] == ["POST /repos/me/mine/issues/7/comments", "PATCH /repos/me/mine/issues/comments/2"]
    assert len(forge.comments) == 2
    assert "## ✅ pass: echo" in forge.comments[1]["body"]


def test_a_merge_request_of_gitlab_gets_a_note(judged: Path, forge: Forge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    variables = {
        "CI_API_V4_URL": forge.url,
        "CI_PROJECT_ID": "3",
        "CI_MERGE_REQUEST_IID": "9",
        "GATE_TOKEN": "a secret",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert main([str(judged)]) == 0
    assert main([str(judged)]) == 0
    notes = "/projects/3/merge_requests/9/notes"
    assert forge.asked[1::2] == [f"POST {notes}", f"PUT {notes}/2"]


def test_a_token_without_the_right_is_one_clear_error(
    judged: Path, forge: Forge, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_github(monkeypatch, forge, token="weak")
    with pytest.raises(UserError, match="the API answers 403"):
        main([str(judged)])


def test_outside_of_ci_there_is_nothing_to_comment_on(judged: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    monkeypatch.delenv("CI_API_V4_URL", raising=False)
    with pytest.raises(UserError, match="there is no request to comment on: CI_API_V4_URL is not set"):
        main([str(judged)])
