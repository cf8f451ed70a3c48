"""The echo pass over the suffix alone: the same loss and gradients as `two_pass`, at the suffix's price.

Before the boundary the echo path sees neither answers nor injections, so its keys and values there are the plain
path's. The plain pass keeps them, as tensors of its graph; the echo pass runs the rows from the boundary to each sample's last
supervised position, packed without padding, and attends to [plain keys before the boundary; its own keys]. Gradients
flow through both (docs/method.md, the fast path).

The attention is registered with transformers under a name of its own and is its `sdpa` except in a suffix pass.

Legend: B samples, T columns of the plain pass, S of the suffix, P rows of it that run, packed, K key columns = boundary + S,
H attention heads, N key-value heads, h head size, d hidden size. A name's suffix is its shape.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from schemas.training.train_config import EchoConfig
from trainer.data.batch import Batch
from trainer.echo import suffix_attention
from trainer.echo.chunked_loss import RowLosses, paired_losses
from trainer.echo.layer_pass import Forwards, LayerPass, Norms, Paths, receivers_of, run_layers, whole_pass
from trainer.echo.state_distillation import representation_gap
from trainer.echo.suffix_attention import Suffix

ATTENTION = "sdpa_shared_prefix"

KeysAndValues = dict[int, tuple[Tensor, Tensor]]
"""By layer: keys and values after the rotary embedding, each [B, N, T, h]."""


class KeysNotKept(Exception):
    """The base model's layers attend in a way of their own, so the plain pass kept no keys for the echo pass."""


def shared_prefix(paths: Paths, batch: Batch, norms: Norms) -> RowLosses:
    """The losses of a micro-batch whose step runs the echo path: one whole pass, and one over the suffix.

    Raises:
        KeysNotKept: the model cannot share its prefix; `two_pass` gives the same losses.
    """
    # 1. Plain: as in `two_pass`, and every layer's attention keeps its keys and values.
    plain_pass = PrefixPass(
        paths.forwards(norms),
        boundary=batch.boundary,
        source_layers=paths.source_layers,
        kept_layers=paths.compared_layers,
    )
    plain_BTd = whole_pass(paths.backbone, plain_pass, batch)
    if not plain_pass.has_kept(columns=plain_BTd.shape[1]):
        raise KeysNotKept

    # 2. Echo: the rows from the boundary on, injected.
    suffix = suffix_of(batch)
    receiving_BS = batch.before_completion[:, batch.boundary :]
    injections = paths.injections(plain_pass, receivers_of(receiving_BS).index_select(0, suffix.rows))
    with paths.echo_gradients():
        echo_pass = SuffixPass(paths.forwards(norms, injections), plain_pass, suffix)
        echo_1Pd = suffix_pass(paths.backbone, echo_pass, batch)

    # 3. Loss: as in `two_pass`; before the boundary the two paths have the same states.
    ran_twice_BT = F.pad(suffix.runs, (batch.boundary, 0))
    losses = paired_losses(paths.head, batch, plain_BTd, echo_1Pd, ran_twice_BT, paths.weights)
    if not paths.compared_layers:
        return losses
    plain_states = {layer: suffix.pack(states_BTd) for layer, states_BTd in plain_pass.states.items()}
    gap = representation_gap(plain_states, echo_pass.states, suffix.pack(batch.before_completion))
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

    def has_kept(self, columns: int) -> bool:
        """Whether the attention of every layer kept keys and values for all columns of the pass."""
        kept = self.keys_values.values()
        return len(kept) == len(self.forwards) and all(keys_BNTh.shape[2] == columns for keys_BNTh, _ in kept)


class SuffixPass(LayerPass):
    """An echo pass over a suffix, which attends to a plain pass's keys and values before its own."""

    def __init__(self, forwards: Forwards, plain_pass: PrefixPass, suffix: Suffix) -> None:
        super().__init__(forwards, kept_layers=plain_pass.kept_layers)
        self.prefix, self.suffix = plain_pass.keys_values, suffix


def obstacle(model: PreTrainedModel, echo: EchoConfig) -> str | None:
    """Why the echo pass cannot share the plain pass's prefix; None where it can."""
    config = model.config.get_text_config()
    if echo.positions == "all":
        return "echo.positions is all, so the prompts of the two passes differ"
    if model.config._attn_implementation not in ("sdpa", ATTENTION):
        return f"attention is {model.config._attn_implementation}, not sdpa"
    if any(kind != "full_attention" for kind in getattr(config, "layer_types", None) or ()):
        return "the base model has layers without full attention"
    if getattr(config, "layer_types", None) is None and getattr(config, "sliding_window", None) is not None:
        return "the base model's attention has a sliding window"
    return None


def share_prefixes(model: PreTrainedModel) -> None:
    """Gives the model the attention that can attend to another pass's keys."""
    AttentionInterface.register(ATTENTION, _attend)
    AttentionMaskInterface.register(ATTENTION, sdpa_mask)
    model.set_attn_implementation(ATTENTION)


def suffix_of(batch: Batch) -> Suffix:
    """The positions whose states a loss needs: in each sample from the boundary to the last supervised position.

    The boundary always runs, so that a batch without supervised tokens still has rows.
    """
    supervised_BS = batch.supervised[:, batch.boundary :]
    runs_BS = supervised_BS.flip(1).cummax(dim=1).values.flip(1)  # True up to the last True of each sample
    runs_BS[:, 0] = True
    return Suffix.of(batch.boundary, runs_BS)


def suffix_pass(backbone: nn.Module, echo_pass: SuffixPass, batch: Batch) -> Tensor:
    """The echo pass over the suffix's rows, packed: [1, P, d]."""
    suffix = echo_pass.suffix
    ids_1P, positions_1P = suffix.pack(batch.input_ids[:, :-1]), suffix.pack(batch.position_ids[:, :-1])
    return run_layers(backbone, echo_pass, ids_1P, suffix_mask(batch), positions_1P)


def suffix_mask(batch: Batch) -> Tensor:
    """[B, 1, S, K] bool: each suffix column sees the real columns up to itself."""
    columns = torch.arange(batch.input_ids.shape[1] - 1, device=batch.input_ids.device)
    causal_SK = columns[None, :] <= columns[batch.boundary :, None]
    return causal_SK[None, None] & batch.attention_mask[:, None, None, :-1]


def _attend(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **kwargs: Any
) -> tuple[Tensor, None]:
    """Attention of one layer, called by transformers with heads first.

    Args:
        module: the layer's attention.
        query: [B, H, T, h]; in a suffix pass [1, H, P, h].
        key, value: the same with N heads.
        attention_mask: transformers' own; in a suffix pass [B, 1, S, K].
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
        return suffix_attention.attend(own, plain, layer_pass.suffix, attention_mask, scale, dropout), None
    if isinstance(layer_pass, PrefixPass):
        layer_pass.keep(layer, key, value)
    output: tuple[Tensor, None] = sdpa_attention_forward(module, query, key, value, attention_mask, **kwargs)
    return output
