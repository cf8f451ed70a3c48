"""JUnit XML: one test case per check, and nothing but a pass is green."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as ET

from schemas.evaluation.verdict import Verdict
from tests.evaluator.commands.test_gate import BETTER, NOT_WORSE, judge

Runs = dict[str, Path]
Policy = Callable[..., Path]


def test_junit_shows_rejections_as_failures_and_doubts_as_errors(runs: Runs, policy: Policy) -> None:
    judge(runs["worse"], runs["lora"], policy(NOT_WORSE, BETTER, "kind: superiority, against: base, margin: 20"))
    root = ET.parse(runs["worse"] / "verdict.junit.xml").getroot()
    decisions = [check.decision for check in Verdict.read(runs["worse"] / "verdict.json").checks]
    assert root.attrib["tests"] == "3"
    assert root.attrib["failures"] == str(decisions.count("rejected")) == str(len(root.findall(".//failure")))
    assert root.attrib["errors"] == str(decisions.count("inconclusive")) == str(len(root.findall(".//error")))


def test_a_check_keeps_its_name_from_run_to_run(runs: Runs, policy: Policy) -> None:
    judge(runs["echo"], runs["lora"], policy(NOT_WORSE, "kind: unparsed, limit: 5"))
    root = ET.parse(runs["echo"] / "verdict.junit.xml").getroot()
    assert [case.attrib["name"] for case in root.iter("testcase")] == [
        "non_inferiority of macro against lora",
        "unparsed of boolq",
        "unparsed of piqa",
    ]
