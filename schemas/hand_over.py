"""Hands a command that has moved to the package that has it now: what users and scripts type goes on working."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

from schemas.errors import UserError


def hand_over(package: str, argv: list[str]) -> int:
    """Runs `python -m PACKAGE` with these arguments, in this process; returns its exit code.

    Raises:
        UserError: the package is not installed here, as in an image of one stage.
    """
    if find_spec(package) is None:
        raise UserError(
            f"this command is `python -m {package} {' '.join(argv)}`, and {package} is not installed here",
            fix=f"docker compose run --rm {package} {' '.join(argv)}, or run it in an environment with every stage",
        )
    code: int = import_module(f"{package}.__main__").main(argv)
    return code
