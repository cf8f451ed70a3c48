"""Twice the layers and the same function: what a deeper base starts from, so that it need not learn everything again.

Block expansion as in LLaMA Pro (Wu et al., 2024, section 3.2), with every layer of the result trained further.
"""

import torch
from transformers import LlamaConfig, LlamaForCausalLM


def deepen(model: LlamaForCausalLM) -> LlamaForCausalLM:
    """A model in which every layer is followed by a copy of itself that adds nothing yet: its output projections are zero."""
    layers = 2 * len(model.model.layers)
    shape = {key: value for key, value in model.config.to_dict().items() if key != "layer_types"}
    deeper = LlamaForCausalLM(LlamaConfig(**shape | {"num_hidden_layers": layers, "attn_implementation": "eager"}))
    deeper.model.embed_tokens.load_state_dict(model.model.embed_tokens.state_dict())
    deeper.model.norm.load_state_dict(model.model.norm.state_dict())
    deeper.lm_head.load_state_dict(model.lm_head.state_dict())
    for number, layer in enumerate(deeper.model.layers):
        layer.load_state_dict(model.model.layers[number // 2].state_dict())
        if number % 2:
            torch.nn.init.zeros_(layer.self_attn.o_proj.weight)
            torch.nn.init.zeros_(layer.mlp.down_proj.weight)
    return deeper
