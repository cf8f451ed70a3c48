"""The forward of one adapted linear module within one training pass: LoRA or DoRA, and the injected echo.

    LoRA    y =      W x + s B (A x + v)  + bias + e
    DoRA    y = m * (W x + s B (A x + v)) + bias + e       m = magnitude / ||W + s B A||, the norm detached

e is the echo at `place: output`: after DoRA's magnitude, so that its size does not depend on the weights' norm.
v is the echo at `place: rank`: an activation of the low-rank update, so B, the scaling and DoRA's magnitude act on it
as they act on A x.

Dropout acts on the input of A alone. PEFT's DoRA with dropout feeds (m - 1) W the dropped input too, which costs a
second product with W; ours has the same expectation, and without dropout the two are equal.

Legend: B samples, S columns of the pass (a packed pass has one sample of P columns: trainer/echo/shared_prefix.py), i and o
the module's in- and out-features, r the adapter's rank, f either o or r. A name's suffix is its shape.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from peft import PeftModel
from peft.tuners.lora.layer import Linear as LoraLinear
from peft.tuners.lora.layer import LoraVariant
from torch import Tensor, nn


@dataclass(frozen=True)
class AdaptedModule:
    """A linear module of a decoder layer that carries the adapter."""

    name: str
    """Name below the list of decoder layers, such as `3.self_attn.q_proj`."""
    layer: int
    """Index of its decoder layer."""
    module: LoraLinear
    """PEFT's module."""
    adapter: str
    """PEFT's name of the adapter."""
    variant: LoraVariant | None
    """What PEFT itself runs for the adapter: None for LoRA, its DoRA variant for DoRA."""

    @property
    def is_dora(self) -> bool:
        """Whether the adapter has a magnitude here."""
        return self.adapter in self.module.lora_magnitude_vector

    def bind(self, forward: LoraVariant | None) -> None:
        """Makes PEFT run `forward` for the adapter; None restores PEFT's own."""
        # Autocast casts the input itself: PEFT's cast to the adapter's float32 would be there and back, of every input.
        autocasts = torch.is_autocast_enabled(self.module.lora_A[self.adapter].weight.device.type)
        self.module.cast_input_dtype_enabled = forward is None or not autocasts
        chosen = forward or self.variant
        if chosen is None:
            self.module.lora_variant.pop(self.adapter, None)
        else:
            self.module.lora_variant[self.adapter] = chosen


def adapted_modules(model: PeftModel, layers: nn.ModuleList) -> list[AdaptedModule]:
    """The adapted linear modules of a model's decoder layers, in its order."""
    (adapter,) = model.active_adapters
    found = []
    for name, module in layers.named_modules():
        if adapter in getattr(module, "lora_A", ()):
            layer = int(name.split(".", 1)[0])
            found.append(AdaptedModule(name, layer, module, adapter, module.lora_variant.get(adapter)))
    return found


@dataclass(frozen=True)
class Injection:
    """The echo that one adapted module receives in one pass."""

    vector: Tensor
    """[B, o] for place `output`, [B, r] for `rank`; float32."""
    receivers: Tensor
    """[rows, B] float32: 1 where the row of the pass belongs to the sample and receives its vector, else 0."""
    place: Literal["output", "rank"]
    """Where it is added."""

    def add_to(self, activation_BSf: Tensor) -> Tensor:
        """The activation with each sample's vector added at its receiving rows."""
        rows, dtype = activation_BSf.flatten(0, 1), activation_BSf.dtype
        # [B S, f] + [B S, B] x [B, f]: one product adds to all rows, and its gradient sums over them.
        return torch.addmm(rows, self.receivers.to(dtype), self.vector.to(dtype)).view_as(activation_BSf)


@dataclass
class AdaptedForward(LoraVariant):  # type: ignore[misc]
    """PEFT calls this in place of its own LoRA or DoRA formula while a pass is bound to the module.

    Holds only what is of this pass, and the pass travels with the checkpointed function's arguments; so a
    recomputation in the backward pass sees the same norm and the same echo as the forward did.
    """

    row_norm: Tensor | None = None
    """[o] float32, ||W + s B A|| by rows; None for LoRA."""
    injection: Injection | None = None
    """The echo, if this module receives one."""

    def forward(self, module: LoraLinear, active_adapter: str, x: Tensor, result: Tensor, **_: Any) -> Tensor:
        """Adds the adapter's update and the echo to the base product.

        Args:
            module: PEFT's adapted module.
            active_adapter: PEFT's name of the adapter.
            x: [B, S, i], the module's input in the adapter's type.
            result: [B, S, o], W x + bias.
        """
        bias_o = module.get_base_layer().bias
        if self.row_norm is None or bias_o is None:
            result = self._updated(module, active_adapter, x, result)
        else:  # the bias is outside the magnitude: DoRA scales the weight, not the bias
            result = self._updated(module, active_adapter, x, result - bias_o)
        if self.row_norm is not None:
            magnitude_o = module.lora_magnitude_vector[active_adapter].weight / self.row_norm
            result = result * magnitude_o if bias_o is None else torch.addcmul(bias_o, result, magnitude_o)
        if self.injection is not None and self.injection.place == "output":
            result = self.injection.add_to(result)
        return result

    def _updated(self, module: LoraLinear, adapter: str, x_BSi: Tensor, result_BSo: Tensor) -> Tensor:
        """[B, S, o], result + s B (A x + v), the last product, the scaling and the sum in one."""
        low_rank_BSr = module.lora_A[adapter](module.lora_dropout[adapter](x_BSi))
        if self.injection is not None and self.injection.place == "rank":
            low_rank_BSr = self.injection.add_to(low_rank_BSr)
        lora_b: nn.Linear = module.lora_B[adapter]
        assert lora_b.bias is None, "the sum is one product's, which has no second bias"
        rows_o, rows_r, weight_ro = result_BSo.flatten(0, -2), low_rank_BSr.flatten(0, -2), lora_b.weight.T
        if rows_o.dtype != rows_r.dtype and not torch.is_autocast_enabled(rows_o.device.type):
            rows_o = rows_o.to(rows_r.dtype)  # a base of fewer bits: the sum is the adapter's, as PEFT's
        return torch.addmm(rows_o, rows_r, weight_ro, alpha=module.scaling[adapter]).view_as(result_BSo)
