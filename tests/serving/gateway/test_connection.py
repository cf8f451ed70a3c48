"""A client that is slow, endless or deaf is cut off; one that is merely busy is not. A real uvicorn, real sockets."""

import asyncio
import contextlib
import json
import socket
import threading
import time
from types import SimpleNamespace

import pytest
import uvicorn

from serving.gateway import connection
from serving.gateway.connection import ConnectionLimits, GuardedConnection

LIMITS = ConnectionLimits(
    connections=8,
    header_seconds=0.4,
    header_bytes=4096,
    header_count=20,
    body_seconds=0.8,
    unread_seconds=0.5,
    linger_seconds=0.3,
)
GET = b"GET /read HTTP/1.1\r\nhost: x\r\n\r\n"


class Application:
    """/read reads the body, /ignore does not, /long writes until the client is gone, /slow answers after a second."""

    def __init__(self):
        self.asked, self.gone = [], threading.Event()

    async def __call__(self, scope, receive, send):
        self.asked.append(scope["path"])
        if scope["path"] == "/long":
            return await self.write_for_ever(receive, send)
        length = await body_length(receive) if scope["path"] == "/read" else 0
        if scope["path"] == "/slow":
            await asyncio.sleep(1.0)
        body = json.dumps({"length": length}).encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
        await send({"type": "http.response.body", "body": body})

    async def write_for_ever(self, receive, send):
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        gone = asyncio.ensure_future(receive())
        while not gone.done():
            await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})
            await asyncio.sleep(0)
        self.gone.set()


async def body_length(receive):
    length, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return length
        length, more = length + len(message.get("body", b"")), message.get("more_body", False)
    return length


@pytest.fixture
def server():
    """One server in a thread, with limits of fractions of a second."""

    class Quick(GuardedConnection):
        limits = LIMITS

    application = Application()
    with socket.create_server(("127.0.0.1", 0)) as listener, contextlib.ExitStack() as clients:
        config = uvicorn.Config(application, http=Quick, lifespan="off", log_level="error", timeout_keep_alive=2)
        running = uvicorn.Server(config)
        thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]})
        thread.start()
        yield SimpleNamespace(
            address=listener.getsockname(), application=application, state=running.server_state, clients=clients
        )
        running.should_exit = running.force_exit = True
        thread.join()


def connect(server, data=b""):
    client = server.clients.enter_context(socket.create_connection(server.address, timeout=5))
    client.sendall(data)
    return client


def answer(client):
    """What comes until the server closes or has answered with its JSON."""
    received = b""
    with contextlib.suppress(ConnectionResetError):
        while not received.endswith(b"}"):
            piece = client.recv(65536)
            if not piece:
                break
            received += piece
    return received


def flood(client, data):
    """Sends the same bytes over and over, 100 MB of them at most."""
    for _ in range(10**8 // len(data)):
        client.sendall(data)


def seconds_until_cut(client, drip=b""):
    """How long the connection lasts while the client sends a byte now and then."""
    started = time.monotonic()
    client.settimeout(0.05)
    with contextlib.suppress(ConnectionError):
        while time.monotonic() - started < 5:
            with contextlib.suppress(TimeoutError):
                if not client.recv(65536):
                    break
            client.sendall(drip)
    return time.monotonic() - started


@pytest.mark.parametrize(
    ("begun", "drip"),
    [
        (b"", b""),
        (b"", b"\r\n"),
        (b"GET /read HTTP/1.1\r\nx: ", b"a"),
        (b"GET /", b"a"),
        (GET + b"GET /read HTTP/1.1\r\nx: ", b"a"),
        (GET, b"\r\n"),
    ],
)
def test_headers_that_do_not_end_are_cut_however_steadily_they_drip(server, begun, drip):
    assert 0.3 < seconds_until_cut(connect(server, begun), drip) < 4


@pytest.mark.parametrize("path", [b"/read", b"/ignore"])
def test_a_body_that_does_not_end_is_cut_whether_or_not_it_was_answered(server, path):
    begun = b"POST %s HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n" % path
    assert seconds_until_cut(connect(server, begun), b"a") < 4


def test_headers_of_any_length_or_number_are_refused(server):
    endless = connect(server, b"GET / HTTP/1.1\r\nx: ")
    with pytest.raises(ConnectionError):
        flood(endless, b"a" * 1000)
    many = b"".join(b"x%d: a\r\n" % i for i in range(21))
    assert answer(connect(server, GET[:-2] + many + b"\r\n")).startswith(b"HTTP/1.1 431")
    assert "/" not in server.application.asked


@pytest.mark.parametrize("trailer", [b"x: " + b"a" * 1000, b"x: a\r\n" * 150, b"0" * 900])
def test_trailers_and_chunks_that_never_end_fill_no_memory(server, trailer):
    client = connect(server, b"POST /read HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n0\r\n")
    with pytest.raises(ConnectionError):
        flood(client, trailer)


def test_a_client_that_does_not_read_is_cut_and_its_request_ends(server):
    client = connect(server, b"GET /long HTTP/1.1\r\nhost: x\r\n\r\n")
    assert server.application.gone.wait(5)
    client.close()


def test_when_all_connections_wait_the_one_that_waits_longest_makes_room(server):
    idle = []
    for _ in range(LIMITS.connections):  # one after another, so that the first has waited longest
        idle.append(connect(server, GET))
        assert b"200 OK" in answer(idle[-1])
    assert b"200 OK" in answer(connect(server, GET))
    assert idle[0].recv(1) == b""
    idle[-1].sendall(GET)
    assert b"200 OK" in answer(idle[-1])


def test_a_request_in_work_makes_no_room(server):
    busy = [connect(server, GET.replace(b"read", b"slow")) for _ in range(LIMITS.connections)]
    time.sleep(0.1)
    assert answer(connect(server, GET)) == b""
    assert all(b"length" in answer(client) for client in busy)


def test_an_honest_client_may_take_its_time_between_requests_and_for_a_large_body(server):
    client = connect(server, GET)
    assert b"200 OK" in answer(client)
    time.sleep(1.0)
    body = b"x" * 500_000
    client.sendall(b"POST /read HTTP/1.1\r\nhost: x\r\ncontent-length: 500000\r\n\r\n")
    for start in range(0, len(body), 100_000):
        client.sendall(body[start : start + 100_000])
        time.sleep(0.05)
    assert b'{"length": 500000}' in answer(client)
    client.sendall(GET.replace(b"read", b"slow"))
    assert b"200 OK" in answer(client)


def test_pipelined_requests_and_small_chunks_are_answered(server):
    chunked = (
        b"POST /read HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 3000 + b"0\r\n\r\n"
    )
    client = connect(server, GET + chunked)
    received = answer(client)
    while b'{"length": 3000}' not in received:
        received += answer(client)
    assert b'{"length": 0}' in received


def test_an_upgrade_is_answered_as_if_it_were_not_asked_for(server):
    upgrade = b"connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    assert b"HTTP/1.1 200" in answer(connect(server, GET[:-2] + upgrade))


def test_nothing_stays_open_when_the_clients_are_gone(server):
    for data in (b"", GET, GET[:-2], b"\x16\x03\x01", b"GET /long HTTP/1.1\r\nhost: x\r\n\r\n"):
        connect(server, data).close()
    deadline = time.monotonic() + 5
    while server.state.connections or server.state.tasks:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_server_that_names_no_protocol_gets_the_guarded_one(monkeypatch):
    monkeypatch.setattr(connection, "HTTP_PROTOCOLS", uvicorn.config.HTTP_PROTOCOLS)
    connection.install()
    config = uvicorn.Config(Application(), log_config=None)
    config.load()
    assert config.http_protocol_class is GuardedConnection
