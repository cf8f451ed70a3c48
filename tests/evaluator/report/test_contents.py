"""What the page says: headline, findings, the attestation's facts, the lines of metrics that can be read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evaluator.commands import gate
from evaluator.report.contents import attestation_facts, read_metrics
from schemas.run_directory import RunDirectory
from tests.evaluator.commands.test_report import QUICKSTART, Runs, write


def test_the_headline_is_the_gate_s_verdict(runs: Runs) -> None:
    gate.main([str(runs["worse"]), "--against", str(runs["lora"]), "--policy", QUICKSTART])
    text = write(runs, "worse", "lora").read_text()
    assert "<h1>Echo-LoRA is rejected by the gate “quickstart”</h1>" in text
    assert 'class="hero rejected"' in text


def test_without_a_gate_the_headline_says_what_was_found(runs: Runs) -> None:
    text = write(runs, "echo", "lora").read_text()
    assert "<h1>Echo-LoRA is better than base</h1>" in text
    assert "No gate has judged it yet." in text


def test_a_run_far_below_another_is_not_said_to_be_of_a_worse_method(runs: Runs) -> None:
    text = write(runs, "worse", "lora").read_text()
    assert '<span class="word one">one run a side</span>' in text
    assert "says nothing about the methods" in text
    assert "than LoRA" not in text
    assert '<span class="word worse">' not in text


def test_the_attestation_is_shown_as_plain_facts(runs: Runs) -> None:
    attestation = {"served": True, "greedy": {"agreed": 50, "of": 50}, "tensors": ["a"] * 40, "note": "<b>&"}
    (runs["echo"] / "attestation.json").write_text(json.dumps(attestation))
    text = write(runs, "echo", "lora").read_text()
    assert "<dt>greedy / agreed</dt><dd>50</dd>" in text
    assert "<dt>tensors</dt><dd>40 entries</dd>" in text
    assert "<dt>note</dt><dd>&lt;b&gt;&amp;</dd>" in text


@pytest.mark.parametrize("damaged", ["[" * 100_000, '{"a": ' + "9" * 5_000 + "}", "", '{"a": 1, "a": 2}'])
def test_a_damaged_attestation_is_one_line_of_the_page(tmp_path: Path, damaged: str) -> None:
    run = RunDirectory(tmp_path)
    run.attestation.write_text(damaged)
    [(name, said)] = attestation_facts(run)
    assert name == "attestation.json"
    assert "is not JSON" in said


def test_a_torn_line_of_metrics_costs_that_line_only(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    line = {"step": 1, "epoch": 0.1, "seconds": 1.0, "loss": 2.0}
    path.write_text(json.dumps(line) + "\n" + json.dumps({**line, "surprise": 1}) + "\n" + '{"step": 4, "ep')
    assert [one.step for one in read_metrics(path)] == [1]
    assert read_metrics(tmp_path / "absent.jsonl") == []
