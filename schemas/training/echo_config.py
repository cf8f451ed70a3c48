"""EchoConfig: the echo path of a training run. Every default says where it is from: the paper, a second-hand source, or us."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from schemas.document import Fraction, Positive, PositiveFloat, Section
from schemas.upgrade import change_at, rename


class RoutingConfig(Section):
    """Stochastic routing: the echo path runs in a step with probability p, linear from start to end over the run."""

    start: Fraction = 1.0
    """p at the first optimizer step (value: second-hand source)."""
    end: Fraction = 0.2
    """p at the last optimizer step (value: second-hand source). start = end = 1 switches routing off."""


class DistillationConfig(Section):
    """Masked distillation between the echo path and the plain path, on supervised tokens."""

    weight: Annotated[float, Field(ge=0)] = 1.0
    """Factor of tau^2 KL(teacher || student); 0 switches distillation off (value: second-hand source)."""
    temperature: PositiveFloat = 2.0
    """tau (value: second-hand source)."""
    teacher: Literal["echo", "plain", "both", "average"] = "echo"
    """Which path is the detached teacher. Ours: the echo path, since the plain path is what ships; `plain` pulls the echo path
    to it (second-hand). `both` is the symmetric divergence, half of each direction, with gradients to both paths (R-Drop, arXiv
    2106.14448, with `content: none`). `average` is self-distillation, a baseline: the second pass is the plain path with the
    adapter's weights averaged over the steps, without dropout or gradient."""
    average_decay: Annotated[float, Field(ge=0, lt=1)] = 0.98
    """For teacher `average`: how much of the average stays at a step (ours)."""
    representations: Annotated[float, Field(ge=0)] = 0.0
    """Ours, an experiment of the studies: factor of the squared gap between the two paths' normalised states in the target
    layers at the answers, which teaches the plain path there; 0 switches it off."""


class EchoConfig(Section):
    """The auxiliary echo path of training. Nothing of it is exported."""

    content: Literal["sample", "shuffled", "constant", "oracle", "none"] = "sample"
    """What is injected: the sample's own echo; another sample's (a control); a learned constant (a control); the answer's own
    states (`oracle`, the positive control of studies, which no adapter that ships may be trained with); or nothing, which keeps
    masking, second pass, distillation and routing and removes only the injection (the paper's missing ablation)."""
    source_layers: tuple[int, ...] | None = None
    """Decoder layers read at the boundary, negative from the end. None: four spread evenly over the deepest third (ours)."""
    target_layers: tuple[int, ...] | None = None
    """Decoder layers whose adapted modules receive the echo. None: the shallow half (ours)."""
    pooling: Literal["boundary", "last", "question"] = "boundary"
    """Which of the prompt's states become the echo: the last token's (second-hand), the mean over the last `pooled_tokens`, or
    the mean over the question's tokens, which are those between what all training prompts begin with and end with (ours)."""
    pooled_tokens: Positive = 8
    """Prompt tokens that pooling `last` reads (ours)."""
    normalisation: Literal["layer", "centred", "whitened"] = "layer"
    """LayerNorm alone (second-hand), or before it minus the running mean over samples (`centred`), or that and times the inverse
    root of their running covariance, a tenth of it shrunk to a sphere (`whitened`). Ours: what all samples have in common
    tells none from another, and LayerNorm keeps it."""
    statistics_rate: Annotated[float, Field(gt=0, le=1)] = 0.1
    """Weight of a step's samples in the running statistics; the first steps count alike (ours)."""
    gradient_to_echo: bool = False
    """Whether gradients flow through the echo into the plain pass, so that deep layers learn what is worth echoing. Ours: no."""
    place: Literal["output", "rank"] = "output"
    """Added to the adapted module's output (second-hand), or into the rank-r activation between A and B (ours)."""
    positions: Literal["answers", "all"] = "answers"
    """Positions that receive the echo: those whose next token is supervised (the paper's answer-only masking), or every
    position of the sample (masking switched off)."""
    bottleneck: Positive = 64
    """Width q of the projection and sigmoid networks (second-hand)."""
    sigmoid_bias: float = -2.0
    """Initial bias of the sigmoid that scales the injected vector (second-hand)."""
    scale: PositiveFloat = 1.0
    """lambda, the factor of the injected product (ours; the zero-started projection makes a warm-up factor needless). The
    second-hand source learns it, from 0.1."""
    learn_scale: bool = False
    """Whether every module learns its own factor, from `scale` on (second-hand: yes)."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Dropout inside the projection and sigmoid networks (ours)."""
    loss_weight: Annotated[float, Field(ge=0)] = 1.0
    """Factor of the echo path's cross-entropy; 0 switches that loss off."""
    distillation: DistillationConfig = DistillationConfig()
    """Masked distillation."""
    routing: RoutingConfig = RoutingConfig()
    """Stochastic routing."""
    learning_rate: PositiveFloat | None = None
    """Learning rate of the echo parameters; None takes the adapter's (ours)."""
    weight_decay: Annotated[float, Field(ge=0)] | None = None
    """AdamW's weight decay of the echo parameters; None takes the adapter's (ours)."""
    implementation: Literal["shared_prefix", "two_pass"] = "shared_prefix"
    """`two_pass` runs the whole batch twice (the readable reference); `shared_prefix` computes the same loss and gradients
    by running the second pass over the answers only."""

    @field_validator("source_layers", "target_layers")
    @classmethod
    def _layers_named_once(cls, layers: tuple[int, ...] | None) -> tuple[int, ...] | None:
        if layers is not None and (not layers or len(set(layers)) != len(layers)):
            raise ValueError("name at least one layer, each once; leave the key out for the default")
        return layers

    @model_validator(mode="after")
    def _an_average_teaches_alone(self) -> Self:
        if not self.second_pass_is_average:
            return self
        if self.content != "none" or self.loss_weight or self.distillation.representations:
            raise ValueError(
                "distillation.teacher average takes the echo path's place: set content: none, loss_weight: 0 and leave "
                "distillation.representations at 0"
            )
        return self

    @property
    def second_pass_is_average(self) -> bool:
        """Whether the second pass is the plain path with averaged weights."""
        return self.distillation.teacher == "average"

    @property
    def keeps_statistics(self) -> bool:
        """Whether running statistics of the echo are kept."""
        return self.normalisation != "layer" and self.content != "none"

    @property
    def enters_loss(self) -> bool:
        """Whether the loss has a term of the echo path, which otherwise does not run."""
        return bool(self.loss_weight or self.distillation.weight or self.distillation.representations)


RENAMED_ECHO_KEYS = rename({"gate_bias": "sigmoid_bias"})
"""From version 1 of a document with an echo section to the next."""


_LATER_ECHO = ("pooling", "pooled_tokens", "normalisation", "statistics_rate", "gradient_to_echo", "learn_scale", "dropout",
               "weight_decay")  # fmt: skip
_LATER_DISTILLATION = ("average_decay",)


def echo_in_first_words(data: Any) -> Any:
    """An echo section's plain data in the words of version 1.

    A key that came later is left out where it has its default, which is what was done before there was a key.
    """
    defaults = EchoConfig().model_dump(mode="json")
    data = change_at(data, "distillation", lambda kd: _without(kd, defaults["distillation"], _LATER_DISTILLATION))
    return rename({"sigmoid_bias": "gate_bias"})(_without(data, defaults, _LATER_ECHO))


def _without(data: Any, defaults: dict[str, Any], later: tuple[str, ...]) -> Any:
    if not isinstance(data, dict):
        return data
    return {key: value for key, value in data.items() if key not in later or value != defaults[key]}
