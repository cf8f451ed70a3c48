"""LayerPass: what one training pass through the decoder layers does beyond the base model's own computation.

The pass is an argument of every decoder layer. Gradient checkpointing keeps a layer's arguments and calls it again
with them in the backward pass, so a recomputation binds the pass it belongs to and not whichever ran last
(docs/method.md, trap 1). Outside a pass the model is PEFT's own, bit for bit.

Legend: B samples, T columns of a whole pass (a batch's but the last, which predicts nothing), S columns of any pass,
d hidden size, L decoder layers, f features of an adapted module. A name's suffix is its shape: hidden_BSd is [B, S, d].
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from peft.tuners.lora.layer import LoraVariant
from torch import Tensor, nn

from schemas.training.echo_config import EchoConfig
from trainer.data.batch import Batch
from trainer.echo.chunked_loss import LossWeights
from trainer.echo.injector import EchoPath
from trainer.echo.reading import NO_EDGES, Edges, Reading, reading_of
from trainer.model.lora_forward import AdaptedForward, AdaptedModule, Injection

Forwards = Sequence[Sequence[tuple[AdaptedModule, LoraVariant]]]
"""For each decoder layer, the forward of each of its adapted modules."""
Norms = Mapping[str, Tensor]
"""DoRA's row norms, [f] by the module's name; empty for LoRA."""


class LayerPass:
    """The state of one pass. Written to while its forward runs, so a later recomputation records nothing twice.

    No dataclass: FSDP2 makes every dataclass among a layer's arguments anew, and the layer would write into the copy.

    Args:
        forwards: see `Forwards`.
        reading: how the source layers are read; None reads nothing.
        source_layers: layers that are read.
        kept_layers: layers whose whole output is kept.
    """

    def __init__(
        self,
        forwards: Forwards,
        *,
        reading: Reading | None = None,
        source_layers: frozenset[int] = frozenset(),
        kept_layers: frozenset[int] = frozenset(),
    ) -> None:
        self.forwards, self.reading = forwards, reading
        self.source_layers, self.kept_layers = source_layers, kept_layers
        self._read: list[Tensor] = []
        self.states: dict[int, Tensor] = {}
        """By kept layer: what it put out, [B, S, d]; tensors of the autograd graph."""
        self.entered: set[int] = set()
        """Decoder layers that received this pass."""
        self.finished = False
        """True once the forward is over."""

    @property
    def read_states(self) -> list[Tensor]:
        """What was read of each source layer, [B, d] float32."""
        if self.reading is None or not self.reading.with_gradient:
            return self._read
        return [self.reading.of(output_BSd) for output_BSd in self._read]

    def enter(self, layer: int) -> None:
        """Binds this pass to the adapted modules of a decoder layer."""
        self.entered.add(layer)
        for adapted, forward in self.forwards[layer]:
            adapted.bind(forward)

    def leave(self, layer: int, output_BSd: Tensor | None) -> None:
        """Gives the modules back to PEFT and reads the layer's output, which is None when an error left the layer."""
        for adapted, _ in self.forwards[layer]:
            adapted.bind(None)
        if output_BSd is None or self.finished:
            return
        if self.reading is not None and layer in self.source_layers:
            # Where gradients flow through it, it is pooled outside the layer: a recomputation would not do it again.
            self._read.append(output_BSd if self.reading.with_gradient else self.reading.of(output_BSd))
        if layer in self.kept_layers:
            self.states[layer] = output_BSd


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
    backbone: nn.Module,
    layer_pass: LayerPass,
    ids_BS: Tensor,
    attention_mask: Tensor | None,
    positions_BS: Tensor | None,
) -> Tensor:
    """One pass through the model without its head: [B, S, d], normalised.

    Args:
        backbone: the base model's `model`.
        layer_pass: the pass.
        ids_BS: the tokens' ids.
        attention_mask: [B, 1, S, keys] bool; None for causal attention.
        positions_BS: the tokens' positions, for the rotary embedding; None counts the columns.
    """
    outputs = backbone(
        input_ids=ids_BS,
        attention_mask=attention_mask,
        position_ids=positions_BS,
        use_cache=False,
        layer_pass=layer_pass,
    )
    layer_pass.finished = True
    assert len(layer_pass.entered) == len(layer_pass.forwards), (
        "the base model does not hand its arguments to its layers"
    )
    hidden_BSd: Tensor = outputs.last_hidden_state
    return hidden_BSd


def whole_pass(paths: Paths, layer_pass: LayerPass, batch: Batch) -> Tensor:
    """One pass over all of a batch's columns but the last: [B, T, d].

    Padding follows the real tokens, which causal attention therefore never shows it: no mask, so that every fused kernel
    applies and grouped heads stay grouped.
    """
    ids_BT = batch.input_ids[:, :-1]
    return run_layers(paths.backbone, layer_pass, ids_BT, causal_mask(ids_BT) if paths.attends_by_ours else None, None)


def causal_mask(ids: Tensor) -> Tensor:
    """A mask of no elements, which our attention reads as: causal.

    transformers hands a mask of four dimensions on as it is. Without one it looks through the positions for several
    texts in one row, and waits for the device to tell.
    """
    return ids.new_empty((1, 1, 0, 0), dtype=torch.bool)


@dataclass(frozen=True)
class Paths:
    """The model as the plain and the echo path go through it, and how the second differs from the first."""

    backbone: nn.Module
    """The base model with its adapter, without its head."""
    head: nn.Module
    """From hidden states to logits."""
    adapted: Sequence[AdaptedModule]
    """Every module that carries the adapter."""
    layers: nn.ModuleList
    """The L decoder layers of the backbone."""
    echo: EchoConfig
    """The echo section of the config."""
    injector: EchoPath | None
    """Makes the echo; None where nothing is injected (`content: none`), or for the methods without an echo."""
    source_layers: frozenset[int]
    """Layers that the echo is made of."""
    compared_layers: frozenset[int]
    """Layers whose states the two paths are compared in."""
    weights: LossWeights
    """Factors of the losses of both paths."""
    attends_by_ours: bool = False
    """Whether the backbone has the attention of trainer/echo/shared_prefix.py."""
    edges: Edges = NO_EDGES
    """What the prompts share at their ends."""

    def reading(self, batch: Batch) -> Reading:
        """How the plain pass over a batch is read for the echo."""
        return reading_of(batch, self.echo, self.edges)

    def forwards(self, norms: Norms, injections: Mapping[str, Injection] | None = None) -> Forwards:
        """The forward of every adapted module in one pass, with what it is injected by the module's name."""
        echoes = injections or {}
        forwards: list[list[tuple[AdaptedModule, LoraVariant]]] = [[] for _ in self.layers]
        for adapted in self.adapted:
            forward = self.forward_of(adapted, norms.get(adapted.name), echoes.get(adapted.name))
            forwards[adapted.layer].append((adapted, forward))
        return forwards

    @staticmethod
    def forward_of(adapted: AdaptedModule, norm_f: Tensor | None, echo: Injection | None) -> LoraVariant:
        """The forward of one adapted module in one pass."""
        return AdaptedForward(norm_f, echo)

    def injections(self, plain_pass: LayerPass, batch: Batch, receivers: Tensor) -> dict[str, Injection]:
        """What each target module receives in the echo pass, made of what was read of the plain pass.

        Args:
            plain_pass: the plain pass, finished.
            batch: what it ran.
            receivers: [rows of the echo pass, B], see `receivers_of`.
        """
        if self.injector is None:
            return {}
        vectors = self.injector(plain_pass.read_states, batch.before_completion.any(dim=1))
        return {name: Injection(vector_Bf, receivers, self.echo.place) for name, vector_Bf in vectors.items()}

    @property
    def echo_learns(self) -> bool:
        """Whether a gradient reaches the echo path: a teacher without a loss of its own gets none."""
        distillation = self.echo.distillation
        return bool(self.echo.loss_weight or (distillation.weight and distillation.teacher in ("plain", "both")))

    def echo_gradients(self) -> torch.set_grad_enabled:
        """The context of the echo pass: with gradients where the echo learns."""
        return torch.set_grad_enabled(torch.is_grad_enabled() and self.echo_learns)


def receiving_positions(batch: Batch, positions: Literal["answers", "all"]) -> Tensor:
    """[B, T] bool: the positions that receive the echo."""
    return batch.before_completion if positions == "answers" else batch.attention_mask[:, :-1]


def receivers_of(receiving_BS: Tensor) -> Tensor:
    """[B x S, B] float32: for each row of a pass, 1 at its sample if it receives the echo, so that one product adds it."""
    samples_BB = torch.eye(len(receiving_BS), device=receiving_BS.device)
    return (receiving_BS[:, :, None] * samples_BB[:, None, :]).flatten(0, 1)  # [B, S, 1] x [B, 1, B] -> [B x S, B]
