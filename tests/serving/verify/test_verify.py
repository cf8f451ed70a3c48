"""What must hold before anything heavy starts; each refusal says what, where and what next."""

import shutil

import pytest

from schemas.errors import UserError
from schemas.run_directory import RunDirectory
from schemas.training.adapter_manifest import AdapterManifest
from serving.verify.verify import verify_runs


@pytest.fixture
def run(served_runs, tmp_path):
    shutil.copytree(served_runs[0].root, tmp_path / "echo")
    return RunDirectory(tmp_path / "echo")


def refusal(*runs, base=None, verdict_rule="require"):
    with pytest.raises(UserError) as refused:
        verify_runs(tuple(run.root for run in runs), base=base, verdict_rule=verdict_rule)
    return str(refused.value)


def test_a_passed_adapter_on_its_base_may_be_served(run, tiny_base):
    (candidate,) = verify_runs((run.root,), base=None, verdict_rule="require")
    assert (candidate.name, candidate.base) == ("echo", tiny_base)
    assert candidate.verdict_sha256 is not None


def test_a_study_s_control_is_not_served_whatever_its_verdict(run):
    manifest = AdapterManifest.read(run.manifest)
    training = manifest.training.model_copy(update={"study_control": True})
    manifest.model_copy(update={"training": training}).write(run.manifest)
    for rule in ("require", "ignore"):
        assert "a study's control, trained with echo.content: oracle" in refusal(run, verdict_rule=rule)


def test_a_base_that_moved_is_named(run, tiny_base, adapter_runs, tmp_path):
    moved = shutil.copytree(tiny_base, tmp_path / "moved")
    other = adapter_runs.write_adapter_run(tmp_path / "other", moved)
    moved.rename(tmp_path / "elsewhere")
    assert "--base DIR" in refusal(other, verdict_rule="if_present")
    assert verify_runs((other.root,), base=tmp_path / "elsewhere", verdict_rule="if_present")


def test_one_server_holds_one_base(run, tiny_base, adapter_runs, tmp_path):
    from transformers import LlamaForCausalLM

    base = shutil.copytree(tiny_base, tmp_path / "base")
    model = LlamaForCausalLM.from_pretrained(base)
    model.lm_head.weight.data.mul_(2)
    model.save_pretrained(base)
    other = adapter_runs.write_adapter_run(tmp_path / "other", base)
    assert "one server holds one base" in refusal(run, other, verdict_rule="if_present")


def test_two_adapters_of_one_name_are_refused(run, served_runs):
    assert "two models would answer to the name echo" in refusal(run, served_runs[0])
