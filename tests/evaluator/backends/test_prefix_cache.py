"""A kept prefix grows, shrinks and changes into the next one; its keys and values are those of a pass over it."""

import pytest
import torch
from transformers import AutoModelForCausalLM, DynamicCache

from evaluator.backends.prefix_cache import PrefixCache, common_prefix


@pytest.fixture
def model(tiny_base):
    return AutoModelForCausalLM.from_pretrained(tiny_base, dtype=torch.float32).eval()


def test_each_prefix_is_what_one_pass_gives(model):
    prefix = PrefixCache(model)
    for tokens in ([5, 6, 7, 8], [5, 6, 7, 8, 9], [5, 6, 20], [30, 31], [30]):
        prefix.extend_to(tokens)
        whole = DynamicCache()
        with torch.inference_mode():
            model(input_ids=torch.tensor([tokens]), past_key_values=whole)
        for ours, theirs in zip(prefix.seen().layers, whole.layers, strict=True):
            torch.testing.assert_close(ours.keys, theirs.keys)
            torch.testing.assert_close(ours.values, theirs.values)


def test_no_prefix_is_no_cache(model):
    prefix = PrefixCache(model)
    prefix.extend_to([5, 6])
    prefix.extend_to([])
    assert prefix.seen() is None


def test_common_beginnings_are_counted():
    assert [common_prefix([1, 2, 3], other) for other in ([1, 2, 4], [1, 2, 3, 4], [2], [])] == [2, 3, 0, 0]
