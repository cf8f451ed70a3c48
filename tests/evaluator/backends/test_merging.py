"""The merged model answers as base and adapter do apart."""

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from evaluator.backends.merging import write_merged
from evaluator.subject import adapter_subject
from tests.evaluator.conftest import make_run


@pytest.mark.parametrize("method", ["lora", "dora"])
@torch.inference_mode()
def test_a_merged_model_has_the_adapter_s_logits(tmp_path, tiny_base, method):
    run = make_run(tmp_path / "runs" / method, tiny_base, method)
    write_merged(adapter_subject(run, None, None), tmp_path / "merged")
    ids = torch.arange(5, 25)[None]
    base = AutoModelForCausalLM.from_pretrained(tiny_base, dtype=torch.float32)
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "merged", dtype=torch.float32)(input_ids=ids).logits
    assert not torch.allclose(merged, base(input_ids=ids).logits, atol=1e-2)
    apart = PeftModel.from_pretrained(base, str(run / "adapter")).eval()(input_ids=ids).logits
    torch.testing.assert_close(merged, apart, atol=1e-4, rtol=1e-4)
