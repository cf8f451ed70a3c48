"""What must hold before anything heavy starts; each refusal says what, where and what next."""

import shutil
import socket
import subprocess
import sys

import pytest

from schemas.errors import UserError
from schemas.run_directory import RunDirectory
from serving.verify.preflight import read_api_key, require_free_port
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


@pytest.mark.parametrize("decision", ["rejected", "inconclusive"])
@pytest.mark.parametrize("rule", ["require", "if_present"])
def test_a_verdict_that_is_no_pass_is_final(run, give_verdict, decision, rule):
    give_verdict(run, decision)
    assert f"verdict over echo is {decision}" in refusal(run, verdict_rule=rule)


def test_without_a_verdict_only_ungated_serves(run):
    run.verdict.unlink()
    assert "--ungated" in refusal(run)
    (candidate,) = verify_runs((run.root,), base=None, verdict_rule="if_present")
    assert candidate.verdict_sha256 is None


def test_a_verdict_over_another_adapter_is_refused(run, served_runs, give_verdict):
    give_verdict(run, adapter=served_runs[1])
    assert "formed over another adapter" in refusal(run)


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


def test_a_port_in_use_is_refused_at_once_with_exit_code_2(run):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match="Address already in use"):
            require_free_port("127.0.0.1", port)
        command = [sys.executable, "-m", "serving", str(run.root), "--port", str(port)]
        finished = subprocess.run(command, capture_output=True, text=True)
    assert finished.returncode == 2
    assert "Address already in use" in finished.stderr
    assert "Traceback" not in finished.stderr


def test_an_empty_or_missing_key_file_is_refused(tmp_path):
    (tmp_path / "empty").write_text("\n")
    for name in ("empty", "missing"):
        with pytest.raises(UserError, match="API key file"):
            read_api_key(tmp_path / name)
