"""python -m serving export, as people call it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from schemas.errors import OK, UserError
from schemas.training.adapter_manifest import AdapterManifest
from serving.__main__ import main
from tests.adapter_runs import AdapterShape, write_adapter_run


@pytest.mark.parametrize("method", ["lora", "dora"])
def test_the_merged_model_is_base_and_adapter_in_one(
    tiny_base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], method: str
) -> None:
    run = write_adapter_run(tmp_path / "run", tiny_base, AdapterShape(method=method))
    assert main(["export", str(run.root), "--merged", str(tmp_path / "merged"), "--ungated"]) == OK
    assert "100.0% of the likeliest tokens stay" in capsys.readouterr().out
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "merged").eval()
    adapted = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tiny_base), run.adapter).eval()
    ids = torch.tensor([AdapterManifest.read(run.manifest).probes[0].token_ids])
    with torch.no_grad():
        torch.testing.assert_close(merged(ids).logits, adapted(ids).logits, atol=1e-3, rtol=1e-3)
    assert AutoTokenizer.from_pretrained(tmp_path / "merged").chat_template
    with pytest.raises(UserError, match="something already"):
        main(["export", str(run.root), "--merged", str(tmp_path / "merged"), "--ungated"])


def test_only_what_passed_its_gate_leaves_the_house(tiny_base: Path, tmp_path: Path, give_verdict: Any) -> None:
    run = write_adapter_run(tmp_path / "run", tiny_base)
    words = ["export", str(run.root), "--gguf", str(tmp_path / "a.gguf")]
    with pytest.raises(UserError, match="verdict"):
        main(words)
    give_verdict(run, "rejected")
    with pytest.raises(UserError, match="rejected"):
        main([*words, "--ungated"])
    give_verdict(run)
    assert main(words) == OK
    assert (tmp_path / "a.gguf").read_bytes()[:4] == b"GGUF"
