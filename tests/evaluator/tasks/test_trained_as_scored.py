"""A report says when an adapter is asked in other words than it was trained with."""

import json

import pytest

from evaluator.tasks.load import LoadedTasks, load_tasks
from evaluator.tasks.suites import SUITES, find_suite
from evaluator.tasks.trained_as_scored import prompt_differences
from schemas.run_directory import RunDirectory
from tests.evaluator.commands.test_score import score
from tests.evaluator.tasks.own.suite_files import write_suite


@pytest.mark.parametrize(
    ("trained", "suite", "word"),
    [
        (None, "gsm8k", None),
        ("question_answer", "gsm8k", None),
        ("commonsense_170k", "quickstart", None),
        ("commonsense_170k", "gsm8k", "`commonsense_170k`"),
        ("plain", "mmlu", "the suite's own"),
        ("chat", "gsm8k", "without the chat template"),
        ("chat", "humaneval", "without the chat template"),
    ],
)
def test_only_another_prompt_is_noted(trained, suite, word):
    differences = prompt_differences(trained, None, LoadedTasks(SUITES[suite], {}, (), {}))
    assert (differences is None) == (trained is None)
    assert [word in one for one in differences or ()] == ([True] if word else [])


@pytest.mark.parametrize(
    ("keys", "same"),
    [
        ({"prompt": "Q: {{question}}"}, True),
        ({"prompt": "Q:  {{ question }}"}, False),
        ({"prompt": None, "as_trained": True}, True),
        ({"prompt": None, "messages": [{"role": "user", "content": "{{ question }}"}]}, False),
    ],
)
def test_a_task_of_one_s_own_is_held_against_the_prompt_of_the_training(tmp_path, keys, same):
    suite = find_suite(str(write_suite(tmp_path, one=keys)), "hf")
    loaded = LoadedTasks(suite, {"one": None}, (), {})
    assert (prompt_differences("own", "Q: {{ question }}", loaded) == ()) is same


def test_a_suite_asks_as_the_adapter_was_trained(tmp_path):
    suite = find_suite(str(write_suite(tmp_path, one={"prompt": None, "as_trained": True})), "hf")
    loaded = load_tasks(suite, None, None, trained_prompt="Where is {{ city }}?")
    assert next(iter(loaded.tasks["one"].eval_docs))["question"] == "Where is Paris?"


def test_the_note_stands_in_the_report_and_on_the_terminal(lora_run, small_data, capsys):
    manifest = RunDirectory(lora_run).manifest
    entries = json.loads(manifest.read_text())
    entries["data"]["template"] = "chat"
    manifest.write_text(json.dumps(entries))
    report, _ = score(lora_run, small_data, "--limit", "2")
    assert "without the chat template" in report.notes[0]
    assert "note: the adapter was trained on chats" in capsys.readouterr().out
