"""A verdict is believed over this adapter only, as a pass only, and over the evidence that lies here."""

import hashlib
import json
import shutil

import pytest

from schemas.adapter_reader import read_adapter
from schemas.errors import UserError
from schemas.run_directory import RunDirectory
from serving.verify.verdict import require_verdict


@pytest.fixture
def run(served_runs, tmp_path):
    shutil.copytree(served_runs[0].root, tmp_path / "echo")
    return RunDirectory(tmp_path / "echo")


def verdict_over(run, rule="require"):
    return require_verdict(run, read_adapter(run.adapter), verdict_rule=rule)


def refusal(run, rule="require"):
    with pytest.raises(UserError) as refused:
        verdict_over(run, rule)
    return str(refused.value)


def test_a_pass_is_known_by_the_hash_of_its_bytes(run):
    assert verdict_over(run) == hashlib.sha256(run.verdict.read_bytes()).hexdigest()


@pytest.mark.parametrize("decision", ["rejected", "inconclusive"])
@pytest.mark.parametrize("rule", ["require", "if_present"])
def test_a_verdict_that_is_no_pass_is_final(run, give_verdict, decision, rule):
    give_verdict(run, decision)
    assert f"verdict over echo is {decision}" in refusal(run, rule)


@pytest.mark.parametrize("decision", ["rejected", "inconclusive"])
def test_a_word_exchanged_in_it_does_not_make_it_a_pass(run, give_verdict, decision):
    give_verdict(run, decision)
    run.verdict.write_text(run.verdict.read_text().replace(f'"{decision}"', '"pass"'))
    assert "contradicts itself" in refusal(run, "if_present")


def test_without_a_verdict_only_ungated_serves(run):
    run.verdict.unlink()
    assert "--ungated" in refusal(run)
    assert verdict_over(run, "if_present") is None


def test_what_is_no_verdict_is_not_taken_for_none(run):
    run.verdict.write_text("{}")
    assert "does not fit its schema" in refusal(run, "if_present")
    assert verdict_over(run, "ignore") is None


def test_a_verdict_over_another_adapter_is_refused(run, served_runs, give_verdict):
    give_verdict(run, adapter=served_runs[1])
    assert "formed over another adapter" in refusal(run)


@pytest.mark.parametrize("file", ["report.json", "samples.jsonl"])
def test_evidence_that_lies_here_must_be_what_was_judged(run, file):
    evidence = run.evaluation("s") / file
    evidence.parent.mkdir(parents=True)
    evidence.write_text("judged")
    data = json.loads(run.verdict.read_text())
    key = {"report.json": "report_sha256", "samples.jsonl": "samples_sha256"}[file]
    data["evidence"][0][key] = hashlib.sha256(b"judged").hexdigest()
    run.verdict.write_text(json.dumps(data))
    assert verdict_over(run)
    evidence.write_text("evaluated again")
    assert f"{file} is not the one that the verdict was formed over" in refusal(run)
