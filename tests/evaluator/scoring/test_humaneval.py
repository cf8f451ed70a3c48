"""HumanEval: pass@k, judging only where generated programs are isolated, and the real tasks."""

import math

import pytest
from rich.progress import Progress

from evaluator.scoring.humaneval import judge_completions, pass_at_k
from evaluator.tasks.load import load_tasks
from evaluator.tasks.suites import SUITES
from schemas.errors import UserError
from schemas.evaluation.eval_report import Sample
from tests.evaluator.commands.test_score import score


def attempts(document, passed, given):
    return [
        Sample(
            task="humaneval_sampled", document=document, attempt=attempt, variant="adapter", prompt="", target="", output="x",
            parsed="x", outcome="correct" if attempt < passed else "wrong",
        )
        for attempt in range(given)
    ]  # fmt: skip


def test_pass_at_ten_is_the_unbiased_estimate():
    samples = attempts(0, 0, 20) + attempts(1, 1, 20) + attempts(2, 15, 20)
    expected = [0.0, 1 - math.comb(19, 10) / math.comb(20, 10), 1.0]
    assert pass_at_k(samples)["pass@10"] == pytest.approx(sum(expected) / 3)
    assert expected[1] == pytest.approx(0.5)


def test_pass_at_ten_needs_ten_attempts():
    assert pass_at_k(attempts(0, 1, 9)) == {}


def test_without_isolation_nothing_is_generated_and_the_way_out_is_named(lora_run, real_data, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:9")
    with pytest.raises(UserError, match="isolated") as caught:
        score(lora_run, real_data, suite="humaneval")
    assert "install Docker" in caught.value.fix
    assert not (lora_run.parent / ".answers").exists()


def test_lm_evals_code_eval_is_never_imported(lora_run, real_data):
    import sys

    load_tasks(SUITES["humaneval"], real_data, None)
    assert not [name for name in sys.modules if "code_eval" in name or name.startswith("lm_eval.tasks.humaneval")]


@pytest.mark.containers
def test_right_wrong_and_empty_completions_count_as_such(real_data, tmp_path, engine):
    task = load_tasks(SUITES["humaneval"], real_data, None).tasks["humaneval"]
    docs = list(task.eval_docs)[:3]
    completions = [docs[0]["canonical_solution"], "    return None\n", "  \n"]
    logged = [
        {"doc_id": index, "doc": doc, "resps": [[text]], "arguments": [[doc["prompt"], {}]]}
        for index, (doc, text) in enumerate(zip(docs, completions, strict=True))
    ]
    with Progress(disable=True) as progress:
        samples = judge_completions(task, {"adapter": logged}, tmp_path, progress)["adapter"]
    assert [sample.outcome for sample in samples] == ["correct", "wrong", "unparsed"]


@pytest.mark.containers
def test_the_real_tasks_run_and_sampled_answers_differ(lora_run, real_data, engine):
    report, samples = score(lora_run, real_data, "--limit", "1", suite="humaneval_sampled")
    record = report.tasks["humaneval_sampled"]
    assert (record.variants["adapter"].total, "pass@10" in record.variants["adapter"].secondary) == (20, True)
    drawn = [sample.output for sample in samples if sample.variant == "adapter"]
    assert len(set(drawn)) > 10
    assert {sample.cluster for sample in samples} == {"HumanEval/0"}
