"""The command line of `python -m serving` and what it becomes."""

from pathlib import Path

import pytest

from serving import command_line
from serving.command_line import parse_serve_options
from serving.options import EndpointLimits, ServeOptions


@pytest.fixture(autouse=True)
def without_a_mounted_key(monkeypatch, tmp_path):
    monkeypatch.setattr(command_line, "_DOCKER_SECRET", tmp_path / "api_key")
    return tmp_path / "api_key"


def test_the_defaults_are_those_of_the_options():
    assert parse_serve_options(["runs/a"]) == ServeOptions(runs=(Path("runs/a"),))


def test_limits_and_options_for_vllm_are_taken_over():
    options = parse_serve_options(["a", "b", "--max-concurrent", "8", "--max-body-bytes", "9", "--max-num-seqs", "4"])
    assert options.runs == (Path("a"), Path("b"))
    assert options.limits == EndpointLimits(body_bytes=9, concurrent_requests=8)
    assert options.vllm_arguments == ("--max-num-seqs=4",)


def test_ungated_serves_without_a_verdict_and_never_against_one():
    assert parse_serve_options(["a"]).verdict_rule == "require"
    assert parse_serve_options(["a", "--ungated"]).verdict_rule == "if_present"


@pytest.mark.parametrize("option", ["--middleware", "--enable-lora", "--trust-remote-code", "--served-model-name"])
def test_options_of_vllm_that_change_what_is_served_are_not_taken(option, capsys):
    with pytest.raises(SystemExit) as ended:
        parse_serve_options(["a", option, "x"])
    assert ended.value.code == 2
    assert option in capsys.readouterr().err


def test_a_key_mounted_by_the_container_is_used_unless_it_is_empty(without_a_mounted_key):
    without_a_mounted_key.write_text("\n")
    assert parse_serve_options(["a"]).api_key_file is None
    without_a_mounted_key.write_text("key\n")
    assert parse_serve_options(["a"]).api_key_file == without_a_mounted_key
    assert parse_serve_options(["a", "--api-key-file", "mine"]).api_key_file == Path("mine")
