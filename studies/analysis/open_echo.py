"""Whether the echo of an arm was there at all: a contrast with an arm whose echo was closed has tested nothing."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from schemas.studies.study_config import OpenEcho
from schemas.training.echo_check import EchoCheck
from studies.analysis.results import Results


def closed_echo(results: Results, base: str, arms: Sequence[str]) -> str | None:
    """Why the echo of one of these arms does not count as open; None where all are, or the plan asks for no check."""
    thresholds = results.plan.protocol.study.analysis.open_echo
    if thresholds is None:
        return None
    reasons = [why for arm in arms if (why := _closed(results, base, arm, thresholds))]
    return "; ".join(reasons) or None


def _closed(results: Results, base: str, arm: str, thresholds: OpenEcho) -> str | None:
    config = results.plan.protocol.planned(base, arm).config
    echo = config.get("echo")
    injects = str(config["method"]).startswith("echo_") and isinstance(echo, dict) and echo.get("content") != "none"
    if not injects:
        return None
    checks = [run.manifest.own_training.echo for run in results.runs[base, arm].values()]
    return why_closed(arm, checks, thresholds)


def why_closed(arm: str, checks: Sequence[EchoCheck | None], thresholds: OpenEcho) -> str | None:
    """Why an arm's echo does not count as open, by the means over its seeds; None where it does."""
    known = [check for check in checks if check is not None]
    if len(known) < len(checks):
        return f"{len(checks) - len(known)} runs of {arm} did not measure their echo"
    injection = fmean(check.injection_to_output for check in known)
    if injection < thresholds.injection_to_output:
        least = f"{thresholds.injection_to_output:.1%}"
        return f"the echo of {arm} is {injection:.1%} of what it is added to, under {least}"
    distinct = fmean(check.distinct_share for check in known)
    if distinct < thresholds.distinct_share:
        return f"{distinct:.1%} of the echo of {arm} differs between samples, under {thresholds.distinct_share:.1%}"
    return None
