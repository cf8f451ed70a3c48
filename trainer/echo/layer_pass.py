"""LayerPass: what one training pass through the decoder layers does beyond the base model's own computation.

The pass is an argument of every decoder layer. Gradient checkpointing keeps a layer's arguments and calls it again
with them in the backward pass, so a recomputation binds the pass it belongs to and not whichever ran last
(design, method.md section 5, trap 1). Outside a pass the model is PEFT's own, bit for bit.

Legend: B samples, S columns of the pass, R rows of a packed pass, T columns of the plain pass, d hidden size, L decoder layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from peft.tuners.lora.layer import LoraVariant
from torch import Tensor, nn

from trainer.model.lora_forward import AdaptedModule

KeysAndValues = dict[int, tuple[Tensor, Tensor]]
"""By layer: keys and values after the rotary embedding, each [B, key-value heads, T, head size]."""


@dataclass(frozen=True)
class Suffix:
    """The rows of a packed pass over the columns from the boundary on: [1, R, d] in place of [B, S, d] with padding."""

    boundary: int
    """The first column."""
    runs: Tensor
    """[B, S] bool: the positions that run."""
    rows: Tensor
    """[R]: their indices in B x S."""

    @classmethod
    def of(cls, boundary: int, runs: Tensor) -> Suffix:
        """The suffix that runs these positions."""
        return cls(boundary, runs, runs.flatten().nonzero().squeeze(1))

    def pack(self, values: Tensor) -> Tensor:
        """[1, R] of values of all columns, [B, T - 1]."""
        return values[:, self.boundary :].flatten().index_select(0, self.rows)[None]


@dataclass
class LayerPass:
    """The state of one pass. Written to until `finish`, so a later recomputation records nothing twice."""

    forwards: Sequence[Sequence[tuple[AdaptedModule, LoraVariant]]]
    """For each decoder layer, the forward of each of its adapted modules."""
    source_layers: frozenset[int] = frozenset()
    """Layers whose output at the boundary is read."""
    boundary: int = 0
    """The boundary's column in this pass."""
    records_keys: bool = False
    """Whether the attention keeps its keys and values for a later pass over the suffix."""
    keys_values: KeysAndValues = field(default_factory=dict)
    """What `records_keys` kept; tensors of the autograd graph."""
    prefix: KeysAndValues | None = None
    """Keys and values that this pass attends to before its own."""
    suffix: Suffix | None = None
    """Which rows a pass with a prefix runs."""
    boundary_states: list[Tensor] = field(default_factory=list)
    """[B, d] of each source layer, detached."""
    kept_layers: frozenset[int] = frozenset()
    """Layers whose whole output is kept."""
    states: dict[int, Tensor] = field(default_factory=dict)
    """What `kept_layers` put out, [B, S, d] or packed [1, R, d]; tensors of the autograd graph."""
    entered: set[int] = field(default_factory=set)
    """Decoder layers that received this pass."""
    finished: bool = False
    """True once the forward is over."""

    def enter(self, layer: int) -> None:
        """Binds this pass to the adapted modules of a decoder layer."""
        self.entered.add(layer)
        for adapted, forward in self.forwards[layer]:
            adapted.bind(forward)

    def leave(self, layer: int, output: Tensor | None) -> None:
        """Gives the modules back to PEFT and reads the boundary; `output` is None when the layer was left by an error."""
        for adapted, _ in self.forwards[layer]:
            adapted.bind(None)
        if output is None or self.finished:
            return
        if layer in self.source_layers:
            self.boundary_states.append(output[:, self.boundary].detach().float())
        if layer in self.kept_layers:
            self.states[layer] = output

    def record(self, layer: int, keys: Tensor, values: Tensor) -> None:
        """Keeps a layer's keys and values, of the forward and not of a recomputation."""
        if self.records_keys and not self.finished:
            self.keys_values[layer] = keys, values


def listen_to_passes(layers: nn.ModuleList) -> None:
    """Lets every decoder layer take a LayerPass as the keyword argument `layer_pass`; calling it again does nothing."""
    for index, layer in enumerate(layers):
        if not getattr(layer, "_listens_to_passes", False):
            layer.register_forward_pre_hook(partial(_enter, index), with_kwargs=True)
            layer.register_forward_hook(partial(_leave, index), with_kwargs=True, always_call=True)
            layer._listens_to_passes = True  # type: ignore[assignment]


def _enter(index: int, layer: nn.Module, args: Any, kwargs: dict[str, Any]) -> None:
    layer_pass: LayerPass | None = kwargs.get("layer_pass")
    if layer_pass is not None:
        layer_pass.enter(index)


def _leave(index: int, layer: nn.Module, args: Any, kwargs: dict[str, Any], output: Any) -> None:
    layer_pass: LayerPass | None = kwargs.get("layer_pass")
    if layer_pass is not None:
        layer_pass.leave(index, output[0] if isinstance(output, tuple) else output)


def run_layers(
    backbone: nn.Module, layer_pass: LayerPass, input_ids: Tensor, attention_mask: Tensor, position_ids: Tensor
) -> Tensor:
    """One pass through the model without its head: [B, S, d], normalised.

    Args:
        backbone: the base model's `model`.
        layer_pass: the pass.
        input_ids: [B, S].
        attention_mask: [B, S] bool, or [B, 1, S, keys] bool.
        position_ids: [B, S].
    """
    outputs = backbone(
        input_ids=input_ids,
        attention_mask=attention_mask,
        position_ids=position_ids,
        use_cache=False,
        layer_pass=layer_pass,
    )
    layer_pass.finished = True
    assert len(layer_pass.entered) == len(layer_pass.forwards), (
        "the base model does not hand its arguments to its layers"
    )
    hidden: Tensor = outputs.last_hidden_state
    return hidden
