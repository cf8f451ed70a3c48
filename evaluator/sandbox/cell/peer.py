"""One side of the conversation between a program and its tests: calls, and objects that stay where they are.

A request asks the other side to do something with one of its objects; what is no plain value (`values`) crosses as the
number of an object, and arrives as a stand-in that asks again. While a side waits, it answers what it is asked, so a
function that a test passes may be called back.

    request  {"do": "call", "on": 0, "arguments": [...], "keywords": {...}}
    reply    {"changed": [...], "returned": ...} or {"changed": [...], "raised": [...]}

`changed` holds the contents, after the call, of every mutable value among the arguments, in the order of their numbers.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from . import remote
from .exchange import BrokenTest, ProgramStopped, exception, exception_form
from .values import BadValue, Reader, Writer, from_json, natural, to_json

_BROKEN = (TypeError, ValueError, LookupError, RecursionError, AttributeError)


class Peer:
    """One side.

    Args:
        receive: the body of the other side's next message.
        send: sends one.
        trusting: whether the other side may do with this side's objects what it likes. A program trusts its tests;
            tests give a program what they passed to it, and nothing that could be reached from there (`remote`).
        exports: objects that the other side knows by their place in this list.
    """

    def __init__(
        self,
        receive: Callable[[], bytes],
        send: Callable[[bytes], None],
        *,
        trusting: bool,
        exports: Iterable[Any] = (),
    ) -> None:
        self._receive, self._send, self._trusting = receive, send, trusting
        self._own: list[Any] = list(exports)
        self._numbers = {id(value): number for number, value in enumerate(self._own)}
        self._theirs: dict[int, Any] = {}  # keeps stand-ins alive, so that an id() is never used twice
        self._stand_ins: dict[int, int] = {}
        self._late_errors: dict[int, BaseException] = {}
        self._turn = threading.RLock()  # a program's threads ask one after the other

    def request(self, on: int, do: str, *arguments: Any, **keywords: Any) -> Any:
        """Has something done by the other side; changes the arguments in place, returns or raises.

        Raises:
            ProgramStopped: on the tests' side, where the answer means nothing.
        """
        with self._turn:
            writer = Writer(refer=self._refer)
            message = {"do": do, "on": on, "arguments": writer.items(arguments)}
            message["keywords"] = {key: writer.write(value) for key, value in keywords.items()}  # numbered after them
            self._send(to_json(message))
            try:
                while type(reply := from_json(self._receive())) is dict and "do" in reply:
                    self._serve(reply)
                outcome, raised = self._outcome(reply, writer)
            except _BROKEN as error:
                if self._trusting:
                    raise
                raise ProgramStopped(f"{type(error).__name__}: {error}") from error
        if raised:
            raise outcome
        return outcome

    def serve(self, body: bytes) -> None:
        """Answers one request. Raises BadValue where it is none."""
        self._serve(from_json(body))

    def _outcome(self, reply: Any, writer: Writer) -> tuple[Any, bool]:
        reader = Reader(writer.objects, self._resolve)
        for value, form in zip(writer.objects[:], reply["changed"], strict=True):
            reader.fill(value, form[2])
        if "raised" in reply:
            return exception(reader, reply["raised"]), True
        return reader.read(reply["returned"]), False

    def _serve(self, message: Any) -> None:
        reader = Reader(resolve=self._resolve)
        try:
            target = self._own[natural(message["on"])]
            arguments = [reader.read(form) for form in message["arguments"]]
            keywords = {str(key): reader.read(form) for key, form in message["keywords"].items()}
            do = message["do"]
        except _BROKEN as error:
            raise BadValue("a request in another form") from error
        known = list(reader.objects)
        try:
            outcome: tuple[bool, Any] = True, self._do(do, target, arguments, keywords)
        except (ProgramStopped, BrokenTest):
            raise
        except BaseException as error:
            outcome = False, error
        try:
            self._send(self._reply(known, *outcome))
        except (*_BROKEN, MemoryError) as error:  # nested too deep, too long: the caller gets to know that
            self._send(self._reply([], False, ValueError(f"no value that can be written: {error}")))

    def _reply(self, known: list[Any], returned: bool, outcome: Any) -> bytes:
        writer = Writer(known, self._refer)
        reply: dict[str, Any] = {"changed": [writer.contents(value) for value in known]}
        if returned:
            reply["returned"] = writer.write(outcome)
        else:
            reply["raised"] = exception_form(writer, outcome)
        return to_json(reply)

    def _do(self, do: Any, target: Any, arguments: list[Any], keywords: dict[str, Any]) -> Any:
        if do == "call":
            return target(*arguments, **keywords)
        if do == "next":
            return self._next(target, *arguments)
        if not self._trusting:
            remote.require_harmless(do, target, arguments)
        if do == "get":
            return getattr(target, *arguments)
        if do == "set":
            return setattr(target, *arguments)
        name, *values = arguments
        return getattr(type(target), name)(target, *values)

    def _next(self, target: Iterator[Any], count: int) -> tuple[list[Any], bool]:
        """Up to `count` items, and whether there may be more. An error that comes after an item waits its turn."""
        if error := self._late_errors.pop(id(target), None):
            raise error
        items: list[Any] = []
        while len(items) < count:
            try:
                items.append(next(target))
            except StopIteration:
                return items, False
            except BaseException as error:
                if not items:
                    raise
                self._late_errors[id(target)] = error
                break
        return items, True

    def _items(self, number: int) -> Iterator[Any]:
        """The items of the other side's iterator: one at a time, as lazily as there; many at a time once it is long."""
        taken, more = 0, True
        while more:
            answer = self.request(number, "next", 1 if taken < 16 else min(taken, 1024))
            if type(answer) is not tuple or [type(part) for part in answer] != [list, bool]:
                raise ProgramStopped("an iterator that gives no items")
            items, more = answer
            yield from items
            taken += len(items)

    def _refer(self, value: Any) -> Any:
        """The form of an object that stays where it is."""
        if id(value) in self._stand_ins:
            return ["yours", self._stand_ins[id(value)]]
        if name := remote.name_of(value, harmless_only=self._trusting):
            return ["named", *name]
        if id(value) not in self._numbers:
            self._numbers[id(value)] = len(self._own)
            self._own.append(value)
        return ["mine", self._numbers[id(value)], type(value).__name__, remote.abilities(value)]

    def _resolve(self, tag: str, *body: Any) -> Any:
        """The object of such a form. Raises BadValue."""
        if tag == "yours":
            return self._own[natural(body[0])]
        if tag == "named":
            return remote.named(*body, harmless_only=not self._trusting)
        if tag != "mine":
            raise BadValue("an unknown tag")
        number, name, abilities = body
        if natural(number) not in self._theirs:
            if abilities == ["__next__"]:
                made: Any = self._items(number)
            else:
                made = remote.stand_in(self, number, name, abilities, operators=self._trusting)
            self._theirs[number] = made
            self._stand_ins[id(made)] = number
        return self._theirs[number]
