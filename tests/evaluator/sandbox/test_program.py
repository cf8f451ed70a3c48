"""A generated program, and the size that no model can have meant."""

import pytest

from evaluator.sandbox.program import LONGEST_PROGRAM, Program, ProgramResult, refuse_oversized
from schemas.errors import UserError


def program(completion):
    return Program("HumanEval/0", "def f():\n", completion, "def check(f): pass", "f")


def test_the_program_is_prompt_and_completion_without_the_tests():
    assert program("    return 1\n").source == "def f():\n    return 1\n"


def test_a_megabyte_is_taken_and_more_is_refused_by_name():
    room = LONGEST_PROGRAM - len("def f():\n")
    refuse_oversized([program("x" * room)])
    with pytest.raises(UserError, match=r"1,048,577 bytes long; the sandbox takes at most 1,048,576") as refused:
        refuse_oversized([program("x" * (room + 1))])
    assert "HumanEval/0" in str(refused.value)


def test_bytes_are_counted_of_text_that_no_encoding_writes_too():
    refuse_oversized([program("\ud800")])


@pytest.mark.parametrize(("outcome", "passed"), [("passed", True), ("failed", False), ("timed_out", False)])
def test_only_every_test_passed_is_a_pass(outcome, passed):
    assert ProgramResult("a", outcome, "", 0.1).passed is passed
