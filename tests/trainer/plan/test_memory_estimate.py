"""What is estimated is what a real run keeps."""

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, MixtralConfig

from schemas.training.train_config import TrainConfig
from trainer.model.base_shape import read_shape
from trainer.model.lora_forward import adapted_modules
from trainer.model.peft_adapter import attach_adapter
from trainer.plan.memory_estimate import footprint


@pytest.mark.parametrize(("dtype", "autocast"), [("float32", "none"), ("bfloat16", "none"), ("bfloat16", "bfloat16")])
def test_estimated_activations_are_what_a_real_forward_pass_keeps(dtype: str, autocast: str) -> None:
    shape = LlamaConfig(
        vocab_size=64,
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
    )
    config = TrainConfig.parse(
        {
            "name": "x",
            "method": "lora",
            "base": {"model": "x", "dtype": dtype},
            "data": {"train": ["x.json"]},
            "training": {"autocast": autocast},
        },
        where="",
    )
    needs = footprint(read_shape(shape), config, micro_batch=4, tokens=64)
    [estimated] = [amount for item, amount in needs.memory.items() if item.startswith("activations")]
    base = LlamaForCausalLM(shape).to(getattr(torch, dtype)).requires_grad_(False)
    model = attach_adapter(base, config).train()
    own = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept: dict[int, torch.Tensor] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.untyped_storage().data_ptr() not in own:
            kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    for adapted in adapted_modules(model, base.model.layers):
        adapted.module.cast_input_dtype_enabled = autocast == "none"  # as in a pass
    casts = torch.autocast("cpu", torch.bfloat16, enabled=autocast == "bfloat16")
    with casts, torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        outputs = base.model(
            input_ids=torch.ones(4, 64, dtype=torch.int64), attention_mask=torch.ones(4, 64), use_cache=False
        )
    del outputs
    assert estimated == pytest.approx(sum(t.untyped_storage().nbytes() for t in kept.values()), rel=0.1)


SMALL = {
    "vocab_size": 64, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 256,
}  # fmt: skip
LONG = {"short_factor": [1.0] * 4, "long_factor": [2.0] * 4, "original_max_position_embeddings": 64}


@pytest.mark.parametrize(
    "shape",
    [
        LlamaConfig(**SMALL, rope_parameters={"rope_theta": 1e4, "rope_type": "dynamic", "factor": 8.0}),
        LlamaConfig(**SMALL, rope_parameters={"rope_theta": 1e4, "rope_type": "longrope", "factor": 4.0, **LONG}),
    ],
    ids=["dynamic", "longrope"],
)
def test_a_rotary_table_chosen_by_length_takes_what_any_table_takes(shape: LlamaConfig) -> None:
    config = TrainConfig.parse(
        {"name": "x", "method": "lora", "base": {"model": "x"}, "data": {"train": ["x.json"]}}, where=""
    )
    plain = footprint(read_shape(LlamaConfig(**SMALL)), config, micro_batch=2, tokens=16)
    assert footprint(read_shape(shape), config, micro_batch=2, tokens=16) == plain


def test_experts_keep_each_token_once_per_expert_it_is_sent_to() -> None:
    parts = {"adapter": {"target_modules": ["q_proj"]}, "base": {"model": "x"}, "data": {"train": ["x.json"]}}
    config = TrainConfig.parse({"name": "x", "method": "lora", **parts}, where="")

    def activations(**changes: int) -> int:
        shape = read_shape(MixtralConfig(**SMALL, num_local_experts=4, **changes))
        needs = footprint(shape, config, micro_batch=2, tokens=16)
        return next(amount for item, amount in needs.memory.items() if item.startswith("activations"))

    once, twice, thrice = (activations(num_experts_per_tok=experts) for experts in (1, 2, 3))
    assert 0 < once < twice < thrice
    assert thrice - twice == pytest.approx(twice - once, rel=0.05)
