"""What a training run has to remember between steps, and between sessions: the JSON part of a checkpoint."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from schemas.base.base_model import BaseIdentity
from schemas.document import Count, Document, Section, Sha256
from schemas.training.adapter_manifest import FileRecord


class Interval(Section):
    """Sums since the last line of metrics.jsonl."""

    steps: Count = 0
    """Optimizer steps."""
    echo_steps: Count = 0
    """Of these, steps that ran the echo path."""
    loss: float = 0.0
    """Summed plain-path cross-entropy, nats."""
    echo_loss: float = 0.0
    """Summed echo-path cross-entropy, nats."""
    distillation_loss: float = 0.0
    """Summed tau^2 KL, nats."""
    supervised_tokens: Count = 0
    """Tokens under the loss."""
    echo_tokens: Count = 0
    """Tokens under the loss in the echo steps."""
    tokens: Count = 0
    """Real tokens."""
    seconds: float = 0.0
    """Wall time."""


class TrainingState(Section):
    """Progress of a run."""

    step: Count = 0
    """Optimizer steps finished."""
    echo_steps: Count = 0
    """Of these, steps that ran the echo path."""
    seconds: float = 0.0
    """Wall time of the optimisation, over all sessions."""
    last_loss: float | None = None
    """Mean plain-path loss of the last logged interval."""
    validation_loss: float | None = None
    """Plain-path loss on the validation rows when it was last measured."""
    interval: Interval = Interval()
    """Sums since the last logged line."""
    identity: RunIdentity
    """What the run is of."""


class RunIdentity(Section):
    """Everything that must be unchanged for a run to go on where it stopped."""

    config: dict[str, Any]
    """The resolved TrainConfig."""
    data_sha256: tuple[Sha256, ...]
    """Hash of each data source's rows."""
    base: BaseIdentity
    """The base, down to its tokenizer and chat template: other tokens are other data."""


def _base_in_one_place(data: dict[str, Any]) -> dict[str, Any]:
    """Version 1 knew the base by two hashes of the identity."""
    state = data.get("state")
    if not isinstance(state, dict) or not isinstance(state.get("identity"), dict):
        return data
    identity = dict(state["identity"])
    parts = ("config_sha256", "weights_sha256")
    identity["base"] = {part: identity.pop(f"base_{part}", None) for part in parts}
    return data | {"state": state | {"identity": identity}}


class CheckpointRecord(Document):
    """checkpoint.json: a checkpoint without it, or with a file that differs from it, does not exist."""

    title: ClassVar[str] = "checkpoint record"
    upgrades: ClassVar = {"1": _base_in_one_place}

    schema_version: Literal["2"] = "2"
    """Version of this schema."""
    state: TrainingState
    """Progress."""
    files: dict[str, FileRecord]
    """Every other file of the checkpoint, by name."""


TrainingState.model_rebuild()
CheckpointRecord.model_rebuild()
