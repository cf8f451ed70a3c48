"""Rows that end leave the batch, and what all begin with is computed once: the texts are transformers' own."""

import pytest
import torch

from evaluator.backends.greedy import GreedyDecoder
from evaluator.backends.prefix_cache import PrefixCache


@pytest.fixture
def model(tiny_base):
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(tiny_base, dtype=torch.float32).eval()


def padded(prompts):
    width = max(map(len, prompts))
    ids = torch.tensor([[0] * (width - len(prompt)) + prompt for prompt in prompts])
    return ids, torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts])


def alone(model, prompt, new_tokens):
    ids = torch.tensor([prompt])
    settings = {"attention_mask": torch.ones_like(ids), "do_sample": False, "eos_token_id": -1}
    return model.generate(input_ids=ids, max_new_tokens=new_tokens, **settings)[0, len(prompt) :].tolist()


@pytest.mark.parametrize("shared", [0, 40])
def test_rows_of_any_length_write_what_they_write_alone(model, shared):
    prompts = [[7 + at % 50 for at in range(shared)] + rest for rest in ([9, 8], [30, 2, 6, 41, 17], [12], [5] * 9)]
    decoder = GreedyDecoder(model, PrefixCache(model), lambda new: False)
    for _ in range(2):  # the second time, the prefix is there
        assert decoder.generate(*padded(prompts), 12) == [alone(model, prompt, 12) for prompt in prompts]


def test_a_row_that_has_ended_is_computed_no_more_and_the_others_go_on(model, monkeypatch):
    prompts, rows = [[9, 8, 7], [30, 2], [12, 40, 41, 42]], []
    forward = model.forward
    monkeypatch.setattr(
        model, "forward", lambda input_ids, **rest: rows.append(len(input_ids)) or forward(input_ids, **rest)
    )
    lengths = {
        tuple(alone(model, prompt, 6)[:length]): length for prompt, length in zip(prompts, (2, 4, 6), strict=True)
    }
    rows.clear()
    decoder = GreedyDecoder(model, PrefixCache(model), lambda new: tuple(new) in lengths)
    found = decoder.generate(*padded(prompts), 6)
    assert found == [alone(model, prompt, 6)[:length] for prompt, length in zip(prompts, (2, 4, 6), strict=True)]
    assert rows[:6] == [3, 3, 2, 2, 1, 1]
