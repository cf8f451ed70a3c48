"""Rewrites an adapter as what every server loads: one rank, one alpha, every layer, scaled by alpha / rank.

PEFT itself reads the adapter as its config says, with rsLoRA's scale and with ranks and alphas by pattern; what a module's
update comes to is then kept: B takes up what its scale differs from the common one, and smaller ranks and layers without
an adapter are filled with zeros, which add nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, TaskType, get_peft_model, set_peft_model_state_dict
from torch import nn
from transformers import PreTrainedModel

from schemas.errors import UserError
from trainer.adopt.foreign_config import ForeignConfig
from trainer.adopt.foreign_weights import ForeignWeights, Part, Shapes

_NAMES: Mapping[Part, str] = {
    "lora_A": "lora_A.weight",
    "lora_B": "lora_B.weight",
    "magnitude": "lora_magnitude_vector",
}


@dataclass(frozen=True)
class PlainForm:
    """An adapter of one rank and one alpha."""

    rank: int
    """r of every module."""
    alpha: float
    """alpha of every module."""
    targets: tuple[str, ...]
    """Adapted modules by the last part of their name; each is adapted wherever the base has it."""
    tensors: Mapping[str, torch.Tensor]
    """By PEFT's names, on the CPU."""
    rewritten: tuple[str, ...]
    """What had to be rewritten, in words."""


def linear_modules(skeleton: nn.Module) -> dict[str, tuple[int, int]]:
    """Out- and in-features of every linear module of the decoder layers, by its full name."""
    return {
        name: (module.out_features, module.in_features)
        for name, module in skeleton.named_modules()
        if isinstance(module, nn.Linear) and ".layers." in name
    }


def as_peft_reads(model: PreTrainedModel, config: ForeignConfig, weights: ForeignWeights, where: Path) -> PeftModel:
    """The base with the adapter on it, its scales as PEFT derives them from the config.

    Raises:
        UserError: a module's tensors are of another rank than the config says.
    """
    settings = LoraConfig(
        task_type=TaskType.CAUSAL_LM,
        r=config.rank,
        lora_alpha=config.alpha,
        target_modules=sorted(weights.modules),
        use_dora=config.use_dora,
        use_rslora=config.use_rslora,
        rank_pattern=dict(config.rank_pattern),
        alpha_pattern=dict(config.alpha_pattern),
    )
    adapted: PeftModel = get_peft_model(model, settings, autocast_adapter_dtype=True)
    for name, parts in weights.modules.items():
        wanted, found = _lora_layer(adapted, name).r["default"], parts["lora_A"].shape[0]
        if wanted != found:
            raise UserError(
                f"{name} is of rank {found}, adapter_config.json says {wanted}",
                where=where,
                fix="take adapter_config.json and adapter_model.safetensors of one training",
            )
    loaded = set_peft_model_state_dict(adapted, _named(weights.modules))
    assert not loaded.unexpected_keys, loaded.unexpected_keys
    return adapted.eval()


def plain_form(
    adapted: PeftModel, config: ForeignConfig, weights: ForeignWeights, base: Shapes, where: Path
) -> PlainForm:
    """The same adapter in plain form; its very tensors, where it is plain already.

    Raises:
        UserError: modules lack that the config's target modules name.
    """
    targets = tuple(sorted({name.rsplit(".", 1)[-1] for name in weights.modules}))
    absent = [name for name in base if name.rsplit(".", 1)[-1] in targets and name not in weights.modules]
    _require_what_the_config_names(config, weights, base, where)
    scales = {name: float(_lora_layer(adapted, name).scaling["default"]) for name in weights.modules}
    ranks = {name: parts["lora_A"].shape[0] for name, parts in weights.modules.items()}
    rank, scale = max(ranks.values()), Counter(scales.values()).most_common(1)[0][0]
    modules = {
        name: parts if ranks[name] == rank and scales[name] == scale else _rewritten(parts, rank, scales[name] / scale)
        for name, parts in weights.modules.items()
    }
    modules |= {name: _nothing(adapted, name, base[name], rank, dora=config.use_dora) for name in absent}
    notes = (
        ("rsLoRA's scale alpha / sqrt(rank) as alpha / rank", config.use_rslora),
        (f"ranks from {min(ranks.values())} to {rank} filled up with zeros", min(ranks.values()) < rank),
        (f"{len(set(scales.values()))} scales made one, the rest in B", len(set(scales.values())) > 1),
        (f"{len(absent)} modules without an adapter filled with zeros", bool(absent)),
    )
    return PlainForm(rank, scale * rank, targets, _named(modules), tuple(note for note, holds in notes if holds))


def _rewritten(parts: Mapping[Part, torch.Tensor], rank: int, factor: float) -> dict[Part, torch.Tensor]:
    """A and B of a smaller rank or another scale, in float32: a narrower type would round what B takes up."""
    a, b = parts["lora_A"].float(), parts["lora_B"].float() * factor
    missing = rank - a.shape[0]
    filled: dict[Part, torch.Tensor] = {
        "lora_A": torch.cat([a, a.new_zeros(missing, a.shape[1])]),
        "lora_B": torch.cat([b, b.new_zeros(b.shape[0], missing)], dim=1),
    }
    return filled | {part: tensor for part, tensor in parts.items() if part == "magnitude"}


def _nothing(
    adapted: PeftModel, name: str, shape: tuple[int, int], rank: int, *, dora: bool
) -> dict[Part, torch.Tensor]:
    """The adapter that changes nothing: B is zero, and DoRA's magnitude the norm that the weight has."""
    outputs, inputs = shape
    parts: dict[Part, torch.Tensor] = {"lora_A": torch.zeros(rank, inputs), "lora_B": torch.zeros(outputs, rank)}
    if dora:
        weight = adapted.get_submodule(f"base_model.model.{name}").weight
        assert isinstance(weight, torch.Tensor)
        parts["magnitude"] = torch.linalg.norm(weight.detach(), dim=1).float().cpu()
    return parts


def _require_what_the_config_names(config: ForeignConfig, weights: ForeignWeights, base: Shapes, where: Path) -> None:
    """A list of target modules adapts every module that ends so: a file with fewer is not whole."""
    named = config.targets or ()
    lacking = [
        name
        for name in base
        if name not in weights.modules and any(name == target or name.endswith(f".{target}") for target in named)
    ]
    if lacking:
        raise UserError(
            f"adapter_config.json adapts {lacking[0]}, which the weights lack"
            + (f", and {len(lacking) - 1} more" if len(lacking) > 1 else ""),
            where=where,
            fix="save the adapter again, whole",
        )


def _lora_layer(adapted: PeftModel, name: str) -> Any:
    return adapted.get_submodule(f"base_model.model.{name}")


def _named(modules: Mapping[str, Mapping[Part, torch.Tensor]]) -> dict[str, torch.Tensor]:
    return {
        f"base_model.model.{name}.{_NAMES[part]}": tensor.contiguous()
        for name, parts in modules.items()
        for part, tensor in parts.items()
    }


def kept_config(plain: PlainForm, *, use_dora: bool, base: str) -> LoraConfig:
    """PEFT's config of the plain form."""
    return LoraConfig(
        task_type=TaskType.CAUSAL_LM,
        r=plain.rank,
        lora_alpha=plain.alpha,
        target_modules=list(plain.targets),
        use_dora=use_dora,
        base_model_name_or_path=base,
    )
