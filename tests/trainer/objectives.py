"""Tiny random models, ragged batches and their gradients, for the tests of the training objective."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import torch
from peft.tuners.lora.layer import Linear as LoraLinear
from peft.tuners.lora.layer import LoraVariant
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

from schemas.training.train_config import TrainConfig
from trainer.data.batch import Batch
from trainer.echo.layer_pass import Paths
from trainer.echo.objective import Losses, Objective, build_objective
from trainer.model.lora_forward import AdaptedModule, Injection
from trainer.model.peft_adapter import attach_adapter

VOCABULARY = 97
Gradients = dict[str, torch.Tensor | None]


def train_config(method: str = "echo_lora", **changes: Any) -> TrainConfig:
    """A config of the tiny model; `echo`, `adapter`, `training` and `data` take changes to those sections."""
    sections: dict[str, dict[str, Any]] = {
        "base": {"model": "tiny", "dtype": "float32"},
        "data": {"train": [{"path": "rows.json"}]},
        "adapter": {"rank": 4, "alpha": 12, "dropout": 0.0},
        "echo": {"bottleneck": 8},
        "training": {"batch_size": 4},
    }
    for section, change in changes.items():
        sections[section] = sections[section] | change
    return TrainConfig.parse({"name": "tiny", "method": method, **sections}, where="test")


def base_model(**changes: Any) -> PreTrainedModel:
    """A frozen random Llama with grouped-query attention: 4 heads of 16, 2 key-value heads, width 32, 4 layers."""
    torch.manual_seed(0)
    shape: dict[str, Any] = {
        "vocab_size": VOCABULARY,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "initializer_range": 0.2,
    }
    model: PreTrainedModel = LlamaForCausalLM(LlamaConfig(**(shape | changes)))
    return model.requires_grad_(False)


def objective_of(config: TrainConfig, base: PreTrainedModel | None = None, *, trained: bool = True) -> Objective:
    """The objective in training mode; `trained` moves every trainable tensor off its start, zeros included."""
    model = base or base_model()
    model.name_or_path = config.base.model
    objective = build_objective(attach_adapter(model, config), config).train()
    generator = torch.Generator().manual_seed(1)
    for name, parameter in objective.named_parameters():
        if parameter.requires_grad and trained:
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.data.mul_(1 + 0.2 * noise) if "magnitude" in name else parameter.data.add_(0.1 * noise)
    return objective


def ragged_batch(
    samples: int = 4, *, loss_on: str = "answers", seed: int = 2, prompt: int = 11, answer: int = 5
) -> Batch:
    """Prompts of 11, 9, 7, ... and answers of 5, 4, 3, ... tokens."""
    ids = torch.randint(0, VOCABULARY, (samples, prompt + answer), generator=torch.Generator().manual_seed(seed))
    mask, answers = torch.zeros_like(ids, dtype=torch.bool), torch.zeros_like(ids, dtype=torch.bool)
    boundaries = torch.tensor([prompt - 1 - 2 * row for row in range(samples)])
    for row, boundary in enumerate(boundaries.tolist()):
        mask[row, : boundary + 1 + answer - row] = True
        answers[row, boundary + 1 : boundary + 1 + answer - row] = True
    under_loss = (answers if loss_on == "answers" else mask).clone()
    under_loss[:, 0] = False
    return Batch(ids, mask, torch.where(under_loss, ids, -100), answers, boundaries)


def rows_of(batch: Batch, rows: slice) -> Batch:
    """Some samples of a batch, in the same columns."""
    tensors = (batch.input_ids, batch.attention_mask, batch.labels, batch.completion_mask, batch.boundaries)
    return Batch(*(tensor[rows] for tensor in tensors))


def at_boundary(states_BSd: Tensor, batch: Batch) -> Tensor:
    """[B, d]: each sample's state at its boundary."""
    return states_BSd[torch.arange(len(states_BSd)), batch.boundaries]


def gradients(
    objective: Objective, batches: Iterable[Batch], *, echo_on: bool = True, peft_formulas: bool = False
) -> tuple[list[Losses], Gradients]:
    """The losses of a step's micro-batches, and the gradient of every trainable tensor."""
    objective.zero_grad()
    parts = list(batches)
    tokens = sum(batch.supervised_tokens for batch in parts)
    losses = []
    with patch.object(Paths, "forward_of", staticmethod(peft_forward_of)) if peft_formulas else nullcontext():
        for batch in parts:
            losses.append(objective(batch, echo_on, tokens))
            losses[-1].total.backward()
    named = ((name, parameter) for name, parameter in objective.named_parameters() if parameter.requires_grad)
    return losses, {name: None if p.grad is None else p.grad.clone() for name, p in named}


def largest_difference(found: Gradients, expected: Gradients) -> float:
    """Over all trainable tensors, |found - expected| / |expected|; infinite where only one of them has a gradient."""
    assert found.keys() == expected.keys()
    worst = 0.0
    for name, reference in expected.items():
        gradient = found[name]
        if gradient is None or reference is None:
            worst = max(worst, 0.0 if gradient is reference else float("inf"))
        else:
            scale = reference.norm()
            worst = max(worst, float((gradient - reference).norm() / (scale if scale > 0 else 1.0)))
    return worst


def peft_forward_of(adapted: AdaptedModule, norm: Tensor | None, echo: Injection | None) -> LoraVariant:
    """In place of `Paths.forward_of`: PEFT's formula, which evaluates the norm itself."""
    return PeftForward(adapted.variant, echo)


@dataclass
class PeftForward(LoraVariant):  # type: ignore[misc]
    """PEFT's own formula plus the echo: what AdaptedForward is tested against, slow for DoRA."""

    variant: LoraVariant | None
    """PEFT's DoRA variant, or None for LoRA."""
    injection: Injection | None = None
    """The echo, if this module receives one."""

    def forward(self, module: LoraLinear, active_adapter: str, x: Tensor, result: Tensor, **extra: Any) -> Tensor:
        """See AdaptedForward.forward."""
        scaling, lora_b = module.scaling[active_adapter], module.lora_B[active_adapter]
        if self.variant is None:
            lora_a, dropout = module.lora_A[active_adapter], module.lora_dropout[active_adapter]
            result = result + lora_b(lora_a(dropout(x))) * scaling
        else:
            result = self.variant.forward(module, active_adapter=active_adapter, x=x, result=result, **extra)
        if self.injection is None:
            return result
        if self.injection.place == "output":
            return self.injection.add_to(result)
        # B is linear, so the echo inside the brackets is a term of its own outside them.
        echo: Tensor = lora_b(self.injection.add_to(x.new_zeros(*x.shape[:-1], lora_b.in_features))) * scaling
        return result + (echo if self.variant is None else echo * peft_magnitude_scale(module, active_adapter))


def peft_magnitude_scale(module: LoraLinear, adapter: str) -> Tensor:
    """[o], DoRA's m with the norm taken of the materialised W + s B A, as PEFT takes it."""
    update = module.lora_B[adapter].weight @ module.lora_A[adapter].weight * module.scaling[adapter]
    norm = torch.linalg.norm(module.get_base_layer().weight + update.detach(), dim=1)
    scale: Tensor = module.lora_magnitude_vector[adapter].weight / norm
    return scale
