"""What crosses between a program and its tests: equal values of exact types, changes in place, and nothing else."""

from __future__ import annotations

import array
import collections
import contextlib
import datetime
import enum
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evaluator.sandbox.cell.kinds import READERS
from evaluator.sandbox.cell.values import _FIXED, _MUTABLE, BadValue, Reader, Writer, from_json, to_json

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

tags = st.sampled_from([*_MUTABLE, *_FIXED, *READERS, "same", "mine", "yours", "named"])
forms = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 40) | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.builds(lambda tag, body: [tag, *body], tags, st.lists(inner, max_size=4))
    ),
    max_leaves=10,
)  # like what a program could send: known tags with anything behind them


def carried(value):
    return Reader().read(from_json(to_json(Writer().write(value))))


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(values)
def test_plain_values_arrive_equal_and_of_the_same_type(value):
    assert repr(carried(value)) == repr(value) or carried(value) == value
    assert type(carried(value)) is type(value)


@pytest.mark.parametrize(
    "value",
    [
        10**400, -(10**5000), float("inf"), -0.0, "\ud800", "\ud83d\ude00", ..., NotImplemented, array.array("d", [0.5]), range(0, 9, 2), bytearray(b"ab"), Decimal("0.10"), Fraction(1, 3),
        collections.Counter("aab"), collections.OrderedDict(b=1, a=2), collections.deque([1, 2], maxlen=2),
        datetime.date(2020, 1, 2), datetime.datetime(2020, 1, 2, 3, tzinfo=datetime.UTC), datetime.timedelta(1, 2, 3),
        {1: 2}.keys(), {1: 2}.items(), collections.namedtuple("P", "x y")(1, [2]), np.float32(0.1), np.int64(7), np.True_,
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_values_of_the_standard_library_arrive_too(value):
    assert carried(value) == value
    assert type(carried(value)).__name__ == type(value).__name__


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (type("I", (int,), {"__eq__": lambda s, o: True, "__hash__": int.__hash__})(7), 7),
        (type("S", (str,), {"__str__": lambda s: "other"})("text"), "text"),
        (type("L", (list,), {"__iter__": lambda s: iter("no")})([1]), [1]),
        (enum.IntEnum("E", "A B").B, 2),
        (np.float64(0.5), 0.5),
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


@pytest.mark.parametrize("dtype", ["float64", "int8", "bool", "complex64", "U3", "datetime64[D]"])
def test_arrays_arrive_with_their_type_and_shape(dtype):
    value = np.zeros((2, 3), dtype)
    assert carried(value).dtype == value.dtype
    assert np.array_equal(carried(value), value)


def test_the_values_of_a_mapping_arrive_in_order():
    assert list(carried({"b": 2, "a": 1}.values())) == [2, 1]


def test_a_container_that_contains_itself_does_so_on_the_other_side():
    value = [1]
    value.append((value, value))
    arrived = carried(value)
    assert arrived[1][0] is arrived[1][1] is arrived


@pytest.mark.parametrize(
    "body",
    [
        b"", b"[]", b"{}", b"\xff", b"[" * 100000, b'["list",7,[]]', b'["list",true,[]]', b'["list",0,7]', b'["same",0]',
        b'["same",-1]', b'["same",false]', b'["exec","1"]', b'["__class__",0]', b'["tuple"]', b'["int","zz"]',
        b'["bytes",5]', b'["dict",0,[[["list",1,[]],1]]]', b'["Fraction","1/0"]', b'["Fraction","1e99999999"]',
        b'["Decimal","x"]', b'["date","2020"]', b'["range",0]', b'["deque",0,[1],"x"]', b'["Counter",0,[5]]',
        b'["namedtuple","A",["_x"],[1]]', b'["namedtuple","A",["x"],[1,2]]', b'["namedtuple","A b",["x"],[1]]',
        b'["ndarray",0,"00","|O",[1]]', b'["ndarray",0,"00","|u1",[-1]]', b'["ndarray",0,"00","|u1",[99999999,99999999]]',
        b'["ndarray",0,"0000","|u1",[1]]', b'["scalar","<f8","00"]', b'["text","00"]', b'["array",0,["x"],"i"]',
        b'["timedelta",["x"]]', b'["mine",0,"f",[]]', b'["named","os","system"]',
    ],
)  # fmt: skip
def test_a_text_that_is_no_value_is_refused(body):
    with pytest.raises(BadValue):
        Reader().read(from_json(body))


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.binary() | forms)
def test_no_text_does_anything_but_be_read_or_refused(body):
    with contextlib.suppress(BadValue):
        Reader().read(from_json(body if isinstance(body, bytes) else to_json(body)))


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(forms)
def test_no_form_does_anything_but_fill_a_value_or_be_refused(form):
    for value in ([], {}, set(), bytearray(), collections.deque(), np.zeros(2), array.array("i")):
        with contextlib.suppress(BadValue):
            Reader().fill(value, form)
