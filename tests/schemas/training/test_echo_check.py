"""What the figures of the manipulation check add up to."""

import pytest
from pydantic import ValidationError

from schemas.training.echo_check import EchoCheck

FIGURES = {
    "samples": 4, "tokens": 12, "injection_to_output": 0.2, "injection_to_update": None, "distinct_share": 0.5,
    "plain_loss": 1.0, "echo_loss": 0.7, "another_echo_loss": 0.9, "plain_accuracy": 0.5, "echo_accuracy": 0.6,
    "divergence": 0.1,
}  # fmt: skip


def test_the_gain_is_what_the_echo_path_saves_and_its_content_what_no_other_echo_would():
    check = EchoCheck(**FIGURES)
    assert check.gain == pytest.approx(0.3)
    assert check.content_gain == pytest.approx(0.2)


@pytest.mark.parametrize("change", [{"distinct_share": 1.2}, {"injection_to_output": -1}, {"echo_loss": float("nan")}])
def test_figures_that_cannot_be_are_refused(change):
    with pytest.raises(ValidationError):
        EchoCheck(**(FIGURES | change))
