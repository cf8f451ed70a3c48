"""Plain values of rarer kinds: views, dates, exact numbers, arrays. A program without them pays nothing for them.

Each is looked up only where its module is loaded on the writing side; the reading side imports it when one arrives.
"""

from __future__ import annotations

import collections
import functools
import importlib
import math
import re
import sys
from collections.abc import Callable
from typing import Any

LONGEST_NUMBER = 10_000  # digits of a Decimal or Fraction: 1e99999999 is short as text and endless as a fraction
_DTYPE = re.compile(r"[<>|=]([biufc][0-9]{1,2}|U[0-9]{1,6}|[mM]8\[[a-zA-Z]{1,2}\])")
_VIEWS = {"keys": type({}.keys()), "values": type({}.values()), "pairs": type({}.items())}
_CONSTANTS = {"Ellipsis": Ellipsis, "NotImplemented": NotImplemented}


def written(writer: Any, value: Any) -> Any:
    """The form of a value of a kind named here; None for any other."""
    for name, constant in _CONSTANTS.items():
        if value is constant:
            return [name]
    for name, view in _VIEWS.items():
        if isinstance(value, view):
            return [name, writer.items(value)]
    for module, name, text in _TEXTS:
        if module in sys.modules and isinstance(value, getattr(sys.modules[module], name)):
            return [name, text(value)]
    if "array" in sys.modules and isinstance(value, sys.modules["array"].array):
        return ["array", writer.number(value), value.tolist(), value.typecode]
    return _numpy(writer, value) if "numpy" in sys.modules else None


def _numpy(writer: Any, value: Any) -> Any:
    numpy = sys.modules["numpy"]
    if isinstance(value, numpy.generic) and _DTYPE.fullmatch(value.dtype.str):
        return ["scalar", value.dtype.str, value.tobytes().hex()]
    if isinstance(value, numpy.ndarray) and _DTYPE.fullmatch(value.dtype.str):
        return ["ndarray", writer.number(value), value.tobytes().hex(), value.dtype.str, list(value.shape)]
    return None


# Module, class and text of it, special kinds before their bases; `_TEXT_READERS` has the way back.
_TEXTS: tuple[tuple[str, str, Callable[[Any], Any]], ...] = (
    ("decimal", "Decimal", str),
    ("fractions", "Fraction", str),
    ("datetime", "datetime", lambda value: value.isoformat()),
    ("datetime", "date", lambda value: value.isoformat()),
    ("datetime", "time", lambda value: value.isoformat()),
    ("datetime", "timedelta", lambda value: [value.days, value.seconds, value.microseconds]),
)


def _number(module: str, name: str, digits: Any) -> Any:
    if type(digits) is not str or len(digits) > LONGEST_NUMBER:
        raise ValueError(f"a broken {name}")
    if name == "Fraction" and not re.fullmatch(r"-?[0-9]+(/[0-9]+)?", digits):
        raise ValueError("a fraction in another form")
    return getattr(importlib.import_module(module), name)(digits)


def _moment(name: str, text: str) -> Any:
    return getattr(importlib.import_module("datetime"), name).fromisoformat(text)


@functools.lru_cache(maxsize=64)
def _named_tuple(name: str, fields: tuple[str, ...]) -> Any:
    return collections.namedtuple(name, fields)


def named_tuple(name: Any, fields: Any) -> Any:
    """The class of a named tuple. Raises TypeError, ValueError."""
    if type(name) is not str or len(fields) > 256 or any(type(field) is not str for field in fields):
        raise ValueError("a named tuple without names")
    return _named_tuple(name, tuple(fields))


def _array(typecode: Any) -> Any:
    return importlib.import_module("array").array(typecode)


def _dtype(text: Any) -> Any:
    if type(text) is not str or not _DTYPE.fullmatch(text):
        raise ValueError("a broken dtype")
    return importlib.import_module("numpy").dtype(text)


def _ndarray(dtype: Any, shape: Any) -> Any:
    if any(type(size) is not int or size < 0 for size in shape) or math.prod(shape) > 2**26:
        raise ValueError("a broken shape")
    return importlib.import_module("numpy").empty(shape, _dtype(dtype))


def _scalar(dtype: Any, digits: str) -> Any:
    (value,) = importlib.import_module("numpy").frombuffer(bytes.fromhex(digits), _dtype(dtype))
    return value


MUTABLE: dict[str, Callable[..., Any]] = {"array": _array, "ndarray": _ndarray}
"""Empty values by tag, to be filled."""
READERS: dict[str, Callable[..., Any]] = {
    **{name: lambda r, constant=constant: constant for name, constant in _CONSTANTS.items()},
    "keys": lambda r, items: dict.fromkeys(map(r.read, items)).keys(),
    "values": lambda r, items: dict(enumerate(map(r.read, items))).values(),
    "pairs": lambda r, items: dict(map(r.read, items)).items(),
    "Decimal": lambda r, digits: _number("decimal", "Decimal", digits),
    "Fraction": lambda r, digits: _number("fractions", "Fraction", digits),
    "datetime": lambda r, text: _moment("datetime", text),
    "date": lambda r, text: _moment("date", text),
    "time": lambda r, text: _moment("time", text),
    "timedelta": lambda r, parts: importlib.import_module("datetime").timedelta(*parts),
    "scalar": lambda r, dtype, digits: _scalar(dtype, digits),
}


def fill(value: Any, form: Any) -> None:
    """Replaces the contents of an array in place. Raises TypeError, ValueError."""
    if type(value).__module__ == "array":
        del value[:]
        value.fromlist(form)
        return
    numpy = importlib.import_module("numpy")
    value[...] = numpy.frombuffer(bytes.fromhex(form), value.dtype).reshape(value.shape)
