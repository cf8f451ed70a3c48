"""One call of a generated program's function, as two lines: the arguments there, the result and the changed arguments back.

    call     {"arguments": [...], "keywords": {...}}
    returned {"changed": [...], "returned": ...}
    raised   {"changed": [...], "raised": [type, message]}

`changed` holds the contents, after the call, of every mutable object among the arguments, in the order of their numbers.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable
from typing import Any

from .values import BadValue, Reader, Writer, from_line, to_line

MESSAGE_LENGTH = 200  # characters of a program's error text that are kept


class ProgramStopped(BaseException):
    """The program ended, or raised something that is no Exception, such as SystemExit: no test may catch it."""


class BrokenTest(BaseException):
    """The test itself is at fault, not the program."""


def ask(function_line: Callable[[bytes], bytes], arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
    """The test's side of a call: sends it through `function_line`, changes the arguments in place, returns or raises."""
    writer = Writer()
    call = {
        "arguments": writer.items(arguments),
        "keywords": {key: writer.write(value) for key, value in keywords.items()},
    }
    if writer.opaque:
        raise BrokenTest(f"a test passes a {writer.opaque[0]}, which has no plain form to cross processes in")
    reply = from_line(function_line(to_line(call)))
    reader = Reader(writer.objects)
    try:
        for value, form in zip(writer.objects[:], reply["changed"], strict=True):
            reader.fill(value, form[2])
        if "raised" not in reply:
            return reader.read(reply["returned"])
        name, message = reply["raised"]
    except (TypeError, ValueError, LookupError, RecursionError) as error:
        raise BadValue("a reply in another form") from error
    raise _exception(str(name), str(message)[:MESSAGE_LENGTH])


def _exception(name: str, message: str) -> BaseException:
    """The builtin exception of that name, so that a test may catch what the program raised."""
    kind = getattr(builtins, name, None)
    if not isinstance(kind, type) or not issubclass(kind, Exception):
        return ProgramStopped(f"{name}: {message}") if kind is not None else RuntimeError(f"{name}: {message}")
    try:
        return kind(message)
    except TypeError:  # a few, such as UnicodeDecodeError, want more than a message
        return RuntimeError(f"{name}: {message}")


def answer(function: Callable[..., Any], line: bytes) -> bytes:
    """The program's side of a call: one line in, one line out."""
    call = from_line(line)
    reader = Reader()
    arguments = [reader.read(form) for form in call["arguments"]]
    keywords = {key: reader.read(form) for key, form in call["keywords"].items()}
    known = list(reader.objects)
    try:
        outcome: tuple[bool, Any] = True, function(*arguments, **keywords)
    except BaseException as error:
        outcome = False, error
    try:
        return _reply(known, *outcome)
    except Exception as error:  # a value that cannot be written, such as one nested too deep: no reply that can be read
        return to_line({"unwritable": described(error)})


def _reply(known: list[Any], returned: bool, outcome: Any) -> bytes:
    writer = Writer(known)
    reply: dict[str, Any] = {"changed": [writer.contents(value) for value in known]}
    if returned:
        reply["returned"] = writer.write(outcome)
    else:
        reply["raised"] = described(outcome)
    return to_line(reply)


def described(error: BaseException) -> tuple[str, str]:
    """An exception's type and message, as text."""
    try:
        return type(error).__name__, str(error)[:MESSAGE_LENGTH]
    except Exception:  # the program's own exception may refuse to be printed
        return type(error).__name__, ""
