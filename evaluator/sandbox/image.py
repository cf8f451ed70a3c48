"""The sandbox image: built on this host's engine, once for each version of what is in it."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

from docker.errors import APIError, BuildError, ImageNotFound

from schemas.errors import UserError

CONTEXT = Path(__file__).parent / "cell"
DEFAULT_BASE = "python:3.11-slim-bookworm"
DEFAULT_PACKAGES = "numpy"


def built(engine: Any, base: str) -> str:
    """The image's tag, built on `base` if it is missing. Raises UserError."""
    packages = os.environ.get("SANDBOX_PACKAGES", DEFAULT_PACKAGES)
    digest = hashlib.sha256(f"{base}\0{packages}".encode())
    for path in sorted(CONTEXT.glob("*")):
        if path.is_file():
            digest.update(path.read_bytes())
    tag = f"echo-lora/sandbox:{digest.hexdigest()[:12]}"
    try:
        engine.images.get(tag)
    except ImageNotFound:
        _build(engine, tag, {"BASE_IMAGE": base, "PACKAGES": packages})
    return tag


def _build(engine: Any, tag: str, arguments: dict[str, str]) -> None:
    try:
        engine.images.build(path=str(CONTEXT), tag=tag, buildargs=arguments, rm=True, network_mode="host")
    except (BuildError, APIError) as error:
        raise UserError(
            f"the sandbox image cannot be built: {error}",
            where=CONTEXT / "Dockerfile",
            fix="set BASE_IMAGE to an image with Python 3.11 or newer that this engine has or can pull; "
            "SANDBOX_PACKAGES= builds it without numpy where no package index answers",
        ) from error
