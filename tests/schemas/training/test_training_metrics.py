"""metrics.jsonl, line by line."""

import pytest
from pydantic import ValidationError

from schemas.training.training_metrics import TrainingMetrics


def test_a_line_is_read_back_as_it_was_written():
    line = TrainingMetrics(step=20, epoch=0.5, loss=1.25, learning_rate=1e-3, seconds=3.0)
    assert TrainingMetrics.model_validate_json(line.model_dump_json()) == line
    assert line.echo_loss is None


def test_a_loss_that_is_no_number_is_never_written():
    with pytest.raises(ValidationError, match="finite"):
        TrainingMetrics(step=20, epoch=0.5, loss=float("nan"), seconds=3.0)
