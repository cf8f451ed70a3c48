"""Plain values as text: what crosses between a generated program and the tests that judge it.

A value is written as JSON in which containers carry a tag, and mutable ones a number, so that a list that a program
changes in place is changed for the test as well:

    [1, (2, None)]  ->  ["list", 0, [1, ["tuple", [2, null]]]]

Whatever a program does to the writing side, the reading side makes only exact types of the standard library (and numpy's
arrays): an object with its own `__eq__` arrives as the plain value it was built on, or as what `refer` made of it.
"""

from __future__ import annotations

import collections
import json
from collections.abc import Callable, Iterable
from typing import Any

from . import kinds

LONG_INTEGER = 1 << 1024  # larger ones are written in hexadecimal, which has no length limit in `int`
_SURROGATE_SAFE = "utf-32-le"  # JSON would join two lone surrogates to one character

_BROKEN = (TypeError, ValueError, LookupError, ArithmeticError, AttributeError)


class BadValue(ValueError):
    """The text is no value."""


class Writer:
    """Writes values of one exchange.

    Args:
        known: mutable objects that both sides already number alike.
        refer: the form of an object that is no plain value.
    """

    def __init__(self, known: Iterable[Any] = (), refer: Callable[[Any], Any] = lambda value: ["opaque"]) -> None:
        self.objects: list[Any] = list(known)  # keeps them alive, so that an id() is never used twice
        self.refer = refer
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
        return kinds.written(self, value) or self.refer(value)

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


def _text(value: str) -> Any:
    plain = str.__str__(value)
    try:
        plain.encode()
    except UnicodeEncodeError:
        return ["text", plain.encode(_SURROGATE_SAFE, "surrogatepass").hex()]
    return plain


def _tuple(writer: Writer, value: tuple[Any, ...]) -> Any:
    items = writer.items(tuple.__iter__(value))
    fields = getattr(type(value), "_fields", None)  # of a named tuple
    if isinstance(fields, tuple) and len(fields) == len(items) and all(type(field) is str for field in fields):
        return ["namedtuple", type(value).__name__, list(fields), items]
    return ["tuple", items]


# Subclasses are written as the value of their base: the first match counts, so special kinds stand before their bases.
_WRITERS: tuple[tuple[Any, Callable[[Writer, Any], Any]], ...] = (
    ((bool, type(None)), lambda w, v: v),
    (int, lambda w, v: _integer(v)),
    (float, lambda w, v: float.__float__(v)),
    (str, lambda w, v: _text(v)),
    (complex, lambda w, v: ["complex", complex(v).real, complex(v).imag]),
    (bytes, lambda w, v: ["bytes", bytes.hex(v)]),
    (bytearray, lambda w, v: ["bytearray", w.number(v), bytearray.hex(v)]),
    (tuple, _tuple),
    (list, lambda w, v: ["list", w.number(v), w.items(list.__iter__(v))]),
    (collections.deque, lambda w, v: ["deque", w.number(v), w.items(collections.deque.__iter__(v)), v.maxlen]),
    (set, lambda w, v: ["set", w.number(v), w.items(set.__iter__(v))]),
    (frozenset, lambda w, v: ["frozenset", w.items(frozenset.__iter__(v))]),
    (collections.Counter, lambda w, v: ["Counter", w.number(v), w.pairs(v)]),
    (collections.OrderedDict, lambda w, v: ["OrderedDict", w.number(v), w.pairs(v)]),
    (dict, lambda w, v: ["dict", w.number(v), w.pairs(v)]),
    (range, lambda w, v: ["range", v.start, v.stop, v.step]),
)


class Reader:
    """Reads values of one exchange.

    Args:
        known: the objects that references may name.
        resolve: the object of a form that is no plain value. Raises BadValue.
    """

    def __init__(self, known: Iterable[Any] = (), resolve: Callable[..., Any] | None = None) -> None:
        self.objects: list[Any] = list(known)
        self._resolve = resolve

    def read(self, form: Any) -> Any:
        """The value of a JSON form. Raises BadValue."""
        if form is None or type(form) in (bool, int, float, str):
            return form
        if type(form) is not list or not form or type(form[0]) is not str:
            raise BadValue("a form without a tag")
        try:
            return self._tagged(*form)
        except _BROKEN as error:
            raise BadValue(f"a broken {form[0][:20]}") from error

    def _tagged(self, tag: str, *body: Any) -> Any:
        if tag == "same":
            return self.objects[natural(body[0])]
        if tag in _MUTABLE:
            number, form, *rest = body
            if natural(number) != len(self.objects):
                raise BadValue("a number out of order")
            value = _MUTABLE[tag](*rest)
            self.objects.append(value)
            self.fill(value, form)
            return value
        if tag in _FIXED:
            return _FIXED[tag](self, *body)
        if tag in kinds.READERS:
            return kinds.READERS[tag](self, *body)
        if self._resolve is None:
            raise BadValue("an unknown tag")
        return self._resolve(tag, *body)

    def fill(self, value: Any, form: Any) -> None:
        """Replaces the contents of a mutable value, in place, by those of a container's form. Raises BadValue."""
        try:
            self._fill(value, form)
        except _BROKEN as error:
            raise BadValue(f"the contents of no {type(value).__name__}") from error

    def _fill(self, value: Any, form: Any) -> None:
        if isinstance(value, bytearray):
            value[:] = bytes.fromhex(form)
        elif isinstance(value, dict):
            items = [(self.read(key), self.read(item)) for key, item in form]
            value.clear()
            for key, item in items:
                value[key] = item
        elif isinstance(value, list):
            value[:] = map(self.read, form)
        elif isinstance(value, (set, collections.deque)):
            items = [self.read(item) for item in form]
            value.clear()
            (value.update if isinstance(value, set) else value.extend)(items)
        else:
            kinds.fill(value, form)


def natural(number: Any) -> int:
    """`number`, if it is an index. Raises BadValue: True and -1 would be valid to a list."""
    if type(number) is not int or number < 0:
        raise BadValue("no index")
    return number


_MUTABLE: dict[str, Callable[..., Any]] = {
    "list": list,
    "dict": dict,
    "set": set,
    "bytearray": bytearray,
    "deque": lambda maxlen=None: collections.deque(maxlen=maxlen),
    "Counter": collections.Counter,
    "OrderedDict": collections.OrderedDict,
    **kinds.MUTABLE,
}
_FIXED: dict[str, Callable[..., Any]] = {
    "int": lambda r, digits: int(digits, 16),
    "text": lambda r, digits: bytes.fromhex(digits).decode(_SURROGATE_SAFE, "surrogatepass"),
    "complex": lambda r, real, imag: complex(real, imag),
    "bytes": lambda r, digits: bytes.fromhex(digits),
    "tuple": lambda r, items: tuple(map(r.read, items)),
    "namedtuple": lambda r, name, fields, items: kinds.named_tuple(name, fields)(*map(r.read, items)),
    "frozenset": lambda r, items: frozenset(map(r.read, items)),
    "range": lambda r, start, stop, step: range(start, stop, step),
    "opaque": lambda r: object(),
}


def to_json(message: Any) -> bytes:
    """A message as ASCII text. Raises RecursionError for one nested too deep."""
    return json.dumps(message, separators=(",", ":")).encode("ascii")


def from_json(body: bytes) -> Any:
    """The message of a text. Raises BadValue where it is none."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadValue("no JSON") from error
