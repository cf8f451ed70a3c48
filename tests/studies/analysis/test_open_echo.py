"""A closed echo answers "not tested", never "no difference"."""

from __future__ import annotations

import pytest

from schemas.studies.study_config import OpenEcho
from schemas.training.echo_check import EchoCheck
from studies.analysis.contrasts import finding
from studies.analysis.open_echo import why_closed


def measured(**changes: float) -> EchoCheck:
    figures = {
        "injection_to_output": 0.3,
        "injection_to_update": 1.0,
        "distinct_share": 0.5,
        "plain_loss": 1.0,
        "echo_loss": 0.9,
        "another_echo_loss": 1.0,
        "plain_accuracy": 0.5,
        "echo_accuracy": 0.5,
        "divergence": 0.1,
    }
    return EchoCheck(samples=10, tokens=20, **(figures | changes))


def test_an_open_echo_is_not_objected_to() -> None:
    assert why_closed("echo", [measured(), measured()], OpenEcho()) is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"injection_to_output": 0.0097}, "the echo of echo is 1.0% of what it is added to, under 5.0%"),
        ({"distinct_share": 0.016}, "1.6% of the echo of echo differs between samples, under 10.0%"),
    ],
)
def test_a_closed_echo_is_named_with_its_figure(changes: dict[str, float], reason: str) -> None:
    assert why_closed("echo", [measured(**changes)] * 3, OpenEcho()) == reason


def test_the_mean_over_the_seeds_decides() -> None:
    assert (
        why_closed("echo", [measured(injection_to_output=0.0), measured(injection_to_output=0.2)], OpenEcho()) is None
    )


def test_runs_that_did_not_look_cannot_show_that_the_echo_was_there() -> None:
    assert why_closed("echo", [measured(), None], OpenEcho()) == "1 runs of echo did not measure their echo"


@pytest.mark.parametrize(
    ("p_different", "p_equivalent", "found"),
    [(0.5, 0.001, "not_tested"), (0.5, 0.5, "not_tested"), (0.001, 0.5, "different")],
)
def test_with_a_closed_echo_only_a_difference_says_anything(
    p_different: float, p_equivalent: float, found: str
) -> None:
    assert finding(p_different, p_equivalent, 0.05, echo_closed=True) == found
