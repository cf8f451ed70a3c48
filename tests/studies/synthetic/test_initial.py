"""The head start: heads of the first layers look back by position, whatever stands there."""

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from studies.synthetic.initial import CONSTANT, LOOK_BACK_LAYERS, give_head_start


def attention_of(layer: int) -> torch.Tensor:
    """[H, T, T] of a fresh model with a head start, over random tokens."""
    torch.manual_seed(0)
    shape = LlamaConfig(
        vocab_size=100, hidden_size=128, intermediate_size=64, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=2, head_dim=32, attn_implementation="eager", max_position_embeddings=64,
    )  # fmt: skip
    model = LlamaForCausalLM(shape).eval()
    give_head_start(model)
    assert (model.model.embed_tokens.weight[:, 0] == CONSTANT).all()
    tokens = torch.randint(0, 100, (1, 24))
    return model(tokens, output_attentions=True).attentions[layer][0].detach()


def test_in_the_first_layers_heads_look_one_and_two_tokens_back():
    weights_HTT = attention_of(0)
    for head, back in ((0, 1), (1, 2)):
        right = sum(int(weights_HTT[head, place].argmax()) == place - back for place in range(8, 24))
        assert right > 12  # of 16; chance is one or two


def test_later_layers_are_left_to_look_for_equal_tokens():
    weights_HTT = attention_of(LOOK_BACK_LAYERS)
    assert sum(int(weights_HTT[0, place].argmax()) == place - 1 for place in range(8, 24)) < 8
