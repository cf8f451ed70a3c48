"""Twice the layers and the same function."""

from pathlib import Path

import torch
from transformers import AutoModelForCausalLM

from studies.synthetic.deepen import deepen

QUICKSTART = Path(__file__).parents[3] / "configs" / "quickstart"
BASE = QUICKSTART / "base"


def test_a_deepened_base_computes_the_same_and_can_learn_otherwise() -> None:
    base = AutoModelForCausalLM.from_pretrained(BASE, dtype=torch.float32)
    deeper = deepen(base).eval()
    assert len(deeper.model.layers) == 2 * len(base.model.layers)
    assert deeper.lm_head.weight is deeper.model.embed_tokens.weight
    ids = torch.arange(5, 25)[None]
    torch.testing.assert_close(deeper(ids).logits, base(ids).logits)
    deeper(ids, labels=ids).loss.backward()
    assert deeper.model.layers[1].mlp.down_proj.weight.grad.abs().max() > 0
