"""The echo pass over the suffix alone: the same loss and gradients as `two_pass`, at the suffix's price.

Before the boundary the echo path sees neither answers nor injections, so its keys and values there are the plain
path's. The plain pass keeps them, as tensors of its graph; the echo pass runs the rows from the boundary to each sample's last
supervised position, packed without padding, and attends to [plain keys before the boundary; its own keys]. Gradients
flow through both (docs/method.md, the fast path).

The attention is registered with transformers under a name of its own and is its `sdpa` except in a suffix pass.

Legend: B samples, T columns of the plain pass, S of the suffix, P rows of it that run, packed, K = T + S keys,
H attention heads, N key-value heads, h head size, d hidden size. A name's suffix is its shape.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from trainer.data.batch import Batch
from trainer.data.suffix import Suffix
from trainer.echo.chunked_loss import RowLosses, paired_losses
from trainer.echo.layer_pass import Forwards, LayerPass, Norms, Paths, receivers_of, run_layers, whole_pass
from trainer.echo.state_distillation import representation_gap
from trainer.echo.suffix_attention import way_to_attend

ATTENTION = "sdpa_shared_prefix"

KeysAndValues = dict[int, tuple[Tensor, Tensor]]
"""By layer: keys and values after the rotary embedding, each [B, N, T, h]."""


def shared_prefix(paths: Paths, batch: Batch, norms: Norms) -> RowLosses:
    """The losses of a micro-batch whose step runs the echo path: one whole pass, and one over the suffix."""
    # 1. Plain: as in `two_pass`, and every layer's attention keeps its keys and values.
    plain_pass = PrefixPass(
        paths.forwards(norms),
        reading=paths.reading(batch),
        source_layers=paths.source_layers,
        kept_layers=paths.compared_layers,
    )
    plain_BTd = whole_pass(paths, plain_pass, batch)

    # 2. Echo: the rows from the boundary on, injected.
    suffix = batch.suffix
    receivers = receivers_of(batch.before_completion).index_select(0, suffix.sources)
    injections = paths.injections(plain_pass, batch, receivers)
    with paths.echo_gradients():
        echo_pass = SuffixPass(paths.forwards(norms, injections), plain_pass, suffix, paths.backbone.config)
        echo_1Pd = suffix_pass(paths.backbone, echo_pass, batch)

    # 3. Loss: as in `two_pass`; before the boundary the two paths have the same states.
    losses = paired_losses(paths.head, batch, plain_BTd, echo_1Pd, batch.in_suffix, paths.weights)
    if not paths.compared_layers:
        return losses
    gap = representation_gap(plain_pass.states, echo_pass.states, batch.in_suffix.answers)
    return losses.plus(paths.echo.distillation.representations * gap)


class PrefixPass(LayerPass):
    """A plain pass whose attention keeps its keys and values for a later pass over the suffix."""

    def __init__(self, forwards: Forwards, **reads: Any) -> None:
        super().__init__(forwards, **reads)
        self.keys_values: KeysAndValues = {}
        """Tensors of the autograd graph."""

    def keep(self, layer: int, keys_BNTh: Tensor, values_BNTh: Tensor) -> None:
        """Keeps what a layer's attention has, in the forward and not in a recomputation."""
        if not self.finished:
            self.keys_values[layer] = keys_BNTh, values_BNTh


class SuffixPass(LayerPass):
    """An echo pass over a suffix, which attends to a plain pass's keys and values before its own."""

    def __init__(self, forwards: Forwards, plain_pass: PrefixPass, suffix: Suffix, config: Any) -> None:
        super().__init__(forwards, kept_layers=plain_pass.kept_layers)
        self.prefix, self.suffix = plain_pass.keys_values, suffix
        _, key_heads, columns, _ = self.prefix[0][0].shape
        dropout = getattr(config, "attention_dropout", 0.0)
        self.attend, self.mask = way_to_attend(suffix, columns, config.num_attention_heads, key_heads, dropout)


def obstacle(model: PreTrainedModel) -> str | None:
    """Why the model's attention cannot be ours; None where it can."""
    config = model.config.get_text_config()
    if model.config._attn_implementation not in ("sdpa", ATTENTION):
        return f"attention is {model.config._attn_implementation}, not sdpa"
    if any(kind != "full_attention" for kind in getattr(config, "layer_types", None) or ()):
        return "the base model has layers without full attention"
    if getattr(config, "layer_types", None) is None and getattr(config, "sliding_window", None) is not None:
        return "the base model's attention has a sliding window"
    return None


def attend_by_ours(model: PreTrainedModel, layers: int) -> str | None:
    """Gives the model the attention that can attend to another pass's keys; says why not where it cannot have it."""
    reason = obstacle(model)
    if reason is not None:
        return reason
    AttentionInterface.register(ATTENTION, _attend)
    AttentionMaskInterface.register(ATTENTION, sdpa_mask)
    before = model.config._attn_implementation
    model.set_attn_implementation(ATTENTION)
    if not _calls_ours(model, layers):
        model.set_attn_implementation(before)
        return "the base model's layers attend in a way of their own"
    return None


@torch.no_grad()
def _calls_ours(model: PreTrainedModel, layers: int) -> bool:
    """Whether every layer's attention, asked with one token, is ours."""
    asked = PrefixPass([[]] * layers)
    ids = torch.zeros(1, 1, dtype=torch.int64, device=model.get_input_embeddings().weight.device)
    model.model(input_ids=ids, use_cache=False, layer_pass=asked)
    return len(asked.keys_values) == layers


def suffix_pass(backbone: nn.Module, echo_pass: SuffixPass, batch: Batch) -> Tensor:
    """The echo pass over the suffix's rows, packed: [1, P, d]."""
    ids_1P = echo_pass.suffix.pack(batch.input_ids[:, :-1])
    return run_layers(backbone, echo_pass, ids_1P, echo_pass.mask, echo_pass.suffix.columns[None])


def _attend(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **kwargs: Any
) -> tuple[Tensor, None]:
    """Attention of one layer, called by transformers with heads first.

    Args:
        module: the layer's attention.
        query: [B, H, T, h]; in a suffix pass [1, H, P, h].
        key, value: the same with N heads.
        attention_mask: transformers' own, or without elements for causal attention; in a suffix pass its own.
        kwargs: the layer's arguments, `layer_pass` among them.

    Returns:
        [B, T, H, h], in a suffix pass [1, P, H, h]; and no weights.
    """
    layer_pass: LayerPass | None = kwargs.pop("layer_pass", None)
    layer: int = module.layer_idx  # type: ignore[assignment]
    if isinstance(layer_pass, SuffixPass):
        assert attention_mask is not None, "a suffix pass has a mask of its own"
        scale, dropout = kwargs.get("scaling") or query.shape[-1] ** -0.5, kwargs.get("dropout", 0.0)
        own, plain = (query, key, value), layer_pass.prefix[layer]
        return layer_pass.attend(own, plain, layer_pass.suffix, attention_mask, scale, dropout), None
    if isinstance(layer_pass, PrefixPass):
        layer_pass.keep(layer, key, value)
    if attention_mask is not None and attention_mask.numel() == 0:
        attention_mask = None  # causal
    output: tuple[Tensor, None] = sdpa_attention_forward(module, query, key, value, attention_mask, **kwargs)
    return output
