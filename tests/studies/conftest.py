"""What the studies' tests share with the trainer's."""

from tests.trainer.conftest import objectives, training_runs  # noqa: F401 fixtures
