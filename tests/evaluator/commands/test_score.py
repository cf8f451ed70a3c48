"""`python -m evaluator RUN --suite NAME`: what it writes, reuses and refuses."""

import hashlib
import shutil

import pytest

from evaluator.__main__ import main
from schemas.errors import UserError
from schemas.evaluation.eval_report import EvalReport, Sample
from tests.evaluator.conftest import make_run


def score(run, data, *more, suite="commonsense_170k"):
    """Scores a run in this process and returns its report and samples."""
    assert main([str(run), "--suite", suite, "--data", str(data), "--device", "cpu", *more]) == 0
    return read(run / "evaluation" / suite)


def read(directory):
    lines = (directory / "samples.jsonl").read_bytes()
    report = EvalReport.read(directory / "report.json")
    assert report.samples_sha256 == hashlib.sha256(lines).hexdigest()
    return report, [Sample.model_validate_json(line) for line in lines.splitlines()]


def test_a_report_holds_both_variants_and_every_sample(lora_run, small_data):
    report, samples = score(lora_run, small_data)
    assert report.adapter.name == "lora"
    assert set(report.macro) == {"adapter", "base"}
    assert set(report.tasks) == {"commonsense_170k_boolq", "commonsense_170k_piqa"}
    for name, record in report.tasks.items():
        for variant, given in record.variants.items():
            outcomes = [s.outcome for s in samples if s.task == name and s.variant == variant]
            assert given.total == len(outcomes) == 12
            assert [outcomes.count(o) for o in ("correct", "wrong", "unparsed", "unscored")] == [
                given.correct, given.wrong, given.unparsed, given.unscored,
            ]  # fmt: skip
    assert report.tasks["commonsense_170k_boolq"].floor == 0.5


def test_limit_and_tasks_narrow_the_suite(lora_run, small_data):
    report, samples = score(lora_run, small_data, "--limit", "3", "--tasks", "piqa", "--no-base")
    assert list(report.tasks) == ["commonsense_170k_piqa"]
    assert (report.limit, len(samples), set(report.macro)) == (3, 3, {"adapter"})


def test_an_unknown_task_or_suite_is_named(lora_run, small_data):
    with pytest.raises(UserError, match="--tasks bolq fits 0 tasks"):
        score(lora_run, small_data, "--tasks", "bolq")
    with pytest.raises(UserError, match="unknown suite"):
        main([str(lora_run), "--suite", "nope"])
    with pytest.raises(UserError, match="does not run on the vllm backend"):
        main([str(lora_run), "--suite", "commonsense_170k_beam4", "--backend", "vllm"])


def test_the_bases_answers_serve_every_run_on_it(lora_run, tiny_base, small_data, monkeypatch):
    from evaluator.backends.huggingface import TransformersBackend

    first, _ = score(lora_run, small_data)
    other = make_run(lora_run.parent / "dora", tiny_base, "dora", seed=1)
    opened = []
    plain = TransformersBackend.open
    monkeypatch.setattr(
        TransformersBackend, "open", lambda self, variant: opened.append(variant) or plain(self, variant)
    )
    second, _ = score(other, small_data)
    assert opened == ["adapter"]
    for name, record in second.tasks.items():
        assert record.variants["base"] == first.tasks[name].variants["base"]


def test_a_changed_adapter_never_meets_the_old_ones_answers(lora_run, tiny_base, small_data):
    _, before = score(lora_run, small_data)
    shutil.rmtree(lora_run)
    make_run(lora_run, tiny_base, "lora", seed=5)
    _, after = score(lora_run, small_data)
    assert [s.output for s in before if s.variant == "base"] == [s.output for s in after if s.variant == "base"]
    assert [s.output for s in before if s.variant == "adapter"] != [s.output for s in after if s.variant == "adapter"]


def test_a_base_alone_has_its_own_directory(tiny_base, tmp_path, small_data):
    runs = tmp_path / "runs"
    arguments = [str(tiny_base), "--base-only", "--suite", "commonsense_170k", "--data", str(small_data)]
    assert main([*arguments, "--directory", str(runs), "--answers", str(tmp_path / "answers")]) == 0
    (run,) = [path for path in runs.iterdir() if path.name.startswith("base-")]
    report, samples = read(run / "evaluation" / "commonsense_170k")
    assert (report.adapter, set(report.macro), {s.variant for s in samples}) == (None, {"base"}, {"base"})


def test_an_adapter_that_does_nothing_is_an_error(tmp_path, tiny_base, small_data):
    run = make_run(tmp_path / "runs" / "idle", tiny_base, "lora", spread=1e-12)
    with pytest.raises(UserError, match="equal the base's on all 24 items"):
        score(run, small_data)
    assert not (run / "evaluation").exists()
