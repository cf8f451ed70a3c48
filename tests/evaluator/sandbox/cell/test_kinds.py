"""Rarer kinds of plain values arrive equal and of their type, and broken forms are refused."""

import array
import datetime
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

from evaluator.sandbox.cell.values import BadValue, Reader, Writer


def carried(value):
    return Reader().read(Writer().write(value))


@pytest.mark.parametrize(
    "value",
    [Decimal("1.50"), Fraction(1, 3), datetime.date(2026, 1, 2), datetime.timedelta(1, 2, 3), ..., np.float32(1.5),
     array.array("d", [1.0, 2.0])],
    ids=str,
)  # fmt: skip
def test_a_value_arrives_equal_and_of_its_type(value):
    arrived = carried(value)
    assert arrived == value
    assert type(arrived) is type(value)


def test_an_array_keeps_its_shape_and_type():
    value = np.arange(6, dtype=np.int16).reshape(2, 3)
    arrived = carried(value)
    assert arrived.dtype == value.dtype
    np.testing.assert_array_equal(arrived, value)


@pytest.mark.parametrize(
    "form",
    [["Fraction", "1/0x"], ["Decimal", "9" * 10_001], ["ndarray", 0, "", "<f8", [2**40]], ["scalar", "|O", "00"]],
)
def test_a_broken_form_is_refused(form):
    with pytest.raises(BadValue):
        Reader().read(form)
