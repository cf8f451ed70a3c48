"""One evaluation: its report is built once, whole, and holds what its samples say."""

import hashlib

import pytest

from evaluator.backends.huggingface import TransformersBackend
from evaluator.evaluate import EvalReport, evaluate
from evaluator.scoring.answers import Settings
from evaluator.subject import adapter_subject
from evaluator.tasks.load import load_tasks
from evaluator.tasks.suites import SUITES
from tests.evaluator.commands.test_score import score


@pytest.fixture
def evaluation(lora_run, small_data, tmp_path):
    """Two items of one task, answered by a backend that has something to say of its answers."""
    subject = adapter_subject(lora_run, None, None)
    backend = TransformersBackend(subject, "cpu", 4)
    backend.notes = ("merged for the test",)
    loaded = load_tasks(SUITES["quickstart"], small_data, ["boolq"])
    settings = Settings("hf", "cpu", limit=2, batch_size=4, with_base=True, answers=tmp_path / "answers")
    return lambda: evaluate(subject, loaded, backend, settings)


def test_the_report_is_built_once_with_everything_in_it(evaluation, monkeypatch):
    built = []
    validated = EvalReport.__init__
    monkeypatch.setattr(EvalReport, "__init__", lambda self, **data: (built.append(data), validated(self, **data))[1])
    monkeypatch.setattr(EvalReport, "model_copy", lambda *_, **__: pytest.fail("a report was patched"))
    found = evaluation()
    (data,) = built
    assert data["samples_sha256"] == found.report.samples_sha256 == hashlib.sha256(found.samples_jsonl).hexdigest()
    assert found.report.notes[0] == "merged for the test"


def test_answers_are_asked_once_and_stored(evaluation):
    first, again = evaluation(), evaluation()
    assert (first.asked, again.asked) == (4, 0)
    assert first.samples == again.samples
    assert [(one.variant, one.document) for one in first.samples] == [
        ("base", 0), ("base", 1), ("adapter", 0), ("adapter", 1),
    ]  # fmt: skip


def test_every_outcome_follows_from_its_sample(lora_run, small_data):
    _, samples = score(lora_run, small_data)
    for sample in samples:
        expected = "unparsed" if sample.parsed is None else "correct" if sample.parsed == sample.target else "wrong"
        assert sample.outcome == expected


def test_the_protocol_names_what_deviates(lora_run, small_data):
    report, _ = score(lora_run, small_data)
    assert "no beams" in report.protocol
    assert "hellaswag" in report.protocol
    assert "not the published items (or not checked): boolq, piqa" in report.protocol
