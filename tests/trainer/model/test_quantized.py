"""QLoRA: adapters on a base stored as nf4 through bitsandbytes, which runs on a CPU too."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from schemas.adapter_reader import read_adapter
from schemas.base.find_base import find_base
from schemas.training.train_config import BaseModelConfig
from trainer.model.base_model import load_base

pytest.importorskip("bitsandbytes")


@pytest.mark.parametrize("method", ["echo_lora", "echo_dora"])
def test_the_adapter_learns_and_its_probes_are_those_of_the_base_that_will_serve(
    tmp_path: Path, tiny_base: Path, records: list[dict[str, Any]], training_runs: ModuleType, method: str
) -> None:
    changes = {"method": method, "base__quantization": "nf4", "training__max_steps": 12, "training__log_every": 1}
    run = training_runs.run(training_runs.make_config(tmp_path, tiny_base, records, **changes))
    losses = [row["loss"] for row in map(json.loads, run.metrics.read_text().splitlines()) if "loss" in row]
    assert losses[-1] < 0.9 * losses[0]
    manifest = read_adapter(run.adapter).manifest
    assert manifest.base.quantization == "nf4"
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tiny_base, dtype="float32"), run.adapter)
    for probe in manifest.probes:
        text = torch.tensor([probe.token_ids])
        found = model(text).logits[0, :-1].log_softmax(-1).gather(1, text[0, 1:, None])[:, 0]
        assert torch.allclose(found, torch.tensor(probe.adapter), atol=1e-4)


def test_inference_leaves_the_stored_weights_as_they_are(tiny_base: Path) -> None:
    config = BaseModelConfig(model=str(tiny_base), dtype="float32", quantization="nf4")
    model = load_base(find_base(config.model), config, torch.device("cpu"))
    text = torch.arange(3, 40)[None]
    training = model.train()(text).logits
    with torch.no_grad():
        inferring = model.eval()(text).logits
    assert torch.equal(training, inferring)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert type(model.model.layers[0].mlp.up_proj).__name__ == "Linear4bit"
