"""The conversation of a program and its tests: calls, changes, exceptions, and objects that stay on their side."""

from __future__ import annotations

import contextlib
import itertools
import math
import queue
import threading
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evaluator.sandbox.cell.exchange import ProgramStopped
from evaluator.sandbox.cell.peer import Peer
from evaluator.sandbox.cell.values import to_json
from tests.evaluator.sandbox.cell.test_values import forms

SECRET = "918273645123"


def candidate(function):
    """A program's function as its test sees it, for as long as this process runs."""
    to_program: queue.SimpleQueue = queue.SimpleQueue()
    to_test: queue.SimpleQueue = queue.SimpleQueue()
    program = Peer(to_program.get, to_test.put, trusting=True, exports=[function])
    test = Peer(lambda: to_test.get(timeout=5), to_program.put, trusting=False)

    def serve():
        while True:
            program.serve(to_program.get())

    threading.Thread(target=serve, daemon=True).start()
    return lambda *arguments, **keywords: test.request(0, "call", *arguments, **keywords)


def call(function, *arguments, **keywords):
    return candidate(function)(*arguments, **keywords)


def test_a_change_to_an_argument_is_seen_by_the_test():
    numbers, table, members = [3, 1, 2], {"a": 1}, {1}

    def change(numbers, table, *, members):
        numbers.sort(), table.update(b=2), members.clear()
        return numbers

    result = call(change, numbers, table, members=members)
    assert (numbers, table, members) == ([1, 2, 3], {"a": 1, "b": 2}, set())
    assert result is numbers


def test_shared_and_circular_lists_stay_shared_and_circular():
    inner = [1]
    result = call(lambda outer: (outer[0].append(2), outer)[1], [inner, inner])
    assert result == [[1, 2], [1, 2]]
    assert result[0] is result[1] is inner
    circular = call(lambda: (made := [], made.append(made))[0])
    assert circular[0] is circular


def test_generators_are_as_lazy_as_in_one_process():
    taken = []

    def numbers():
        for number in itertools.count():
            taken.append(number)
            yield number

    f = candidate(numbers)
    assert list(itertools.islice(f(), 3)) == [0, 1, 2]
    assert taken == [0, 1, 2]
    assert list(itertools.islice(f(), 5000)) == list(range(5000))


def test_an_error_in_a_generator_comes_after_its_items():
    def numbers():
        yield from range(40)
        raise KeyError("end")

    f = candidate(numbers)
    found = []
    with pytest.raises(KeyError, match="end"):
        found.extend(number for number in f())
    items = f()
    assert [next(items) for _ in range(40)] == list(range(40))


def test_iterators_go_in_as_lazily():
    assert call(lambda items: [next(items), next(items)], itertools.count(5)) == [5, 6]


def test_functions_and_classes_cross_both_ways():
    class Value:
        v = 4

        def __init__(self, extra=0):
            self.extra = extra

        def __lt__(self, other):
            return self.extra < other.extra

        def total(self):
            return self.v + self.extra

    assert call(lambda g: g(3), lambda n: n + 1) == 4
    assert call(lambda x: (x.v, x.total(), x), Value(3))[:2] == (4, 7)
    assert call(lambda kind: kind(5).total(), Value) == 9
    assert call(lambda items: max(items).extra, [Value(1), Value(8), Value(2)]) == 8
    assert call(lambda x: lambda y: x + y, 1)(2) == 3
    assert call(lambda f: f is len, len)
    assert call(lambda f, g: (f(9), g("a")), math.sqrt, str.upper) == (3.0, "A")
    assert call(lambda: int) is int


def test_an_object_comes_back_as_itself():
    value, other = object(), object()
    assert call(lambda x, y: (y, x), value, other) == (other, value)
    f = candidate(lambda x=None: f_object if x is None else x is f_object)
    f_object = type("Own", (), {})()
    assert f() is f()
    assert f(f())


def test_attributes_of_results_and_arguments_are_read_and_written():
    @dataclass
    class Node:
        value: int
        next: Node | None = None

    assert call(lambda: Node(5, Node(6))).next.value == 6
    head = Node(1)
    call(lambda node: setattr(node, "value", 7), head)
    assert head.value == 7
    call(lambda node: setattr(node, "next", node), head)
    assert head.next is head


def test_a_test_may_catch_what_a_program_raises():
    def fail(error):
        raise error

    own = type("Own", (ValueError,), {})
    with pytest.raises(ZeroDivisionError, match="division"):
        call(lambda: 1 / 0)
    with pytest.raises(ValueError, match="no") as caught:
        call(lambda: fail(own("no", 2)))
    assert (type(caught.value).__name__, caught.value.args) == ("Own", ("no", 2))
    with pytest.raises(UnicodeDecodeError):
        call(lambda: b"\xff".decode())


def test_an_error_of_the_tests_function_passes_through_the_program():
    def check(n):
        assert n == 2, "not two"

    with pytest.raises(AssertionError, match="not two"):
        call(lambda f: f(1), check)


@pytest.mark.parametrize("stop", [SystemExit, KeyboardInterrupt, GeneratorExit, BaseException])
def test_no_test_can_catch_a_program_that_stops(stop):
    def ends():
        raise stop

    with pytest.raises(ProgramStopped):
        call(ends)


class Liar:
    """What would pass every test in one process."""

    def __eq__(self, other):
        return True

    def __ne__(self, other):
        return False

    __lt__ = __le__ = __gt__ = __ge__ = __contains__ = __eq__
    __hash__ = int.__hash__

    def __sub__(self, other):
        return 0

    def __len__(self):
        return 0

    def __bool__(self):
        return False


def test_an_object_that_equals_everything_equals_nothing():
    liar = call(Liar)
    assert liar != 1
    assert not liar == call(Liar)  # noqa: SIM201  (both operators are tried)
    assert bool(liar)
    for attempt in (
        lambda: liar < 1,
        lambda: liar - 1,
        lambda: abs(liar),
        lambda: 3 in liar,
        lambda: hash(liar) - 1 + liar,
    ):
        with pytest.raises(TypeError):
            attempt()


def reaches(x):
    """Ways from what a test passed to the test's own text."""
    peer, number = x._peer, x._number
    for do, *arguments in (
        ("get", "__globals__"), ("get", "__code__"), ("get", "__closure__"), ("get", "gi_frame"), ("get", "gi_code"), ("get", "__class__"),
        ("get", "__dict__"), ("get", "__init__"), ("get", "modules"), ("get", ["v"]), ("get", 1), ("set", "__class__", 1),
        ("special", "__getattribute__", "__globals__"), ("special", "__reduce_ex__", 2), ("special", "__dir__"), ("special", "__init__"),
        ("delete", "v"), ("call_in", "x"), ("special",), ("get",), (1,), (None, "x"),
    ):  # fmt: skip
        try:
            found = peer.request(number, do, *arguments)
        except Exception:
            continue
        return f"{do} {arguments}: {found!r}"
    return "nothing"


def generator(secret=SECRET):
    yield secret


class Holder:
    secret_keeper = staticmethod(lambda: SECRET)
    module = math


@pytest.mark.parametrize("given", [lambda: SECRET, generator, Holder(), Holder, Holder.module, math.sqrt.__call__])
def test_a_program_gets_from_a_function_or_object_to_nothing_behind_it(given):
    class Seen:
        def __init__(self, x):
            self.x = x

    def attempt(x):
        return reaches(x) if hasattr(x, "_peer") else "nothing"

    assert call(attempt, given) == "nothing"


def test_a_program_gets_from_a_generator_to_its_items_only():
    def attempt(items):
        peer = items.gi_frame.f_locals["self"]
        for name in ("gi_frame", "gi_code", "gi_running", "send"):
            try:
                return peer.request(items.gi_frame.f_locals["number"], "get", name)
            except AttributeError:
                continue
        return list(items)

    assert call(attempt, generator()) == [SECRET]


def conversation(replies):
    """A test's call of a program that answers with these bytes."""
    sent = iter(replies)
    return Peer(lambda: next(sent), lambda body: None, trusting=False)


@pytest.mark.parametrize(
    "reply",
    [
        b"", b"null", b"[]", b"{}", b"\xff", b"[" * 100000, b'{"changed":[],"returned":["list",7,[]]}',
        b'{"changed":[],"returned":["same",-1]}', b'{"changed":[["list",0,[]]],"returned":1}', b'{"changed":[1],"returned":1}',
        b'{"changed":[],"returned":["yours",0]}', b'{"changed":[],"returned":["named","os","system"]}',
        b'{"changed":[],"returned":["named","builtins","eval"]}', b'{"changed":[],"returned":["mine",-1,"f",[]]}',
        b'{"changed":[],"returned":["mine",0,[],[]]}', b'{"changed":[],"raised":[1]}', b'{"changed":[],"raised":[1,2,3,4]}',
        b'{"changed":[],"raised":["ValueError","ValueError",7,""]}', b'{"changed":[],"raised":["X","print",[],""]}',
        b'{"do":"call"}', b'{"do":"call","on":0,"arguments":[],"keywords":{}}', b'{"do":"get","on":true,"arguments":[],"keywords":{}}',
    ],
)  # fmt: skip
def test_a_reply_that_means_nothing_is_the_programs_end_which_no_test_catches(reply):
    with pytest.raises(ProgramStopped):
        conversation([reply]).request(0, "call")


parts = st.sampled_from(["changed", "returned", "raised", "do", "on", "arguments", "keywords"])


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(parts, forms | st.sampled_from(["call", "get", "set", "next", "special"])))
def test_no_reply_does_anything_but_be_a_result_an_exception_or_the_programs_end(message):
    allowed = (Exception, ProgramStopped) if "raised" in message else (ProgramStopped, StopIteration)
    with contextlib.suppress(*allowed):
        conversation([to_json(message), b"{}"]).request(0, "call", [1], {"a": lambda: 1})
