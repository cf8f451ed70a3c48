"""An adapter directory is believed only byte by byte: every fault is refused with its own sentence."""

import json
import os
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from schemas.adapter_reader import read_adapter
from schemas.errors import UserError
from schemas.run_directory import ADAPTER_FILES, RunDirectory
from schemas.training.adapter_manifest import AdapterManifest


@pytest.fixture(scope="module")
def original(tmp_path_factory, tiny_base, adapter_runs):
    """A run with a LoRA adapter as the trainer leaves it."""
    return adapter_runs.write_adapter_run(tmp_path_factory.mktemp("reader") / "lora", tiny_base)


@pytest.fixture
def run(original, tmp_path):
    """A copy of it to damage."""
    shutil.copytree(original.root, tmp_path / "lora")
    return RunDirectory(tmp_path / "lora")


@pytest.fixture
def forge(run, adapter_runs):
    """Changes tensors and config, then writes hashes that fit: only their content can give the forger away."""

    def rewrite(tensors=None, **config):
        path = run.adapter / "adapter_model.safetensors"
        if tensors is not None:
            save_file(tensors(load_file(path)), path)
        config_path = run.adapter / "adapter_config.json"
        config_path.write_text(json.dumps(json.loads(config_path.read_text()) | config))
        adapter_runs.seal(run)

    return rewrite


def refusal(run):
    with pytest.raises(UserError) as refused:
        read_adapter(run.adapter)
    return str(refused.value)


def first(tensors, part):
    return next(name for name in tensors if part in name)


def test_an_adapter_as_exported_is_read(run):
    adapter = read_adapter(run.adapter)
    assert adapter.config["r"] == 4
    assert len(adapter.tensors) == adapter.manifest.adapter.tensors == 40
    assert not any(header.all_zero for header in adapter.tensors.values())


def test_a_dora_adapter_is_read_with_its_magnitudes(tmp_path, tiny_base, adapter_runs):
    dora = adapter_runs.write_adapter_run(tmp_path / "d", tiny_base, adapter_runs.AdapterShape(method="echo_dora"))
    assert len(read_adapter(dora.adapter).tensors) == 60


def test_a_changed_byte_is_refused(run):
    path = run.adapter / "adapter_model.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert "is not the file that was exported" in refusal(run)


@pytest.mark.parametrize("name", ["adapter_config.json", "adapter_model.safetensors", "manifest.json", "README.md"])
def test_a_missing_file_is_named(run, name):
    (run.adapter / name).unlink()
    assert f"lacks {name}" in refusal(run)


def test_pickled_weights_are_refused(run):
    (run.adapter / "adapter_model.bin").write_bytes(b"\x80\x04")
    assert "pickled weights, which are never read" in refusal(run)


def test_a_stray_file_is_refused(run):
    (run.adapter / "tokenizer.json").write_text("{}")
    assert "not the adapter's: tokenizer.json" in refusal(run)


def test_an_absent_adapter_names_the_trainer(tmp_path):
    assert "train first" in refusal(RunDirectory(tmp_path))


def test_a_tensor_that_is_no_lora_part_is_refused(run, forge):
    forge(lambda t: t | {"base_model.model.lm_head.weight": np.zeros((2, 2), np.float32)})
    assert "lm_head.weight, which is no LoRA or DoRA tensor" in refusal(run)


def test_a_tensor_of_an_unnamed_module_is_refused(run, forge):
    def add(tensors):
        a, b = first(tensors, "q_proj.lora_A"), first(tensors, "q_proj.lora_B")
        return tensors | {name.replace("q_proj", "o_proj"): tensors[name] for name in (a, b)}

    forge(add)
    assert "the manifest's target modules do not name it" in refusal(run)


def test_dora_that_lost_its_flag_is_refused(tmp_path, tiny_base, adapter_runs):
    dora = adapter_runs.write_adapter_run(tmp_path / "d", tiny_base, adapter_runs.AdapterShape(method="dora"))
    path = dora.adapter / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"use_dora": False}))
    adapter_runs.seal(dora)
    assert "says use_dora = False, the manifest says True" in refusal(dora)


def test_dora_whose_manifest_lost_the_flag_too_is_refused(tmp_path, tiny_base, adapter_runs):
    dora = adapter_runs.write_adapter_run(tmp_path / "d", tiny_base, adapter_runs.AdapterShape(method="dora"))
    path = dora.adapter / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"use_dora": False}))
    adapter_runs.seal(dora)
    manifest = AdapterManifest.read(dora.manifest)
    shape = manifest.adapter.model_copy(update={"use_dora": False})
    manifest.model_copy(update={"adapter": shape}).write(dora.manifest)
    assert "magnitude" in refusal(dora)


def test_lora_that_claims_to_be_dora_is_refused(run, forge):
    forge(use_dora=True)
    assert "use_dora" in refusal(run)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused(run, forge, value):
    def poison(tensors):
        tensors[first(tensors, "lora_A")].flat[0] = value
        return tensors

    forge(poison)
    assert "holds NaN or infinity" in refusal(run)


def test_values_that_are_not_finite_are_found_in_bfloat16_too(run, adapter_runs):
    import torch
    from safetensors.torch import load_file as load
    from safetensors.torch import save_file as save

    path = run.adapter / "adapter_model.safetensors"
    tensors = {name: tensor.to(torch.bfloat16) for name, tensor in load(path).items()}
    save(tensors, path)
    adapter_runs.seal(run)
    assert {header.dtype for header in read_adapter(run.adapter).tensors.values()} == {"BF16"}
    tensors[first(tensors, "lora_B")][0, 0] = float("inf")
    save(tensors, path)
    adapter_runs.seal(run)
    assert "holds NaN or infinity" in refusal(run)


def test_an_adapter_that_does_nothing_is_refused(run, forge):
    forge(lambda t: {name: v * 0 if "lora_B" in name else v for name, v in t.items()})
    assert "every lora_B is zero" in refusal(run)


def test_one_zero_lora_b_is_no_fault_but_is_noted(run, forge):
    def zero_one(tensors):
        name = first(tensors, "lora_B")
        return tensors | {name: tensors[name] * 0}

    forge(zero_one)
    assert sum(header.all_zero for header in read_adapter(run.adapter).tensors.values()) == 1


def test_integer_tensors_are_refused(run, forge):
    forge(lambda t: {name: v.astype(np.int32) for name, v in t.items()})
    assert "has dtype I32" in refusal(run)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("use_rslora", True),
        ("modules_to_save", ["lm_head"]),
        ("init_lora_weights", "pissa"),
        ("rank_pattern", {"q_proj": 8}),
        ("layer_replication", [[0, 4]]),
        ("auto_mapping", {"parent_library": "os"}),
        ("some_future_feature", 1),
    ],
)
def test_config_values_beyond_a_plain_adapter_are_refused(run, forge, key, value):
    forge(**{key: value})
    assert f"adapter_config.json sets {key}" in refusal(run)


@pytest.mark.parametrize(("key", "value"), [("r", 8), ("lora_alpha", 1.0), ("peft_type", "IA3"), ("task_type", None)])
def test_a_config_that_contradicts_the_manifest_is_refused(run, forge, key, value):
    forge(**{key: value})
    assert f"adapter_config.json says {key} = {value!r}" in refusal(run)


def test_a_tensor_of_another_rank_is_refused(run, forge):
    def widen(tensors):
        name = first(tensors, "lora_A")
        return tensors | {name: np.ones((8, tensors[name].shape[1]), np.float32)}

    forge(widen)
    assert "which is no rank-4 update" in refusal(run)


def test_a_header_that_lies_about_its_size_is_refused(run, adapter_runs):
    path = run.adapter / "adapter_model.safetensors"
    path.write_bytes((2**40).to_bytes(8, "little") + path.read_bytes()[8:])
    adapter_runs.seal(run)
    assert "cannot be read" in refusal(run)


def edit_manifest(run, change):
    """Lets `change` edit the manifest's plain data."""
    data = json.loads(run.manifest.read_text())
    change(data)
    run.manifest.write_text(json.dumps(data))


@pytest.mark.parametrize("name", ADAPTER_FILES)
def test_a_link_to_the_very_bytes_is_refused(run, name):
    moved = (run.adapter / name).rename(run.root / name)
    (run.adapter / name).symlink_to(moved)
    assert f"holds links: {name}" in refusal(run)


@pytest.mark.timeout(10)
@pytest.mark.parametrize("name", ADAPTER_FILES)
def test_a_pipe_and_a_file_of_a_hundred_gigabytes_are_refused_at_once(run, name):
    os.truncate(run.adapter / name, 100 << 30)
    assert "larger than" in refusal(run) or "size" in refusal(run)
    (run.adapter / name).unlink()
    os.mkfifo(run.adapter / name)
    assert "no regular file" in refusal(run)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda data: data["adapter"].update(parameters=1), "values, the manifest says 1"),
        (lambda data: data.update(method="dora"), "method is dora, which the adapter is not"),
        (lambda data: data["adapter"].update(echo_parameters=5), "method is lora, which the adapter is not"),
        (lambda data: data["adapter"].update(layers=2), "adapts layer 3, the base has 2"),
        (lambda data: data["adapter"].update(dropout=0.5), "lora_dropout"),
        (lambda data: data["base"].update(name="another"), "base_model_name_or_path"),
        (lambda data: data["files"]["README.md"].update(size=1 << 40), "the most it can need"),
        (lambda data: data["probes"][0]["adapter"].__setitem__(0, 5.0), "less than or equal to 0"),
        (lambda data: data["probes"][0]["token_ids"].__setitem__(0, -1), "greater than or equal to 0"),
    ],
)
def test_a_manifest_that_says_something_else_than_the_files_is_refused(run, change, said):
    edit_manifest(run, change)
    assert said in refusal(run)
