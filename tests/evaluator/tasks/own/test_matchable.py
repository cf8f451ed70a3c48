"""Patterns that can match nothing are told from those that can."""

import pytest

from evaluator.tasks.own.matchable import can_match


@pytest.mark.parametrize(
    "pattern",
    [r"answer is (\d+)", r"####\s*(-?[\d.,]+)", r"\b[A-D]\b", r"(?i)true|false", r"(?m)$\n^x", r"```python\n(.*?)```", r"(a)\1b",
     r"^$", r".*", r"(?<=is )\w+", r"(?!no)\w+", r"x{3,}", r"(?s:.)\Z", r"(?!)|a", r"[^\d\s]", r"(?P<n>\d)(?P=n)"],
)  # fmt: skip
def test_a_pattern_that_can_match_is_taken(pattern):
    assert can_match(pattern)


@pytest.mark.parametrize("pattern", ["$a", "a^", "(?!)", r"[^\s\S]", r"a\bb", r"\Za", r"x\Ay", "(?:$a|b^)", "(?!)a+"])
def test_a_pattern_that_cannot_is_not(pattern):
    assert not can_match(pattern)
