"""The supervisor's way in, against a small server of the same API."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from schemas.errors import UserError
from serving.engine.client import EndpointClient, local_address
from serving.gateway.settings import ATTESTOR_HEADER


class Handler(BaseHTTPRequestHandler):
    """Answers as vLLM does, and keeps what it was asked."""

    asked: list[tuple[str, dict[str, str], dict[str, object]]]

    def log_message(self, *_: object) -> None: ...

    def do_GET(self) -> None:
        self._answer({"data": [{"id": "base", "max_model_len": 512}, {"id": "adapter", "max_model_len": None}]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.asked.append((self.path, dict(self.headers), body))
        if body["model"] == "absent":
            self._answer({"error": "no such model"}, 404)
        elif "prompt_logprobs" in body:
            entries = [None, *({str(token): {"logprob": -token / 10}} for token in body["prompt"][1:])]
            self._answer({"choices": [{"prompt_logprobs": entries}]})
        else:
            choices = [{"index": number, "token_ids": [number, 9]} for number in range(len(body["prompt"]))]
            self._answer({"choices": choices[::-1]})

    def _answer(self, data: object, status: int = 200) -> None:
        raw = json.dumps(data).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)


@pytest.fixture
def client() -> Iterator[EndpointClient]:
    Handler.asked = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with EndpointClient(f"http://127.0.0.1:{server.server_port}", "secret") as found:
        yield found
    server.shutdown()
    server.server_close()


def test_log_probabilities_are_of_each_token_after_the_first(client):
    assert client.log_probabilities("adapter", [5, 6, 7]) == [-0.6, -0.7]
    path, headers, body = Handler.asked[0]
    assert (path, body["temperature"]) == ("/v1/completions", 0)
    assert {key.lower(): value for key, value in headers.items()}[ATTESTOR_HEADER] == "secret"


def test_continuations_come_back_in_the_prompts_order(client):
    assert client.continue_greedily("adapter", [[1], [2], [3]], 2) == [[0, 9], [1, 9], [2, 9]]


def test_the_longest_context_is_the_base_s(client):
    assert client.context_length() == 512


def test_a_refusal_names_the_server_s_words(client):
    with pytest.raises(UserError, match=r"answered 404: .*no such model"):
        client.log_probabilities("absent", [1, 2])


def test_a_server_that_never_listens_is_given_up(client):
    client.wait_until_listening(seconds=5, still_alive=lambda: None)
    with (
        EndpointClient("http://127.0.0.1:9", "secret") as nobody,
        pytest.raises(UserError, match="did not answer within 1 seconds"),
    ):
        nobody.wait_until_listening(seconds=1, still_alive=lambda: None)


def test_an_engine_that_died_is_not_waited_for(client):
    def died() -> None:
        raise RuntimeError("vLLM ended")

    with pytest.raises(RuntimeError, match="vLLM ended"):
        client.wait_until_listening(seconds=60, still_alive=died)


@pytest.mark.parametrize(("host", "asked"), [("0.0.0.0", "127.0.0.1"), ("::", "[::1]"), ("10.0.0.1", "10.0.0.1")])
def test_a_server_on_all_interfaces_is_asked_on_loopback(host, asked):
    assert local_address(host, 8000) == f"http://{asked}:8000"


def test_its_requests_are_computed_before_those_of_clients_that_wait(client):
    client.log_probabilities("adapter", [5, 6])
    list(client.stream_greedily("adapter", [1], 2))
    assert all(body["priority"] < 0 for _, _, body in Handler.asked)
    assert len(Handler.asked) == 2


def test_every_answer_is_told_and_no_refusal(client):
    told = []
    client.answered = lambda: told.append(1)
    client.context_length()
    with pytest.raises(UserError):
        client.log_probabilities("absent", [1, 2])
    assert told == [1]
