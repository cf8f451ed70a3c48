"""A verdict as JUnit XML, the format in which CI systems list tests: one test case per check."""

from __future__ import annotations

from collections import Counter
from xml.etree import ElementTree as ET

from evaluator.gate.plain_text import one_line
from schemas.evaluation.verdict import CheckResult, Verdict


def to_junit(verdict: Verdict) -> bytes:
    """A rejected check is a failure; an inconclusive one is an error, so that neither shows as green."""
    root = ET.Element("testsuites", {"name": f"gate {verdict.adapter.name}", **_counts(verdict.checks)})
    for suite in dict.fromkeys(check.suite for check in verdict.checks):
        checks = tuple(check for check in verdict.checks if check.suite == suite)
        created = verdict.created.isoformat(timespec="seconds")
        element = ET.SubElement(root, "testsuite", {"name": suite, "timestamp": created, **_counts(checks)})
        for check in checks:
            _add_case(element, check, policy=verdict.policy.name)
    ET.indent(root)
    return str(ET.tostring(root, encoding="unicode", xml_declaration=True)).encode() + b"\n"


def check_name(check: CheckResult) -> str:
    """A name that stays the same from run to run, by which CI systems follow a test."""
    against = f" against {check.against}" if check.against else ""
    seeds = f" over {len(check.candidates)} seeds" if len(check.candidates) > 1 else ""
    return one_line(f"{check.kind} of {check.subject}{against}{seeds}")


def _add_case(parent: ET.Element, check: CheckResult, policy: str) -> None:
    case = ET.SubElement(parent, "testcase", classname=f"{policy}.{check.suite}", name=check_name(check), time="0")
    why = one_line(check.reason)
    if check.decision != "pass":
        kind = "failure" if check.decision == "rejected" else "error"
        ET.SubElement(case, kind, type=check.decision, message=why).text = why
    else:
        ET.SubElement(case, "system-out").text = why


def _counts(checks: tuple[CheckResult, ...]) -> dict[str, str]:
    decisions = Counter(check.decision for check in checks)
    numbers = {"tests": len(checks), "failures": decisions["rejected"], "errors": decisions["inconclusive"]}
    return {name: str(number) for name, number in {**numbers, "skipped": 0}.items()}
