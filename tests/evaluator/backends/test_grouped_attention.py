"""One query per row: the query heads of a group attend to their shared keys as transformers' own attention does."""

import pytest
import torch
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from evaluator.backends.grouped_attention import attend


class Layer(torch.nn.Module):
    num_key_value_groups, is_causal = 3, True


@pytest.mark.parametrize("queries", [1, 5])
def test_attention_is_that_of_repeated_keys_and_values(queries):
    torch.manual_seed(0)
    query, key, value = torch.randn(2, 6, queries, 8), torch.randn(2, 2, 9, 8), torch.randn(2, 2, 9, 8)
    mask = torch.rand(2, 1, queries, 9) > 0.3
    ours, _ = attend(Layer(), query, key, value, mask, scaling=0.2)
    theirs, _ = sdpa_attention_forward(Layer(), query, key, value, mask, scaling=0.2)
    torch.testing.assert_close(ours, theirs)
