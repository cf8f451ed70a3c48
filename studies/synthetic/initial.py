"""A head start for attention: some heads begin by looking one or two tokens back, the others by looking at equal tokens.

Answering by a mark ("which of a, b, c?") needs exactly these two kinds of heads, one after the other. A training of a few
million tokens rarely finds both from random weights (structured starts: Trockman and Kolter, 2023, "Mimetic initialization").
"""

import torch
from transformers import LlamaForCausalLM

CONSTANT = 0.3
"""Every embedding's first coordinate, so that a head can attend by position alone."""
POSITION_GAIN = 6.0
"""Length, per rotary pair, of the queries and keys of the heads that look back."""
EQUAL_GAIN = 0.12
"""Standard deviation of the weights of the heads that look for equal tokens; larger is sharper."""
LOOK_BACK_LAYERS = 2


@torch.no_grad()
def give_head_start(model: LlamaForCausalLM) -> None:
    """Rewrites the attention weights of a freshly initialised model in place."""
    config = model.config
    groups, shared, width = (
        config.num_key_value_heads,
        config.num_attention_heads // config.num_key_value_heads,
        config.head_dim,
    )
    model.model.embed_tokens.weight[:, 0] = CONSTANT
    embedding = model.model.embed_tokens.weight
    constant = CONSTANT / embedding.pow(2).mean(-1).sqrt().mean()  # the first coordinate after the RMS norm
    for layer in model.model.layers:
        attention = layer.self_attn
        for projection in (attention.k_proj, attention.v_proj):
            torch.nn.init.normal_(projection.weight, std=EQUAL_GAIN)
        attention.q_proj.weight.copy_(_for_every_query_head(attention.k_proj.weight, groups, shared))
        attention.o_proj.weight.copy_(_for_every_query_head(attention.v_proj.weight, groups, shared).T)
    for layer in model.model.layers[:LOOK_BACK_LAYERS]:
        key = torch.zeros(width)
        key[: width // 2] = POSITION_GAIN / constant
        attention = layer.self_attn
        attention.k_proj.weight[:width].normal_(std=0.02)[:, 0] = key
        for head in range(shared):
            query = attention.q_proj.weight[head * width : (head + 1) * width]
            query.normal_(std=0.02)[:, 0] = _turned_back(key, head + 1, config.rope_parameters["rope_theta"])


def _for_every_query_head(weight: torch.Tensor, groups: int, shared: int) -> torch.Tensor:
    """Repeats each key or value head's rows for the query heads that share it."""
    rows = weight.view(groups, 1, -1, weight.shape[-1])
    return rows.expand(groups, shared, -1, weight.shape[-1]).reshape(-1, weight.shape[-1])


def _turned_back(key: torch.Tensor, steps: int, theta: float) -> torch.Tensor:
    """The query that meets this key best when the key is ``steps`` tokens earlier: rotary position in reverse."""
    half = len(key) // 2
    angles = -steps * theta ** (-torch.arange(half) / half)
    first, second = key[:half], key[half:]
    return torch.cat([first * angles.cos() - second * angles.sin(), second * angles.cos() + first * angles.sin()])
