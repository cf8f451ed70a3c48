"""Reading a label from an output, quirks included through lm-eval's own filter."""

import json
from types import SimpleNamespace

import pytest

from evaluator.tasks.load import load_tasks
from evaluator.tasks.suites import SUITES
from schemas.errors import UserError
from tests.evaluator.commands.test_score import score

QUIRKS = [
    ("boolq", " the correct answer is true", "true"),
    ("boolq", "True", None),
    ("boolq", "it is untrue", "true"),
    ("boolq", "false, or rather true", "false"),
    ("boolq", "", None),
    ("boolq", "TRUE false", "false"),
    ("piqa", "not solution1 but solution2", "solution1"),
    ("piqa", "solution3", None),
    ("piqa", "Solution1", None),
    ("social_i_qa", "answer12", "answer1"),
    ("social_i_qa", "answer5", "answer5"),
    ("social_i_qa", "Answer1", None),
    ("hellaswag", "the correct answer is ending4", "ending4"),
    ("hellaswag", "ending5", None),
    ("winogrande", "option2 option1", "option2"),
    ("arc_easy", "answer6, no, answer3", "answer3"),
    ("arc_challenge", "the correct answer is\nanswer2", "answer2"),
    ("openbookqa", "no idea", None),
]


@pytest.fixture(scope="module", params=["commonsense_170k", "commonsense_170k_beam4"])
def tasks(request, tmp_path_factory):
    from evaluator.tasks.yaml_files import task_configs

    data = tmp_path_factory.mktemp("every_task")
    for config in task_configs(SUITES[request.param]).values():
        folder, pattern = (config["dataset_kwargs"][key] for key in ("folder", "pattern"))
        (data / folder).mkdir()
        (data / folder / "test.json").write_text(f'[{{"instruction": "?", "answer": "{pattern.split("|")[0]}"}}]')
    return load_tasks(SUITES[request.param], data, None).tasks


@pytest.mark.parametrize(("task", "output", "answer"), QUIRKS)
def test_the_leftmost_case_sensitive_label_counts(tasks, task, output, answer):
    task = next(loaded for name, loaded in tasks.items() if name.endswith(f"_{task}"))
    instance = SimpleNamespace(resps=[output], doc={}, filtered_resps={})
    (ensemble,) = task._filters
    ensemble.apply([instance])
    assert instance.filtered_resps["leftmost"] == (answer or "[invalid]")


def test_greedy_and_beams_hold_the_eight_tasks_and_say_their_version(tasks):
    assert len(tasks) == 8
    assert {task.VERSION for task in tasks.values()} == {1.0}


def test_greedy_and_beams_generate_32_tokens_without_sampling(tasks):
    for name, task in tasks.items():
        settings = task.config.generation_kwargs
        assert (settings["max_gen_toks"], settings["do_sample"]) == (32, False)
        assert settings.get("num_beams", 1) == (4 if "beam4" in name else 1)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"instruction": "?", "answer": "maybe"}, "'maybe', expected one of true|false"),
        ({"instruction": " ", "answer": "true"}, "no instruction"),
        ({"instruction": "?"}, "answer is None"),
        (["?"], "no object with keys"),
    ],
)
def test_a_row_that_does_not_fit_is_named(lora_run, tmp_path, row, message):
    (tmp_path / "data" / "boolq").mkdir(parents=True)
    (tmp_path / "data" / "boolq" / "test.json").write_text(json.dumps([{"instruction": "?", "answer": "true"}, row]))
    with pytest.raises(UserError) as caught:
        score(lora_run, tmp_path / "data")
    assert message in str(caught.value)
    assert "row 2" in str(caught.value)
