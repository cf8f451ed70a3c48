"""Task names for tables."""

from evaluator.tasks.names import short_names


def test_task_names_are_abbreviated_as_in_the_literature() -> None:
    names = short_names(["commonsense_170k_arc_easy", "commonsense_170k_social_i_qa", "commonsense_170k_boolq"])
    assert list(names.values()) == ["ARC-e", "SIQA", "BoolQ"]
    assert short_names(["gsm8k"]) == {"gsm8k": "GSM8K"}
