"""What is scored: a verified adapter on the very base it was trained for, or a base alone."""

import json
import shutil

import pytest

from evaluator.subject import adapter_subject, base_subject
from schemas.errors import UserError
from tests.evaluator.commands.test_score import score
from tests.evaluator.conftest import make_run


def test_an_adapter_of_another_base_is_refused(lora_run, tiny_base, tmp_path, small_data):
    other = shutil.copytree(tiny_base, tmp_path / "other")
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps({**config, "rms_norm_eps": 1e-3}))
    with pytest.raises(UserError, match="trained on another base model"):
        score(lora_run, small_data, "--base", str(other))
    assert not (lora_run / "evaluation").exists()


def test_a_changed_byte_in_the_adapter_is_refused(lora_run, small_data):
    weights = lora_run / "adapter" / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    with pytest.raises(UserError, match="sha256 differs"):
        score(lora_run, small_data)


def test_identities_differ_where_an_answer_may_and_nowhere_else(tmp_path, tiny_base, lora_run):
    same = make_run(tmp_path / "elsewhere" / "renamed", tiny_base, "lora")
    another = make_run(tmp_path / "another", tiny_base, "lora", seed=5)
    subjects = [adapter_subject(run, None, None) for run in (lora_run, same, another)]
    assert len({subject.identity("base") for subject in subjects}) == 1
    first, renamed, changed = (subject.identity("adapter") for subject in subjects)
    assert first == renamed != changed
    assert adapter_subject(lora_run, None, "bfloat16").identity("base") != subjects[0].identity("base")


def test_a_base_s_report_goes_to_a_directory_named_after_it(tiny_base, tmp_path, lora_run):
    subject = base_subject(str(tiny_base), tmp_path, None)
    assert subject.run.root == tmp_path / f"base-{tiny_base.parent.name}-{tiny_base.name}"
    assert (subject.adapter, subject.adapter_reference()) == (None, None)
    assert base_subject(str(lora_run), tmp_path, None).base == subject.base
