"""docs/adapters.md told by its own commands: an adapter that TRL trained is adopted, scored, gated and handed on."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest
import torch
from peft import LoraConfig
from transformers import AutoModelForCausalLM

from schemas.adapter_reader import read_adapter
from schemas.evaluation.verdict import Verdict
from schemas.run_directory import RunDirectory

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "adapters.md").read_text()


@pytest.fixture(scope="module")
def trained_by_trl(tmp_path_factory: pytest.TempPathFactory, tiny_base: Path, records: list[dict[str, str]]) -> Path:
    """What TRL leaves of a supervised fine-tuning: adapter, tokenizer, pickled arguments and a card."""
    trl, datasets = pytest.importorskip("trl"), import_module("datasets")
    directory = tmp_path_factory.mktemp("trl")
    rows = datasets.Dataset.from_list([{"prompt": r["instruction"], "completion": " " + r["output"]} for r in records])
    trainer = trl.SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(tiny_base, dtype=torch.float32),
        args=trl.SFTConfig(
            output_dir=str(directory), max_steps=6, per_device_train_batch_size=4, learning_rate=2e-2, report_to=[],
            use_cpu=True, save_strategy="no", bf16=False, gradient_checkpointing=False, disable_tqdm=True,
        ),
        train_dataset=rows,
        peft_config=LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", use_rslora=True, task_type="CAUSAL_LM"),
    )  # fmt: skip
    trainer.train()
    trainer.save_model()
    return directory


def page_commands() -> list[list[str]]:
    return [line.split()[2:] for line in re.findall(r"^    (python -m .+)$", PAGE, re.MULTILINE)]


@pytest.mark.filterwarnings("ignore")  # TRL's own
def test_every_command_of_the_page_but_the_servers_does_its_part(
    trained_by_trl: Path, tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    own = (ROOT / "docs" / "own-tasks.md").read_text()
    Path("support.csv").write_text(re.findall(r"```csv\n(.*?)```", own, flags=re.DOTALL)[0])
    suite, policy = re.findall(r"```yaml\n(.*?)```", PAGE, flags=re.DOTALL)
    Path("support.yaml").write_text(suite)
    Path("policy.yaml").write_text(policy)
    places = {
        "ADAPTER": trained_by_trl,
        "BASE": tiny_base,
        "DIR": Path("merged"),
        "FILE": Path("mine.gguf"),
        "REPO": "me/mine",
    }
    done = []
    for package, *words in page_commands():
        if words == ["runs/mine"] or (words[0] == "push" and "--to" not in words):
            continue  # a server, and a hub
        if words[0] == "push":
            places["DIR"] = Path("folder")
        assert import_module(f"{package}.__main__").main([str(places.get(word, word)) for word in words]) == 0, words
        done.append(words[0])
    assert done == ["adopt", "runs/mine", "gate", "export", "export", "push"]
    run = RunDirectory(Path("runs/mine"))
    manifest = read_adapter(run.adapter).manifest
    assert manifest.adopted is not None
    assert manifest.adopted.rewritten == ("rsLoRA's scale alpha / sqrt(rank) as alpha / rank",)
    assert Verdict.read(run.verdict).decision == "pass"
    assert read_adapter(Path("folder")).manifest.probes == manifest.probes
    assert (Path("merged") / "model.safetensors").is_file()
