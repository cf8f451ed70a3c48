from __future__ import annotations

from pathlib import Path

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from trainer.data.tokenization import Example
from trainer.export.reference_logprobs import prove_export

EXAMPLE = Example(input_ids=(0, 10, 11, 12, 13), completion_mask=(False, False, False, True, True), boundary=2)


@pytest.fixture
def trained(tiny_base: Path, tmp_path: Path) -> PeftModel:
    """A base with an adapter that acts, which is also saved in tmp_path."""
    config = LoraConfig(task_type="CAUSAL_LM", r=2, lora_alpha=4, target_modules=["q_proj"], init_lora_weights=False)
    torch.manual_seed(0)
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(tiny_base), config)
    model.save_pretrained(tmp_path)
    return model


def test_a_probe_is_the_texts_log_probabilities_with_and_without_the_adapter(
    trained: PeftModel, tiny_base: Path, tmp_path: Path
) -> None:
    ids = torch.tensor([EXAMPLE.input_ids])
    with torch.no_grad():
        logits = trained.eval()(input_ids=ids).logits[0, :-1].log_softmax(-1)
    expected = logits.gather(1, ids[0, 1:, None])[:, 0].tolist()
    [probe] = prove_export(trained, tmp_path, [EXAMPLE], AutoTokenizer.from_pretrained(tiny_base))
    assert probe.adapter == pytest.approx(expected, abs=1e-6)
    assert probe.base != probe.adapter
    assert (probe.token_ids, probe.prompt_tokens) == (EXAMPLE.input_ids, 3)


def test_files_that_are_not_the_trained_adapter_are_caught(trained: PeftModel, tiny_base: Path, tmp_path: Path) -> None:
    with torch.no_grad():
        next(p for name, p in trained.named_parameters() if "lora_B" in name).add_(1.0)
    with pytest.raises(AssertionError, match="differ from the trained model"):
        prove_export(trained, tmp_path, [EXAMPLE], AutoTokenizer.from_pretrained(tiny_base))
