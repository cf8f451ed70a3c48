"""Exceptions as text: what a program raises arrives as the builtin exception that a test would catch."""

from __future__ import annotations

import builtins
from typing import Any

from .values import BadValue, Reader, Writer

MESSAGE_LENGTH = 200  # characters of a program's error text that are kept
_TEXT_LENGTH = 10_000  # characters of it that a test may look at


class ProgramStopped(BaseException):
    """The program ended, said what means nothing, or raised what is no Exception, such as SystemExit.

    No test may catch it.
    """


class BrokenTest(BaseException):
    """The test itself is at fault, not the program."""


def described(error: BaseException) -> tuple[str, str]:
    """An exception's type and message, as text."""
    try:
        return type(error).__name__, str(error)[:MESSAGE_LENGTH]
    except Exception:  # the program's own exception may refuse to be printed
        return type(error).__name__, ""


def exception_form(writer: Writer, error: BaseException) -> list[Any]:
    """An exception as its name, the builtin one it is built on, its arguments, and what it prints."""
    base = next(kind for kind in type(error).__mro__ if vars(builtins).get(kind.__name__) is kind)
    try:
        text = str(error)[:_TEXT_LENGTH]
    except Exception:
        text = ""
    return [type(error).__name__, base.__name__, writer.items(error.args), text]


def exception(reader: Reader, form: Any) -> BaseException:
    """The exception of a form, of the same name, base, arguments and text. Raises BadValue."""
    name, base, arguments, text = form
    kind = getattr(builtins, base, None)
    if {str} != {type(name), type(base), type(text)} or not isinstance(kind, type):
        raise BadValue("an exception without a name")
    if not issubclass(kind, Exception):
        return ProgramStopped(f"{name}: {text}")
    values = [reader.read(argument) for argument in arguments]
    if name == base:
        made = _made(kind, values)
        if made is not None and str(made) == text:
            return made
    own = type(name[:100], (kind,), {"__str__": lambda self: text})
    made = _made(own, values)
    return made if made is not None else RuntimeError(f"{name}: {text}")


def _made(kind: type[Exception], arguments: list[Any]) -> Exception | None:
    try:
        return kind(*arguments)
    except Exception:  # a few, such as UnicodeDecodeError, are particular about theirs
        return None
