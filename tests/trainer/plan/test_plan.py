"""None"""

import io
import shutil
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from transformers import AutoTokenizer

from schemas.errors import UserError
from schemas.training.train_config import TrainConfig
from trainer.config_file import load_config
from trainer.plan.plan import measure_work, plan

CONFIGS = Path("configs")


def tiny_config(base: Path, tmp_path: Path, training_runs: Any, records: Any, **changes: Any) -> TrainConfig:
    config: TrainConfig = training_runs.make_config(tmp_path, base, records, **changes)
    return config


@pytest.mark.parametrize(
    ("config", "lora", "dora"),
    [
        ("llama_7b_commonsense", 56_098_816, 56_975_360),
        ("llama2_7b_commonsense", 56_098_816, 56_975_360),
        ("llama3_8b_commonsense", 56_623_104, 57_409_536),
    ],
)
def test_the_published_parameter_counts(config: str, lora: int, dora: int) -> None:
    console = Console(record=True, width=200, file=io.StringIO())
    footprints = plan(load_config(CONFIGS / f"{config}.yaml"), console)
    counts = {method: needs.adapter_parameters for method, needs in footprints.items()}
    assert counts == {"lora": lora, "dora": dora, "echo_lora": lora, "echo_dora": dora}
    assert footprints["lora"].echo_parameters == 0
    assert footprints["echo_lora"].echo_parameters == footprints["echo_dora"].echo_parameters > 0
    said = console.export_text()
    assert f"{lora:,}" in said
    assert "31,932" in said  # 3 epochs of 10,644 steps
    assert "hub cannot be reached" in said


def test_steps_and_tokens_are_counted_where_the_data_are_here(
    tiny_base: Path, tmp_path: Path, training_runs: Any, records: Any
) -> None:
    work = measure_work(tiny_config(tiny_base, tmp_path, training_runs, records))
    assert (work.samples, work.supervised_tokens) == (60, 60 * 7)
    assert work.longest <= work.tokens // 60 * 2


def test_the_plan_counts_what_training_trains(
    tiny_base: Path, tmp_path: Path, training_runs: Any, records: Any
) -> None:
    config = tiny_config(tiny_base, tmp_path, training_runs, records, method="echo_dora")
    needs = plan(config, Console(quiet=True))["echo_dora"]
    from schemas.training.adapter_manifest import AdapterManifest

    adapter = AdapterManifest.read(training_runs.run(config).manifest).adapter
    assert (needs.adapter_parameters, needs.echo_parameters) == (adapter.parameters, adapter.echo_parameters)


def test_a_base_of_unknown_shape_is_refused() -> None:
    config = load_config(CONFIGS / "llama_7b_commonsense.yaml", ["--base.model", "nobody/nothing"])
    with pytest.raises(UserError, match="its shape is not among ours"):
        plan(config, Console(quiet=True))


@pytest.mark.parametrize("fault", ["data", "weights", "answers"])
def test_a_plan_fails_where_training_would(
    tiny_base: Path, tmp_path: Path, training_runs: Any, records: Any, fault: str
) -> None:
    base = Path(shutil.copytree(tiny_base, tmp_path / "base"))
    config = tiny_config(base, tmp_path, training_runs, records)
    [source] = config.data.train
    if fault == "data":
        Path(source.path).unlink()
    elif fault == "answers":
        Path(source.path).write_text('[{"instruction": "a"}]')
    else:
        (base / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1")
    with pytest.raises(UserError):
        plan(config, Console(quiet=True))


@pytest.mark.parametrize("added", ["<pad>", "<extra>"])
def test_a_token_beyond_the_embedding_is_named(
    tiny_base: Path, tmp_path: Path, training_runs: Any, records: Any, added: str
) -> None:
    base = Path(shutil.copytree(tiny_base, tmp_path / "base"))
    tokenizer = AutoTokenizer.from_pretrained(base)
    if added == "<pad>":
        tokenizer.add_special_tokens({"pad_token": "<|padding|>"})
    else:
        tokenizer.add_tokens(["golden number"])
    tokenizer.save_pretrained(base)
    with pytest.raises(UserError, match="the base's embedding has") as raised:
        plan(tiny_config(base, tmp_path, training_runs, records), Console(quiet=True))
    assert ("<|padding|>" if added == "<pad>" else "golden number") in raised.value.what
