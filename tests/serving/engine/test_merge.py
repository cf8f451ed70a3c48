"""A DoRA adapter merged into its base answers as the two did apart, up to one cast."""

import shutil

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from schemas.base.base_model import weights_fingerprint
from schemas.errors import UserError
from serving.engine.merge import merge_into, merged_model
from serving.verify.verify import verify_runs


@pytest.fixture(scope="module")
def candidate(tmp_path_factory, tiny_base, adapter_runs):
    root = tmp_path_factory.mktemp("dora") / "dora"
    run = adapter_runs.write_adapter_run(root, tiny_base, adapter_runs.AdapterShape(method="dora"))
    (verified,) = verify_runs((run.root,), base=None, verdict_rule="ignore")
    return verified


@pytest.mark.parametrize(("dtype", "bound"), [("float32", 1e-4), ("bfloat16", 0.5)])
def test_only_the_cast_shows(candidate, tmp_path, dtype, bound):
    parity = merge_into(candidate.stored, candidate.base, tmp_path, dtype)
    assert parity.log_probabilities < bound
    assert parity.weights_sha256 == weights_fingerprint(tmp_path)
    assert next(AutoModelForCausalLM.from_pretrained(tmp_path).parameters()).dtype == getattr(torch, dtype)


def test_the_tokenizer_comes_along(candidate, tmp_path):
    merge_into(candidate.stored, candidate.base, tmp_path, "float32")
    ours, theirs = AutoTokenizer.from_pretrained(tmp_path), AutoTokenizer.from_pretrained(candidate.base)
    assert ours("Is the sky blue?")["input_ids"] == theirs("Is the sky blue?")["input_ids"]
    assert ours.chat_template == theirs.chat_template


def test_merged_weights_are_made_once_and_refused_once_changed(candidate, tmp_path):
    directory, parity = merged_model(candidate, "float32", tmp_path)
    assert merged_model(candidate, "float32", tmp_path) == (directory, parity)
    weights = directory / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    with pytest.raises(UserError, match="stored merged weights were changed"):
        merged_model(candidate, "float32", tmp_path)


def test_a_merge_that_fails_says_why_and_leaves_nothing(candidate, tmp_path):
    from dataclasses import replace

    broken = shutil.copytree(candidate.stored, tmp_path / "broken")
    (broken / "adapter_model.safetensors").chmod(0o644)
    (broken / "adapter_model.safetensors").write_bytes(b"")
    with pytest.raises(UserError, match="merging dora failed"):
        merged_model(replace(candidate, stored=broken), "float32", tmp_path)
    assert list((tmp_path / "merged").iterdir()) == []
