"""The gate's three exits, and everything it refuses to judge."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from evaluator.commands import gate
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


def test_the_word_base_compares_with_the_base_arm_of_the_same_report(runs: Runs, policy: Policy) -> None:
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


def test_junit_shows_rejections_as_failures_and_doubts_as_errors(runs: Runs, policy: Policy) -> None:
    judge(runs["worse"], runs["lora"], policy(NOT_WORSE, BETTER, "kind: superiority, against: base, margin: 20"))
    root = ET.parse(runs["worse"] / "verdict.junit.xml").getroot()
    decisions = [check.decision for check in Verdict.read(runs["worse"] / "verdict.json").checks]
    assert root.attrib["tests"] == "3"
    assert root.attrib["failures"] == str(decisions.count("rejected")) == str(len(root.findall(".//failure")))
    assert root.attrib["errors"] == str(decisions.count("inconclusive")) == str(len(root.findall(".//error")))


def test_markdown_leads_with_the_decision_and_says_why(runs: Runs) -> None:
    judge(runs["worse"], runs["lora"], QUICKSTART)
    text = (runs["worse"] / "verdict.md").read_text()
    verdict = Verdict.read(runs["worse"] / "verdict.json")
    assert text.startswith("## ❌ rejected: worse\n")
    assert verdict.reason in text
    assert all(check.reason in text for check in verdict.checks if check.subject == "macro")


def test_the_minimum_detectable_effect_stands_beside_every_verdict(
    runs: Runs, capsys: pytest.CaptureFixture[str]
) -> None:
    judge(runs["echo"], runs["lora"], QUICKSTART)
    assert "detectable" in capsys.readouterr().out
    assert "detectable here:" in Verdict.read(runs["echo"] / "verdict.json").reason


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("documents_sha256", "0" * 64),
        ("prompts_sha256", "0" * 64),
        ("generation_sha256", "0" * 64),
        ("version", "2"),
    ],
)
def test_reports_on_different_tasks_are_not_compared(
    runs: Runs, policy: Policy, edit: Edit, field: str, value: str
) -> None:
    edit(runs["lora"], lambda report: report["tasks"]["piqa"].update({field: value}))
    with pytest.raises(UserError, match=f"piqa: {field}"):
        judge(runs["echo"], runs["lora"], policy(NOT_WORSE))


def test_every_difference_is_listed_at_once(runs: Runs, policy: Policy, edit: Edit) -> None:
    edit(runs["lora"], lambda report: report.update(protocol="beam4", limit=200))
    with pytest.raises(UserError, match=r"protocol: greedy / beam4\n.*limit: None / 200"):
        judge(runs["echo"], runs["lora"], policy(NOT_WORSE, full="false"))


def test_another_backend_is_noted_and_not_refused(runs: Runs, policy: Policy, edit: Edit) -> None:
    edit(runs["lora"], lambda report: report.update(backend="vllm"))
    judge(runs["echo"], runs["lora"], policy(NOT_WORSE))
    assert "different backend: hf, vllm" in Verdict.read(runs["echo"] / "verdict.json").comparisons[-1].notes


def test_a_merged_dora_is_noted_and_not_refused(runs: Runs, policy: Policy, edit: Edit) -> None:
    edit(runs["lora"], lambda report: report.update(notes=["DoRA merged into the base"]))
    judge(runs["echo"], runs["lora"], policy(NOT_WORSE))
    assert (
        "different notes: none, DoRA merged into the base"
        in Verdict.read(runs["echo"] / "verdict.json").comparisons[-1].notes
    )


def test_a_missing_sample_is_refused(runs: Runs, policy: Policy, edit: Edit) -> None:
    samples = runs["lora"] / "evaluation/quickstart/samples.jsonl"
    samples.write_text("".join(samples.read_text().splitlines(keepends=True)[1:]))
    edit(runs["lora"], lambda report: None)
    with pytest.raises(UserError, match="200 items scored, 199 in"):
        judge(runs["echo"], runs["lora"], policy(NOT_WORSE))


def test_a_doubled_sample_is_refused(runs: Runs, policy: Policy, edit: Edit) -> None:
    samples = runs["lora"] / "evaluation/quickstart/samples.jsonl"
    samples.write_text(samples.read_text() + samples.read_text().splitlines(keepends=True)[0])
    edit(runs["lora"], lambda report: None)
    with pytest.raises(UserError, match="boolq item 0, base: 2 times"):
        judge(runs["echo"], runs["lora"], policy(NOT_WORSE))


def test_samples_edited_after_the_report_are_refused(runs: Runs, policy: Policy) -> None:
    samples = runs["echo"] / "evaluation/quickstart/samples.jsonl"
    samples.write_text(samples.read_text().replace('"wrong"', '"correct"', 1))
    with pytest.raises(UserError, match="sha256 differs"):
        judge(runs["echo"], runs["lora"], policy(NOT_WORSE))


def test_a_score_that_does_not_follow_from_its_samples_is_refused(runs: Runs, policy: Policy, edit: Edit) -> None:
    edit(runs["echo"], lambda report: report["macro"].update(adapter=0.99))
    with pytest.raises(UserError, match="not the mean of the tasks' scores"):
        judge(runs["echo"], runs["lora"], policy(NOT_WORSE))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda report: report.update(schema_version="0"), "schema version '0'"),
        (lambda report: report["macro"].update(adapter=float("nan")), "macro.adapter"),
        (lambda report: report.update(tasks={}), "tasks: Dictionary should have at least 1 item"),
        (lambda report: report.update(surprise=1), "surprise: unknown key"),
    ],
)
def test_a_report_that_does_not_fit_its_schema_is_refused(
    runs: Runs, policy: Policy, edit: Edit, change: Callable[[dict[str, object]], None], message: str
) -> None:
    edit(runs["echo"], change)
    with pytest.raises(UserError, match=message):
        judge(runs["echo"], runs["lora"], policy(NOT_WORSE))


def test_the_report_of_another_adapter_is_refused(runs: Runs, policy: Policy) -> None:
    (runs["echo"] / "adapter").mkdir()
    (runs["echo"] / "adapter/manifest.json").write_text("{}")
    with pytest.raises(UserError, match="report is of another adapter"):
        judge(runs["echo"], runs["lora"], policy(NOT_WORSE))


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
