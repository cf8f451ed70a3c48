"""BaseShape: what there is to know of a base without its weights, read once and handed on.

Everything in a config that the base must have, modules and layers, is checked against it before gigabytes are read.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, PretrainedConfig, PreTrainedModel

from schemas.errors import UserError
from schemas.training.echo_config import EchoConfig
from schemas.training.train_config import TrainConfig

_MOST_LAYERS = 1_000


@dataclass(frozen=True)
class LinearShape:
    """A linear module of a decoder layer."""

    layer: int
    """Index of the decoder layer."""
    name: str
    """The last part of its name, such as `q_proj`."""
    inputs: int
    """In-features."""
    outputs: int
    """Out-features."""


@dataclass(frozen=True)
class BaseShape:
    """The modules of a base model, by name and size."""

    skeleton: PreTrainedModel
    """All modules on the meta device, which has no memory. Whoever changes it takes a copy."""
    depth: int
    """Decoder layers."""
    width: int
    """Hidden size."""
    parameters: int
    """Values of the whole model."""
    linear: tuple[LinearShape, ...]
    """The linear modules of all decoder layers."""

    @property
    def vocabulary(self) -> int:
        """Rows of the embedding: one more than the highest token that the model knows."""
        return int(self.skeleton.get_input_embeddings().weight.shape[0])

    def named(self, names: Sequence[str]) -> list[LinearShape]:
        """The modules of these names, such as an adapter's `target_modules`."""
        return [module for module in self.linear if module.name in names]


def read_shape(source: Path | PretrainedConfig, *, trust_remote_code: bool = False) -> BaseShape:
    """The shape of a base.

    Args:
        source: a model directory, or a transformers config object.
        trust_remote_code: whether the directory's own Python code may run.

    Raises:
        UserError: config.json is not understood, or is of no Llama-like causal language model.
    """
    config = source
    if isinstance(source, Path):
        config = read_architecture(source, trust_remote_code=trust_remote_code)
    try:
        with torch.device("meta"):
            model: PreTrainedModel = AutoModelForCausalLM.from_config(config, trust_remote_code=trust_remote_code)
    except Exception as error:  # whatever an architecture's code does with numbers that it did not expect
        where = source if isinstance(source, Path) else None
        raise UserError(f"the base model is no causal language model: {_reason(error)}", where=where) from None
    layers = decoder_layers(model)
    linear = (
        LinearShape(layer, name.rsplit(".", 1)[-1], module.in_features, module.out_features)
        for layer, modules in enumerate(layers)
        for name, module in modules.named_modules()
        if isinstance(module, nn.Linear)
    )
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return BaseShape(model, len(layers), model.config.get_text_config().hidden_size, parameters, tuple(linear))


def read_architecture(source: Path, *, trust_remote_code: bool = False) -> PretrainedConfig:
    """The transformers config of a model directory or a config file.

    Raises:
        UserError: transformers does not understand it, or it asks for more layers than any model has.
    """
    try:
        config: PretrainedConfig = AutoConfig.from_pretrained(source, trust_remote_code=trust_remote_code)
    except Exception as error:  # each architecture checks its own keys in its own way
        raise UserError(f"the base model's config.json is not understood: {_reason(error)}", where=source) from None
    layers = getattr(config.get_text_config(), "num_hidden_layers", None)
    if isinstance(layers, int) and layers > _MOST_LAYERS:
        raise UserError(f"the base model's config.json names {layers:,} layers", where=source)
    return config


def _reason(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]


def decoder_layers(model: nn.Module) -> nn.ModuleList:
    """The list of decoder layers of a Llama-like model.

    Raises:
        UserError: the model has none at `model.layers`.
    """
    layers = getattr(getattr(model, "model", None), "layers", None)
    if not isinstance(layers, nn.ModuleList) or not len(layers):
        raise UserError(
            f"{type(model).__name__} has no Llama-like list of decoder layers at model.layers",
            where="base.model",
            fix="Llama, Mistral, Qwen, Gemma, Phi and models built like them have one",
        )
    return layers


def check_fit(shape: BaseShape, config: TrainConfig) -> None:
    """Refuses a config whose target modules or layers the base does not have.

    Raises:
        UserError: a target module matches nothing, a source or target layer lies outside the model, no target layer
            has an adapted module, or the model's head does more than a linear map.
    """
    _check_head(shape.skeleton)
    known = {module.name for module in shape.linear}
    missing = [name for name in config.adapter.target_modules if name not in known]
    if missing:
        raise UserError(
            f"adapter.target_modules names {', '.join(missing)}, which no linear module of the base is called",
            where=f"base.model: {config.base.model}",
            fix=f"the base has {', '.join(sorted(known))}",
        )
    if config.echo_path is not None:
        _check_echo(shape, config, config.echo_path)


def _check_echo(shape: BaseShape, config: TrainConfig, echo: EchoConfig) -> None:
    source_layers(echo, shape.depth)
    targets = target_layers(echo, shape.depth)
    if not any(module.layer in targets for module in shape.named(config.adapter.target_modules)):
        raise UserError(
            f"no adapted module lies in the echo's target layers {', '.join(map(str, targets))}",
            where="echo.target_layers",
            fix="name layers that adapter.target_modules adapts",
        )
    training = config.training
    if echo.content == "shuffled" and 1 in (training.batch_size, training.micro_batch_size):
        raise UserError(
            "echo.content: shuffled gives a sample the echo of another, and micro-batches of one have no other",
            where="training.micro_batch_size",
            fix="use micro-batches of two or more",
        )


def _check_head(base: PreTrainedModel) -> None:
    config = base.config.get_text_config()
    for key in ("final_logit_softcapping", "logit_scale", "logits_scaling"):
        if getattr(config, key, None) not in (None, 1, 1.0):
            raise UserError(
                f"the base model's logits are more than a linear map of its hidden states ({key})",
                where="base.model",
                fix="Llama, Mistral and Qwen models have a linear head",
            )


def source_layers(echo: EchoConfig, depth: int) -> list[int]:
    """The decoder layers read at the boundary; by default four spread evenly over the deepest third.

    Args:
        echo: the echo section.
        depth: the model's decoder layers.

    Raises:
        UserError: the section names a layer that the model has not.
    """
    if echo.source_layers is not None:
        return _counted_from_zero(echo.source_layers, depth, "echo.source_layers")
    first, last = depth - math.ceil(depth / 3), depth - 1
    return sorted({round(first + (last - first) * step / 3) for step in range(4)})


def target_layers(echo: EchoConfig, depth: int) -> list[int]:
    """The decoder layers whose adapted modules receive the echo; by default the shallow half. See `source_layers`."""
    if echo.target_layers is not None:
        return _counted_from_zero(echo.target_layers, depth, "echo.target_layers")
    return list(range(max(1, depth // 2)))


def _counted_from_zero(layers: Sequence[int], depth: int, key: str) -> list[int]:
    outside = [layer for layer in layers if not -depth <= layer < depth]
    if outside:
        raise UserError(
            f"{key} names layer {', '.join(map(str, outside))}, but the base model has {depth} decoder layers",
            where=key,
            fix=f"name layers from 0 to {depth - 1}, or from -{depth} to -1 counted from the end",
        )
    named = sorted({layer % depth for layer in layers})
    if len(named) != len(layers):
        raise UserError(f"{key} names a layer twice, once from the start and once from the end", where=key)
    return named
