"""The four training methods and their identity, shared by every document."""

from __future__ import annotations

from typing import Literal

Method = Literal["lora", "dora", "echo_lora", "echo_dora"]


def uses_dora(method: Method) -> bool:
    """Whether the deployed adapter has DoRA magnitudes."""
    return method in ("dora", "echo_dora")


def uses_echo(method: Method) -> bool:
    """Whether training has the auxiliary echo path. The deployed adapter never has it."""
    return method in ("echo_lora", "echo_dora")
