"""What crosses between a program and its tests: equal values of exact types, changes in place, and nothing else."""

from __future__ import annotations

import collections
import enum
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluator.sandbox.cell.exchange import BrokenTest, ProgramStopped, answer, ask
from evaluator.sandbox.cell.values import BadValue, Reader, Writer, from_line, to_line

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.complex_numbers(allow_nan=False)
)
hashables = scalars | st.tuples(scalars, scalars) | st.frozensets(scalars, max_size=3)
values = st.recursive(
    hashables | st.sets(hashables, max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(hashables, inner, max_size=4) | st.tuples(inner),
    max_leaves=12,
)


def carried(value):
    return Reader().read(from_line(to_line(Writer().write(value))))


def call(function, *arguments, **keywords):
    """A test's call of a program's function, through the lines that cross."""
    return ask(lambda line: answer(function, line), arguments, keywords)


@given(values)
def test_plain_values_arrive_equal_and_of_the_same_type(value):
    assert repr(carried(value)) == repr(value) or carried(value) == value
    assert type(carried(value)) is type(value)


@pytest.mark.parametrize(
    "value",
    [
        10**400, -(10**5000), float("inf"), -0.0, "\ud800", range(0, 9, 2), bytearray(b"ab"), Decimal("0.10"), Fraction(1, 3),
        collections.Counter("aab"), collections.OrderedDict(b=1, a=2), collections.deque([1, 2], maxlen=2),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_values_of_the_standard_library_arrive_too(value):
    assert carried(value) == value
    assert type(carried(value)) is type(value)


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (type("I", (int,), {"__eq__": lambda s, o: True, "__hash__": int.__hash__})(7), 7),
        (type("S", (str,), {"__str__": lambda s: "other"})("text"), "text"),
        (type("L", (list,), {"__iter__": lambda s: iter("no")})([1]), [1]),
        (enum.IntEnum("E", "A B").B, 2),
        (collections.namedtuple("P", "x y")(1, 2), (1, 2)),
        (collections.defaultdict(list, a=[1]), {"a": [1]}),
    ],
)
def test_a_subclass_arrives_as_what_it_was_built_on(value, plain):
    assert carried(value) == plain
    assert type(carried(value)) is type(plain)


def test_any_other_object_arrives_as_one_that_equals_nothing():
    arrived = carried(type("Equal", (), {"__eq__": lambda s, o: True})())
    assert type(arrived) is object
    assert arrived != 1
    assert arrived != carried(object())


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


def test_iterators_are_carried_as_iterators():
    assert list(call(lambda: (n * n for n in range(4)))) == [0, 1, 4, 9]


def test_a_test_may_catch_what_a_program_raises():
    with pytest.raises(ZeroDivisionError, match="division"):
        call(lambda: 1 / 0)
    with pytest.raises(RuntimeError, match="Mine: no"):
        call(lambda: (_ for _ in ()).throw(type("Mine", (Exception,), {})("no")))


@pytest.mark.parametrize("stop", [SystemExit, KeyboardInterrupt, GeneratorExit])
def test_no_test_can_catch_a_program_that_stops(stop):
    with pytest.raises(ProgramStopped):
        call(lambda: (_ for _ in ()).throw(stop()) if stop is not GeneratorExit else exec("raise GeneratorExit"))


def test_a_test_that_passes_what_cannot_cross_is_the_one_at_fault():
    with pytest.raises(BrokenTest, match="function"):
        call(lambda f: f(1), lambda x: x)


@pytest.mark.parametrize(
    "line",
    [
        b"", b"null\n", b"[]\n", b"{}\n", b"\xff\n", b"[" * 100000, b'{"changed":[],"returned":["list",7,[]]}',
        b'{"changed":[],"returned":["same",0]}', b'{"changed":[],"returned":["exec","1"]}', b'{"changed":[],"returned":[]}',
        b'{"changed":[],"returned":{"a":1}}', b'{"changed":[1],"returned":1}', b'{"changed":[],"raised":[1]}',
        b'{"changed":[],"returned":["dict",0,[[["list",1,[]],1]]]}', b'{"changed":[],"returned":["Fraction","1/0"]}',
        b'{"changed":[],"returned":["int","zz"]}', b'{"changed":[],"returned":["bytes",5]}',
    ],
)  # fmt: skip
def test_a_reply_that_is_no_value_is_refused(line):
    with pytest.raises(BadValue):
        ask(lambda _: line, (), {})
