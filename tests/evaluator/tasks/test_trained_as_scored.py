"""A report says when an adapter is asked in other words than it was trained with."""

import json

import pytest

from evaluator.tasks.suites import SUITES
from evaluator.tasks.trained_as_scored import prompt_notes
from schemas.run_directory import RunDirectory
from tests.evaluator.commands.test_score import score


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
    notes = prompt_notes(trained, SUITES[suite])
    assert [word in note for note in notes] == ([True] if word else [])


def test_the_note_stands_in_the_report_and_on_the_terminal(lora_run, small_data, capsys):
    manifest = RunDirectory(lora_run).manifest
    entries = json.loads(manifest.read_text())
    entries["data"]["template"] = "chat"
    manifest.write_text(json.dumps(entries))
    report, _ = score(lora_run, small_data, "--limit", "2")
    assert "without the chat template" in report.notes[0]
    assert "note: the adapter was trained on chats" in capsys.readouterr().out
