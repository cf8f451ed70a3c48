"""What a program raises arrives as the builtin exception that a test would catch."""

import pytest

from evaluator.sandbox.cell.exchange import MESSAGE_LENGTH, described, exception, exception_form
from evaluator.sandbox.cell.values import Reader, Writer


def carried(error: BaseException) -> BaseException:
    return exception(Reader(), exception_form(Writer(), error))


class Custom(KeyError):
    pass


class Unprintable(ValueError):
    def __str__(self) -> str:
        raise RuntimeError("no")


@pytest.mark.parametrize("error", [ValueError("bad"), ZeroDivisionError(), KeyError("a"), IndexError("x", 3)])
def test_a_builtin_exception_arrives_as_itself(error):
    arrived = carried(error)
    assert type(arrived).__name__ == type(error).__name__
    assert isinstance(arrived, type(error))
    assert arrived.args == error.args


def test_an_exception_of_the_program_s_own_is_caught_as_what_it_is_built_on():
    arrived = carried(Custom("missing"))
    assert isinstance(arrived, KeyError)
    assert type(arrived).__name__ == "Custom"


def test_one_that_refuses_to_be_printed_arrives_all_the_same():
    assert isinstance(carried(Unprintable(1)), ValueError)
    assert described(Unprintable(1)) == ("Unprintable", "")


def test_a_long_message_is_cut_where_people_read_it():
    assert len(described(ValueError("x" * 10_000))[1]) == MESSAGE_LENGTH
