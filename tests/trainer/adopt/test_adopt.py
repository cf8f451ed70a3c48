"""What each tool of the PEFT world leaves becomes a run that computes the same, or is refused and leaves nothing."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import pytest
import safetensors.torch
import torch
from peft import PeftModel
from rich.console import Console
from transformers import AutoModelForCausalLM

from schemas.adapter_reader import read_adapter
from schemas.errors import UserError
from schemas.run_directory import RunDirectory
from schemas.training.adapter_manifest import AdapterManifest
from schemas.training.train_config import BaseModelConfig
from tests.trainer.adopt import foreign_adapters
from tests.trainer.adopt.foreign_adapters import TOOLS, change_config, write
from trainer.adopt.adopt import Adoption, adopt

QUIET = Console(quiet=True)


def adoption(adapter: Path, base: Path, run: Path, data: Path | None = None) -> Adoption:
    config = BaseModelConfig(model=str(base), dtype="float32")
    return Adoption(adapter, config, RunDirectory(run), None, data, torch.device("cpu"))


@torch.no_grad()
def logits(model: torch.nn.Module, manifest: AdapterManifest) -> list[torch.Tensor]:
    return [model(input_ids=torch.tensor([probe.token_ids])).logits for probe in manifest.probes]


@pytest.mark.filterwarnings("ignore:Unexpected keyword arguments")  # PEFT's own, of a config from 2023
@pytest.mark.parametrize("tool", TOOLS)
def test_an_adapter_of_every_tool_computes_as_it_did(tool: str, tiny_base: Path, tmp_path: Path) -> None:
    came = write(tmp_path / "came", tiny_base, tool)
    manifest = adopt(adoption(came, tiny_base, tmp_path / "runs" / "mine"), QUIET)
    adapter = tmp_path / "runs" / "mine" / "adapter"
    assert read_adapter(adapter).manifest == manifest
    theirs = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tiny_base), came).eval()
    ours = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tiny_base), adapter).eval()
    for wanted, found in zip(logits(theirs, manifest), logits(ours, manifest), strict=True):
        torch.testing.assert_close(found, wanted, atol=1e-3, rtol=1e-3)
    assert manifest.adopted is not None
    assert bool(manifest.adopted.rewritten) == (tool in REWRITTEN)


REWRITTEN = ("llama-factory, rslora", "patterns", "some layers", "some layers, dora", "not these")


def test_a_plain_adapter_keeps_its_tensors_to_the_bit(tiny_base: Path, tmp_path: Path) -> None:
    came = write(tmp_path / "came", tiny_base, "axolotl")
    adopt(adoption(came, tiny_base, tmp_path / "mine"), QUIET)
    theirs, ours = (
        safetensors.torch.load_file(place / "adapter_model.safetensors") for place in (came, tmp_path / "mine/adapter")
    )
    assert theirs.keys() == ours.keys()
    assert all(torch.equal(theirs[name], ours[name]) for name in theirs)


def test_the_manifest_says_what_is_unknown(tiny_base: Path, tmp_path: Path) -> None:
    came = change_config(
        write(tmp_path / "came", tiny_base, "unsloth"), base_model_name_or_path="unsloth/llama-bnb-4bit"
    )
    manifest = adopt(adoption(came, tiny_base, tmp_path / "mine"), QUIET)
    assert (manifest.seed, manifest.config_sha256, manifest.data, manifest.training) == (None, None, None, None)
    assert manifest.trained_template is None
    assert manifest.adopted is not None
    assert manifest.adopted.base_as_named == "unsloth/llama-bnb-4bit"
    card = (tmp_path / "mine" / "adapter" / "README.md").read_text()
    assert "| data, seed, steps and losses | unknown |" in card
    assert str(tmp_path) not in card


def test_it_is_recorded_on_the_user_s_rows_where_they_are_given(
    tiny_base: Path, tmp_path: Path, records: list[dict[str, str]]
) -> None:
    chats = [{"messages": [{"role": "user", "content": r["instruction"]}, {"role": "assistant", "content": r["output"]}]}
             for r in records]  # fmt: skip
    (tmp_path / "chats.json").write_text(json.dumps(chats))
    came = write(tmp_path / "came", tiny_base, "peft")
    manifest = adopt(adoption(came, tiny_base, tmp_path / "mine", tmp_path / "chats.json"), QUIET)
    assert records[0]["instruction"] in manifest.probes[0].prompt


def test_a_run_that_is_there_stays(tiny_base: Path, tmp_path: Path) -> None:
    came = write(tmp_path / "came", tiny_base, "peft")
    first = adopt(adoption(came, tiny_base, tmp_path / "mine"), QUIET)
    with pytest.raises(UserError, match="there is a run already"):
        adopt(adoption(came, tiny_base, tmp_path / "mine"), QUIET)
    assert AdapterManifest.read(tmp_path / "mine" / "adapter" / "manifest.json") == first


def test_training_does_not_replace_what_another_tool_trained(
    tiny_base: Path, tmp_path: Path, records: list[dict[str, str]], training_runs: ModuleType
) -> None:
    config = training_runs.make_config(tmp_path, tiny_base, records)
    place = tmp_path / "runs" / "run"
    manifest = adopt(adoption(write(tmp_path / "came", tiny_base, "peft"), tiny_base, place), QUIET)
    with pytest.raises(UserError, match="that another tool trained"):
        training_runs.run(config)
    assert read_adapter(place / "adapter").manifest == manifest


def test_what_fails_in_the_last_step_leaves_nothing(
    tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    came = write(tmp_path / "came", tiny_base, "peft")
    monkeypatch.setattr(
        "trainer.adopt.adopt.read_adapter", lambda directory: (_ for _ in ()).throw(OSError(28, "full"))
    )
    with pytest.raises(OSError, match="full"):
        adopt(adoption(came, tiny_base, tmp_path / "runs" / "mine"), QUIET)
    assert list((tmp_path / "runs").iterdir()) == []


def test_an_adapter_that_changes_nothing_is_its_base(tiny_base: Path, tmp_path: Path) -> None:
    adapted = foreign_adapters.train_a_little(tiny_base, {"target_modules": ["q_proj"]})
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            parameter.data.zero_()
    came = foreign_adapters.save(adapted, tmp_path / "came", {})
    with pytest.raises(UserError, match="every B of the adapter is zero"):
        adopt(adoption(came, tiny_base, tmp_path / "mine"), QUIET)
    assert not (tmp_path / "mine").exists()
