"""Plain values as text: the only thing that crosses between a generated program and the tests that judge it.

A value is written as JSON in which containers carry a tag, and mutable ones a number, so that a list that a program
changes in place is changed for the test as well:

    [1, (2, None)]  ->  ["list", 0, [1, ["tuple", [2, null]]]]

Whatever a program does to the writing side, the reading side makes only exact builtin and standard-library types: an
object with its own `__eq__` arrives as the plain value it was built on, or as an `object()` that equals nothing.
"""

from __future__ import annotations

import collections
import importlib
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

LONG_INTEGER = 1 << 1024  # larger ones are written in hexadecimal, which has no length limit in `int`


class BadValue(ValueError):
    """The text is no value."""


class Writer:
    """Writes values of one exchange; `known` holds the mutable objects that both sides already number alike."""

    def __init__(self, known: Iterable[Any] = ()) -> None:
        self.objects: list[Any] = list(known)  # keeps them alive, so that an id() is never used twice
        self.opaque: list[str] = []
        """Types of the objects that could not be written."""
        self._numbers = {id(value): number for number, value in enumerate(self.objects)}

    def write(self, value: Any) -> Any:
        """The JSON form of `value`; a mutable container seen before becomes a reference."""
        number = self._numbers.get(id(value))
        return ["same", number] if number is not None else self.contents(value)

    def contents(self, value: Any) -> Any:
        """The JSON form of `value` itself, for objects that are already numbered too."""
        for kind, write in _WRITERS:
            if isinstance(value, kind):
                return write(self, value)
        for module, name in _RARE:  # looked up where a program has imported them: every program starts sooner for it
            if module in sys.modules and isinstance(value, getattr(sys.modules[module], name)):
                return [name, str(value)]
        self.opaque.append(type(value).__name__)
        return ["opaque"]

    def number(self, value: Any) -> int:
        """Gives a mutable object its number, before its items are written: it may contain itself."""
        if id(value) not in self._numbers:
            self._numbers[id(value)] = len(self.objects)
            self.objects.append(value)
        return self._numbers[id(value)]

    def items(self, values: Iterable[Any]) -> list[Any]:
        """The JSON forms of several values."""
        return [self.write(value) for value in values]

    def pairs(self, value: dict[Any, Any]) -> list[Any]:
        """The JSON form of a mapping's items."""
        kind = collections.OrderedDict if isinstance(value, collections.OrderedDict) else dict
        return [[self.write(key), self.write(item)] for key, item in kind.items(value)]


def _integer(value: int) -> Any:
    plain = int.__index__(value)
    return plain if -LONG_INTEGER < plain < LONG_INTEGER else ["int", hex(plain)]


# Subclasses are written as the value of their base: the first match counts, so special kinds stand before their bases.
_WRITERS: tuple[tuple[Any, Callable[[Writer, Any], Any]], ...] = (
    ((bool, type(None)), lambda w, v: v),
    (int, lambda w, v: _integer(v)),
    (float, lambda w, v: float.__float__(v)),
    (str, lambda w, v: str.__str__(v)),
    (complex, lambda w, v: ["complex", v.real, v.imag]),
    (bytes, lambda w, v: ["bytes", bytes.hex(v)]),
    (bytearray, lambda w, v: ["bytearray", w.number(v), bytearray.hex(v)]),
    (tuple, lambda w, v: ["tuple", w.items(tuple.__iter__(v))]),
    (list, lambda w, v: ["list", w.number(v), w.items(list.__iter__(v))]),
    (collections.deque, lambda w, v: ["deque", w.number(v), w.items(v), v.maxlen]),
    (set, lambda w, v: ["set", w.number(v), w.items(set.__iter__(v))]),
    (frozenset, lambda w, v: ["frozenset", w.items(frozenset.__iter__(v))]),
    (collections.Counter, lambda w, v: ["Counter", w.number(v), w.pairs(v)]),
    (collections.OrderedDict, lambda w, v: ["OrderedDict", w.number(v), w.pairs(v)]),
    (dict, lambda w, v: ["dict", w.number(v), w.pairs(v)]),
    (range, lambda w, v: ["range", v.start, v.stop, v.step]),
    (Iterator, lambda w, v: ["iterator", w.items(v)]),
)


_RARE = (("decimal", "Decimal"), ("fractions", "Fraction"))


class Reader:
    """Reads values of one exchange. `known` are the objects that references may name."""

    def __init__(self, known: Iterable[Any] = ()) -> None:
        self.objects: list[Any] = list(known)

    def read(self, form: Any) -> Any:
        """The value of a JSON form. Raises BadValue."""
        if form is None or type(form) in (bool, int, float, str):
            return form
        if type(form) is not list or not form or type(form[0]) is not str:
            raise BadValue("a form without a tag")
        try:
            return self._tagged(*form)
        except (TypeError, ValueError, IndexError, KeyError, ArithmeticError) as error:
            raise BadValue(f"a broken {form[0][:20]}") from error

    def _tagged(self, tag: str, *body: Any) -> Any:
        if tag == "same":
            return self.objects[body[0]]
        if tag in _MUTABLE:
            number, form, *rest = body
            if number != len(self.objects):
                raise BadValue("a number out of order")
            value = _MUTABLE[tag](*rest)
            self.objects.append(value)
            self.fill(value, form)
            return value
        return _FIXED[tag](self, *body)

    def fill(self, value: Any, form: Any) -> None:
        """Replaces the contents of a mutable value, in place, by those of a container's form."""
        if isinstance(value, bytearray):
            value[:] = bytes.fromhex(form)
        elif isinstance(value, dict):
            items = [(self.read(key), self.read(item)) for key, item in form]
            value.clear()
            for key, item in items:
                value[key] = item
        elif isinstance(value, list):
            value[:] = map(self.read, form)
        else:
            items = [self.read(item) for item in form]
            value.clear()
            (value.update if isinstance(value, set) else value.extend)(items)


def _rare(module: str, name: str, digits: str) -> Any:
    if type(digits) is not str:
        raise BadValue(f"a broken {name}")
    return getattr(importlib.import_module(module), name)(digits)


_MUTABLE: dict[str, Callable[..., Any]] = {
    "list": list,
    "dict": dict,
    "set": set,
    "bytearray": bytearray,
    "deque": lambda maxlen=None: collections.deque(maxlen=maxlen),
    "Counter": collections.Counter,
    "OrderedDict": collections.OrderedDict,
}
_FIXED: dict[str, Callable[..., Any]] = {
    "int": lambda r, digits: int(digits, 16),
    "complex": lambda r, real, imag: complex(real, imag),
    "bytes": lambda r, digits: bytes.fromhex(digits),
    "tuple": lambda r, items: tuple(map(r.read, items)),
    "frozenset": lambda r, items: frozenset(map(r.read, items)),
    "range": lambda r, start, stop, step: range(start, stop, step),
    "Decimal": lambda r, digits: _rare("decimal", "Decimal", digits),
    "Fraction": lambda r, digits: _rare("fractions", "Fraction", digits),
    "iterator": lambda r, items: iter([r.read(item) for item in items]),
    "opaque": lambda r: object(),
}


def to_line(message: Any) -> bytes:
    """A message as one line of ASCII."""
    return json.dumps(message, separators=(",", ":")).encode("ascii") + b"\n"


def from_line(line: bytes) -> Any:
    """The message of a line. Raises BadValue where it is none."""
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        raise BadValue("no JSON") from error
