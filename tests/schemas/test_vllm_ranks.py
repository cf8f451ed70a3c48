"""The narrowest of vLLM's widths that holds every adapter."""

import pytest

from schemas.errors import UserError
from schemas.vllm_ranks import max_lora_rank


@pytest.mark.parametrize(("ranks", "width"), [((1,), 1), ((4,), 8), ((8, 20), 32), ((512,), 512)])
def test_the_buffers_are_the_narrowest_that_hold_every_adapter(ranks, width):
    assert max_lora_rank(ranks) == width


def test_a_rank_that_vllm_cannot_serve_is_refused():
    with pytest.raises(UserError, match="up to rank 512"):
        max_lora_rank([513])
