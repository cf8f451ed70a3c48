"""Stand-ins for objects of the other side, and what a program may do with an object that a test gave it.

A test's view of a program's object has no `==`, no order, no truth of its own: an object that equals everything equals
nothing here. A program's view of a test's object has all operators, but no name that begins with an underscore and none of
the kinds of object from which a program could walk to the test's own text and secrets.
"""

from __future__ import annotations

import builtins
import importlib
import sys
import types
from typing import Any, Protocol

from .values import BadValue

_SHARED = ("__call__", "__len__", "__getitem__", "__setitem__", "__delitem__", "__iter__", "__str__", "__repr__")
_OPERATORS = (
    "__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__", "__hash__", "__bool__", "__contains__", "__reversed__",
    "__int__", "__float__", "__index__", "__abs__", "__neg__", "__pos__", "__invert__", "__enter__", "__exit__",
    *(f"__{side}{name}__" for side in ("", "r") for name in (
        "add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and", "or", "xor", "lshift", "rshift",
    )),
)  # fmt: skip
_ALL = _SHARED + _OPERATORS
_CLOSED = (
    types.ModuleType, types.FrameType, types.CodeType, types.TracebackType, types.GeneratorType, types.CoroutineType,
    types.AsyncGeneratorType, types.FunctionType, types.BuiltinFunctionType, types.MethodType,
)  # fmt: skip
_HARMLESS_FUNCTIONS = frozenset({
    abs, all, any, ascii, bin, callable, chr, divmod, format, hash, hex, isinstance, issubclass, iter, len, max, min, next,
    oct, ord, pow, repr, round, sorted, sum,
})  # fmt: skip
_HARMLESS = {
    name: value
    for name, value in vars(builtins).items()
    if not name.startswith("_")
    and callable(value)
    and (value in _HARMLESS_FUNCTIONS or (isinstance(value, type) and value not in (type, super)))
}
"""Builtins that are the same on both sides and show nothing of either; taken before a program could change them."""


class _Asker(Protocol):
    def request(self, on: int, do: str, *arguments: Any, **keywords: Any) -> Any: ...


class Remote:
    """An object of the other side."""

    _peer: _Asker
    _number: int

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return self._peer.request(self._number, "get", name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("_"):
            raise AttributeError(name)
        self._peer.request(self._number, "set", name, value)


def _operator(name: str) -> Any:
    if name == "__call__":
        return lambda self, *arguments, **keywords: self._peer.request(self._number, "call", *arguments, **keywords)
    return lambda self, *arguments: self._peer.request(self._number, "special", name, *arguments)


def stand_in(peer: _Asker, number: int, name: Any, abilities: Any, *, operators: bool) -> Any:
    """An object that asks `peer` for whatever is done with it.

    Args:
        peer: this side.
        number: the object's, on the other side.
        name: of its class.
        abilities: special methods that it has.
        operators: whether comparisons and arithmetic are the object's own too.
    """
    if type(name) is not str or type(abilities) is not list:
        raise BadValue("an object in another form")
    methods = {method: _operator(method) for method in (_ALL if operators else _SHARED) if method in abilities}
    if not operators:
        methods["__bool__"] = lambda self: True
    made = type(name if name.isidentifier() else "Remote", (Remote,), methods)()
    object.__setattr__(made, "_peer", peer)
    object.__setattr__(made, "_number", number)
    return made


def abilities(value: Any) -> list[str]:
    """The special methods of an object that a stand-in may offer."""
    kind = type(value)
    if hasattr(kind, "__next__"):
        return ["__next__"]
    if isinstance(value, (types.ModuleType, types.FrameType, types.CodeType)):
        return []
    found = [name for name in _ALL if getattr(kind, name, None) is not getattr(object, name, None)]
    return [name for name in found if getattr(kind, name) is not None]


def require_harmless(do: Any, target: Any, arguments: list[Any]) -> None:
    """Raises AttributeError where a program asks for more of a test's object than it may."""
    if not arguments or type(arguments[0]) is not str:
        raise AttributeError("no name")
    name = arguments[0]
    if do == "special":
        allowed = name in _ALL and not isinstance(target, (types.ModuleType, types.FrameType, types.CodeType))
    else:
        allowed = not name.startswith("_") and not isinstance(target, _CLOSED)
        if do == "set":
            allowed = allowed and not isinstance(target, type)
        elif do != "get":
            allowed = False
    if not allowed:
        raise AttributeError(f"{type(target).__name__!r} object has no attribute {name!r}")


def name_of(value: Any, *, harmless_only: bool) -> tuple[str, str] | None:
    """Module and name of a function or class that the other side has as well."""
    if not isinstance(value, (type, types.FunctionType, types.BuiltinFunctionType, types.MethodDescriptorType)):
        return None
    name = getattr(value, "__qualname__", "")
    if _HARMLESS.get(name) is value:
        return "builtins", name
    if harmless_only:
        return None
    owner = getattr(value, "__objclass__", value)
    module = getattr(owner, "__module__", None)
    if not isinstance(module, str) or not isinstance(name, str):
        return None
    known = module in sys.stdlib_module_names or module.partition(".")[0] == "numpy"
    return (module, name) if known and _found(sys.modules.get(module), name) is value else None


def named(module: Any, name: Any, *, harmless_only: bool) -> Any:
    """The function or class of that name. Raises BadValue, and whatever an import raises."""
    if type(module) is not str or type(name) is not str:
        raise BadValue("no name")
    if module == "builtins" and name in _HARMLESS:
        return _HARMLESS[name]
    if harmless_only:
        raise BadValue("a name that is not shared")
    return _found(importlib.import_module(module), name)


def _found(module: Any, name: str) -> Any:
    for part in name.split("."):
        module = getattr(module, part, None)
    return module
