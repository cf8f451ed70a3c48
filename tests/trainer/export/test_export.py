from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import safetensors.torch
import torch
from peft import AutoPeftModelForCausalLM, PeftModel
from transformers import AutoModelForCausalLM

from schemas.adapter_reader import read_adapter
from schemas.run_directory import ADAPTER_FILES, RunDirectory
from schemas.training.adapter_manifest import AdapterManifest

METHODS = ("lora", "dora", "echo_lora", "echo_dora")


@pytest.fixture(scope="module", params=METHODS)
def run(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    tiny_base: Path,
    records: list[dict[str, str]],
    training_runs: ModuleType,
) -> RunDirectory:
    directory = tmp_path_factory.mktemp(request.param)
    done: RunDirectory = training_runs.run(
        training_runs.make_config(directory, tiny_base, records, method=request.param)
    )
    return done


def test_the_adapter_is_exactly_four_files_that_verify(run: RunDirectory) -> None:
    assert sorted(path.name for path in run.adapter.iterdir()) == sorted(ADAPTER_FILES)
    assert read_adapter(run.adapter).manifest == AdapterManifest.read(run.manifest)


def test_tensors_and_config_are_those_peft_itself_saves(run: RunDirectory, tiny_base: Path, tmp_path: Path) -> None:
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tiny_base), run.adapter)
    model.save_pretrained(tmp_path)
    ours, theirs = (safetensors.torch.load_file(d / "adapter_model.safetensors") for d in (run.adapter, tmp_path))
    assert {name: (t.shape, t.dtype) for name, t in ours.items()} == {n: (t.shape, t.dtype) for n, t in theirs.items()}
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    config, expected = (json.loads((d / "adapter_config.json").read_text()) for d in (run.adapter, tmp_path))
    assert config == {key: sorted(v) if isinstance(v := expected[key], list) else v for key in config}


def test_the_config_says_what_the_adapter_is_and_no_default_of_one_peft(run: RunDirectory) -> None:
    written = json.loads((run.adapter / "adapter_config.json").read_text())
    assert set(written) == {
        "base_model_name_or_path", "inference_mode", "lora_alpha", "lora_dropout", "peft_type", "r", "target_modules",
        "task_type", "use_dora",
    }  # fmt: skip


@pytest.fixture(scope="session", params=["0.13.2", "0.10.0"])
def older_peft(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a PEFT of one or two years earlier, for PYTHONPATH."""
    folder = tmp_path_factory.mktemp(f"peft-{request.param}")
    install = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--retries", "0", "--timeout", "10"]
    line = [*install, "--target", str(folder), f"peft=={request.param}"]
    if subprocess.run(line, capture_output=True).returncode:
        pytest.skip(f"no package index here to fetch PEFT {request.param} from")
    return folder


def test_older_releases_of_peft_read_the_config(run: RunDirectory, older_peft: Path) -> None:
    code = (
        "import peft, sys; c = peft.PeftConfig.from_pretrained(sys.argv[1]); print(peft.__version__, c.r, c.use_dora)"
    )
    line = [sys.executable, "-c", code, str(run.adapter)]
    environment = os.environ | {"PYTHONPATH": str(older_peft)}
    read = subprocess.run(line, capture_output=True, text=True, env=environment)
    manifest = AdapterManifest.read(run.manifest)
    assert read.stdout.split()[1:] == ["4", str(manifest.adapter.use_dora)], read.stderr
    assert read.stdout.split()[0] in older_peft.name


def test_nothing_of_the_echo_is_exported(run: RunDirectory) -> None:
    names = safetensors.torch.load_file(run.adapter / "adapter_model.safetensors")
    assert all(name.endswith(("lora_A.weight", "lora_B.weight", "lora_magnitude_vector")) for name in names)
    manifest = AdapterManifest.read(run.manifest)
    assert (manifest.adapter.echo_parameters > 0) == manifest.method.startswith("echo")


def test_magnitudes_are_there_if_and_only_if_use_dora_says_so(run: RunDirectory) -> None:
    names = safetensors.torch.load_file(run.adapter / "adapter_model.safetensors")
    use_dora = json.loads((run.adapter / "adapter_config.json").read_text())["use_dora"]
    assert use_dora == any("magnitude" in name for name in names) == AdapterManifest.read(run.manifest).adapter.use_dora


def test_autopeft_reproduces_the_recorded_log_probabilities_bit_for_bit(run: RunDirectory) -> None:
    """Those were taken from the training model's plain path and compared with the export when it was made."""
    model = AutoPeftModelForCausalLM.from_pretrained(run.adapter).eval()
    for probe in AdapterManifest.read(run.manifest).probes:
        ids = torch.tensor([probe.token_ids])
        with torch.no_grad():
            adapted = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
            with model.disable_adapter():
                base = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
        for logits, recorded in ((adapted, probe.adapter), (base, probe.base)):
            log_probabilities = logits[0, :-1].float().log_softmax(-1).gather(1, ids[0, 1:, None])[:, 0]
            assert tuple(log_probabilities.tolist()) == recorded
        assert probe.adapter != probe.base


def test_the_card_says_how_to_load_it_and_what_was_measured(run: RunDirectory) -> None:
    card, manifest = (run.adapter / "README.md").read_text(), AdapterManifest.read(run.manifest)
    assert "PeftModel.from_pretrained(base, " in card
    assert f"{manifest.training.validation_loss:.4f}" in card
    assert ("vllm serve" in card) == (not manifest.adapter.use_dora)


def test_the_manifest_accounts_for_data_and_training(run: RunDirectory) -> None:
    manifest = AdapterManifest.read(run.manifest)
    assert (manifest.data.train_rows, manifest.data.validation_rows, manifest.data.sources[0].rows) == (60, 4, 64)
    assert manifest.data.supervised_tokens == 60 * 7
    assert manifest.training.steps == 6
    assert (0 < manifest.training.echo_steps < 6) == manifest.method.startswith("echo")


def test_the_manifest_says_whether_the_echo_was_there(run: RunDirectory) -> None:
    manifest = AdapterManifest.read(run.manifest)
    check = manifest.training.echo
    assert (check is not None) == manifest.method.startswith("echo_")
    if check is not None:
        assert check.samples == manifest.data.validation_rows
        assert check.plain_loss == pytest.approx(manifest.training.validation_loss, rel=1e-5)
        assert check.injection_to_output > 0


def test_equal_runs_export_equal_bytes(
    tmp_path: Path, tiny_base: Path, records: list[dict[str, str]], training_runs: ModuleType
) -> None:
    runs = [
        training_runs.run(training_runs.make_config(tmp_path / name, tiny_base, records, method="echo_dora"))
        for name in ("one", "two")
    ]
    for file in ("adapter_model.safetensors", "adapter_config.json"):
        assert len({(run.adapter / file).read_bytes() for run in runs}) == 1


def test_an_export_that_differs_from_the_trained_model_is_caught(
    tmp_path: Path,
    tiny_base: Path,
    records: list[dict[str, str]],
    training_runs: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from trainer.export import export

    def damaged(model: PeftModel) -> dict[str, torch.Tensor]:
        return {name: tensor * 1.001 for name, tensor in intact(model).items()}

    intact = export.adapter_tensors
    monkeypatch.setattr(export, "adapter_tensors", damaged)
    config = training_runs.make_config(tmp_path, tiny_base, records)
    with pytest.raises(AssertionError, match="logits differ"):
        training_runs.run(config)
    assert sorted(path.name for path in (tmp_path / "runs" / "run").iterdir()) == [
        "checkpoints",
        "config.yaml",
        "metrics.jsonl",
    ]
