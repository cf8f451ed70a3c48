"""The comparison table: groups, seeds, the baseline, and both of its shapes."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from evaluator.commands import compare, gate

Runs = dict[str, Path]
POLICY = "configs/policies/quickstart.yaml"


def test_the_table_has_base_lora_and_echo_lora_in_this_order(runs: Runs, capsys: pytest.CaptureFixture[str]) -> None:
    assert compare.main([str(runs["echo"]), str(runs["lora"]), "--suite", "quickstart"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if line.strip()]
    first = [line[0] for line in lines]
    assert first.index("base") < first.index("LoRA") < first.index("Echo-LoRA")
    assert {"BoolQ", "PIQA", "macro", "unparsed", "against"} <= set(lines[1])


def test_every_pair_is_judged_with_what_the_sample_could_have_shown(
    runs: Runs, capsys: pytest.CaptureFixture[str]
) -> None:
    compare.main([str(runs["worse"]), str(runs["lora"])])
    text = " ".join(capsys.readouterr().out.split())
    assert "Echo-LoRA against LoRA: one run a side, -" in text
    assert "says nothing about the methods" in text
    assert not re.search("LoRA against LoRA: (better|worse)", text)
    assert "LoRA against base: better, +" in text
    assert text.count("detectable here:") == 3


def test_the_gate_s_verdict_is_shown_until_the_run_is_evaluated_again(
    runs: Runs, capsys: pytest.CaptureFixture[str], edit: Callable[..., None]
) -> None:
    gate.main([str(runs["echo"]), "--against", str(runs["lora"]), "--policy", POLICY])
    capsys.readouterr()
    compare.main([str(runs["echo"]), str(runs["lora"])])
    assert "gate quickstart, echo: pass" in capsys.readouterr().out
    edit(runs["echo"], lambda report: report.update(seconds=2.5))
    compare.main([str(runs["echo"]), str(runs["lora"])])
    assert "gate quickstart" not in capsys.readouterr().out


def test_many_tasks_go_into_a_table_of_their_own(
    evaluation: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = {"base": [0] * 20 + [1] * 10, "adapter": [1] * 25 + [0] * 5}
    run = evaluation(tmp_path / "run", {f"mmlu_{n:02}": answers for n in range(12)}, suite="mmlu")
    compare.main([str(run)])
    out = capsys.readouterr().out
    assert "mmlu: run against base" in out
    assert len([line for line in out.splitlines() if line.strip().startswith("11 ")]) == 1
