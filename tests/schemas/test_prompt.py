"""The published prompts, to the byte."""

from schemas.prompt import COMMONSENSE_170K, TEMPLATES

S16 = " " * 16


def test_the_training_prompt_is_the_published_one():
    assert COMMONSENSE_170K.training_prompt("Q {x}?\nA") == (
        "Below is an instruction that describes a task. Write a response that appropriately completes the request.  \n\n"
        f"{S16}### Instruction:\n{S16}Q {{x}}?\nA\n{S16}\n{S16}### Response:\n{S16}"
    )


def test_the_evaluation_prompt_differs_in_the_three_published_places():
    assert COMMONSENSE_170K.evaluation_prompt("Q") == (
        "Below is an instruction that describes a task. Write a response that appropriately completes the request. \n\n"
        f"{S16}### Instruction:\n{S16}Q\n\n{S16}### Response:\n{S16}"
    )


def test_each_template_has_an_identity_of_its_own():
    assert len({template.sha256 for template in TEMPLATES.values()}) == len(TEMPLATES)


def test_a_template_says_the_same_as_jinja():
    from schemas.row_text import RowText

    for template in (COMMONSENSE_170K, TEMPLATES["question_answer"], TEMPLATES["plain"]):
        text = RowText(template.jinja, "prompt", "here")
        assert text({"instruction": "Why?"}, "row 1") == template.evaluation_prompt("Why?")
        assert text({"instruction": "Why?", "input": "Now."}, "row 1") == template.evaluation_prompt("Why?\nNow.")
