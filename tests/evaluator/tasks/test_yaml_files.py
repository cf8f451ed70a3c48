"""Task files as plain data, before lm-eval is imported."""

import pytest

from evaluator.tasks.suites import SUITES
from evaluator.tasks.yaml_files import chosen, plain_config
from schemas.errors import UserError


def test_an_include_gives_what_the_file_does_not_say_itself(tmp_path):
    (tmp_path / "shared.yaml").write_text("task: shared\nrepeats: 1\ndoc_to_text: !function module.prompt\n")
    (tmp_path / "mine.yaml").write_text("include: shared.yaml\ntask: mine\n")
    assert plain_config(tmp_path / "mine.yaml") == {"task": "mine", "repeats": 1, "doc_to_text": "module.prompt"}


def test_tasks_are_chosen_by_their_whole_name_or_its_last_part():
    suite = SUITES["commonsense_170k"]
    assert list(chosen(suite, ["piqa", "commonsense_170k_boolq"])) == [
        "commonsense_170k_boolq",
        "commonsense_170k_piqa",
    ]
    assert list(chosen(suite, None)) == list(suite.tasks)


def test_a_name_that_fits_no_task_is_refused():
    with pytest.raises(UserError, match="--tasks bolq fits 0 tasks"):
        chosen(SUITES["commonsense_170k"], ["bolq"])


def test_mmlu_stands_for_its_subjects():
    assert len(chosen(SUITES["mmlu"], None)) == 57
    assert list(chosen(SUITES["mmlu"], ["anatomy"])) == ["mmlu_anatomy"]
