"""The gate's three exits, and everything it refuses to judge."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from evaluator.commands import compare, gate, report
from schemas.document import sha256_of
from schemas.errors import UserError
from schemas.evaluation.gate_policy import GatePolicy
from schemas.evaluation.verdict import Verdict

QUICKSTART = Path("configs/policies/quickstart.yaml")
BETTER = "kind: superiority, against: baseline"
NOT_WORSE = "kind: non_inferiority, against: baseline, margin: 5"
Runs = dict[str, Path]
Policy = Callable[..., Path]
Edit = Callable[..., None]


def judge(run: Path, against: Path | str, policy: Path, *more: str) -> int:
    return gate.main([str(run), "--against", str(against), "--policy", str(policy), *more])


def test_a_good_adapter_passes_with_exit_0(runs: Runs) -> None:
    assert judge(runs["echo"], runs["lora"], QUICKSTART) == 0
    verdict = Verdict.read(runs["echo"] / "verdict.json")
    assert verdict.decision == "pass"
    assert [check.kind for check in verdict.checks] == [
        "superiority",
        "non_inferiority",
        "floor",
        "unparsed",
        "unparsed",
    ]


def test_a_worse_adapter_is_rejected_with_exit_3(runs: Runs) -> None:
    assert judge(runs["worse"], runs["lora"], QUICKSTART) == 3
    verdict = Verdict.read(runs["worse"] / "verdict.json")
    assert verdict.decision == "rejected"
    assert "Non-inferiority fails" in verdict.reason


def test_a_margin_the_sample_cannot_resolve_is_inconclusive_with_exit_4(runs: Runs, policy: Policy) -> None:
    tight = policy(
        "kind: non_inferiority, against: baseline, margin: 0.01", "kind: superiority, against: baseline, margin: 3"
    )
    assert judge(runs["lora"], runs["echo"], policy("kind: superiority, against: base, margin: 37")) == 4
    assert judge(runs["echo"], runs["lora"], tight) == 4


def test_the_word_base_compares_with_the_base_of_the_same_report(runs: Runs, policy: Policy) -> None:
    assert judge(runs["echo"], "base", policy(BETTER)) == 0
    comparison = Verdict.read(runs["echo"] / "verdict.json").comparisons[0]
    assert (comparison.baselines, comparison.baseline_variant) == (("base",), "base")


def test_the_verdict_names_its_evidence_to_the_byte(runs: Runs, policy: Policy) -> None:
    judge(runs["echo"], runs["lora"], policy(NOT_WORSE))
    evidence = Verdict.read(runs["echo"] / "verdict.json").evidence
    folder = runs["lora"] / "evaluation/quickstart"
    assert [one.run for one in evidence] == ["echo", "lora"]
    assert evidence[1].report_sha256 == sha256_of(folder / "report.json")
    assert evidence[1].samples_sha256 == sha256_of(folder / "samples.jsonl")


def test_equal_reports_give_equal_verdicts(runs: Runs, policy: Policy) -> None:
    judged = [gate.gate([runs["echo"]], [str(runs["lora"])], GatePolicy.from_yaml(policy(NOT_WORSE))) for _ in range(2)]
    assert judged[0].model_copy(update={"created": None}) == judged[1].model_copy(update={"created": None})


def test_the_minimum_detectable_effect_stands_beside_every_verdict(
    runs: Runs, capsys: pytest.CaptureFixture[str]
) -> None:
    judge(runs["echo"], runs["lora"], QUICKSTART)
    assert "detectable" in capsys.readouterr().out
    assert "detectable here:" in Verdict.read(runs["echo"] / "verdict.json").reason


def test_nothing_is_overwritten_when_there_is_no_verdict(runs: Runs, policy: Policy, edit: Edit) -> None:
    judge(runs["echo"], runs["lora"], policy(NOT_WORSE))
    before = {path.name: path.read_bytes() for path in runs["echo"].glob("verdict*")}
    edit(runs["lora"], lambda report: report.update(protocol="beam4"))
    with pytest.raises(UserError):
        judge(runs["echo"], runs["lora"], policy(NOT_WORSE))
    assert len(before) == 3
    assert {path.name: path.read_bytes() for path in runs["echo"].glob("verdict*")} == before


def test_a_required_suite_that_was_not_evaluated_means_no_verdict(runs: Runs, policy: Policy) -> None:
    shutil.rmtree(runs["echo"] / "evaluation")
    with pytest.raises(UserError, match="not evaluated on quickstart"):
        judge(runs["echo"], runs["lora"], policy(NOT_WORSE))


def test_a_run_is_not_compared_with_itself(runs: Runs, policy: Policy) -> None:
    with pytest.raises(UserError, match="named twice"):
        judge(runs["echo"], runs["echo"], policy(NOT_WORSE))


def test_json_of_the_verdict_reads_back_as_it_was(runs: Runs) -> None:
    judge(runs["echo"], runs["lora"], QUICKSTART)
    path = runs["echo"] / "verdict.json"
    assert Verdict.read(path).to_json() == path.read_text()
    assert json.loads(path.read_text())["decision"] == "pass"


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ("tokenizer_sha256", "tokenizer"),
        ("chat_template_sha256", "chat template"),
        ("generation_config_sha256", "generation config"),
    ],
)
def test_one_base_with_two_tokenizers_is_no_comparison(
    runs: Runs, policy: Policy, edit: Edit, part: str, words: str
) -> None:
    for name, sha256 in (("echo", "0" * 64), ("lora", "1" * 64)):
        edit(runs[name], lambda report, sha256=sha256: report["base"].update({part: sha256}))
    with pytest.raises(UserError, match=f"the same base with another {words}"):
        judge(runs["echo"], runs["lora"], policy(NOT_WORSE))


def test_another_base_model_altogether_is_noted(runs: Runs, policy: Policy, edit: Edit) -> None:
    edit(runs["lora"], lambda report: report["base"].update(weights_sha256="1" * 64, tokenizer_sha256="1" * 64))
    judge(runs["echo"], runs["lora"], policy(NOT_WORSE))
    assert "different base model: tiny" in Verdict.read(runs["echo"] / "verdict.json").comparisons[-1].notes


def test_scores_between_0_and_1_pass_through_gate_comparison_and_page(
    evaluation: Callable[..., Path], tmp_path: Path, policy: Policy, capsys: pytest.CaptureFixture[str]
) -> None:
    base = {"base": [0.2, 0.4, 0, 0.6] * 30}
    runs = {
        name: evaluation(
            tmp_path / name, {"t": base | {"adapter": scores}}, method=method, metric="rouge_l", floor=None
        )
        for name, method, scores in (
            ("echo", "echo_lora", [0.7, 0.8, 0.5, 1] * 30),
            ("lora", "lora", [0.7, 0.75, 0.5, 1] * 30),
        )
    }
    checks = policy(NOT_WORSE, "kind: floor, minimum: 60", "kind: superiority, against: base, margin: 30")
    assert judge(runs["echo"], runs["lora"], checks) == 0
    verdict = Verdict.read(runs["echo"] / "verdict.json")
    assert verdict.checks[1].estimate == pytest.approx(0.75)
    assert compare.main([str(runs["echo"]), str(runs["lora"])]) == 0
    assert "75.0" in capsys.readouterr().out
    assert report.main([str(runs["echo"]), str(runs["lora"])]) == 0
    assert '"partial"' in (runs["echo"] / "report.html").read_text()
