"""The endpoint backend against vLLM's own OpenAI server."""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest

from evaluator.__main__ import main
from evaluator.backends.endpoint import EndpointBackend
from evaluator.subject import adapter_subject
from schemas.errors import UserError
from tests.evaluator.commands.test_score import read, score
from tests.evaluator.conftest import make_run


def test_an_endpoint_that_does_not_answer_is_named(lora_run, small_data):
    with pytest.raises(UserError, match="the endpoint does not answer") as caught:
        score(lora_run, small_data, "--backend", "endpoint", "--url", "http://127.0.0.1:9/v1")
    assert "python -m serving" in caught.value.fix


def test_a_missing_key_file_is_named(lora_run):
    from pathlib import Path

    with pytest.raises(UserError, match="no API key file found"):
        EndpointBackend(adapter_subject(lora_run, None, None), "http://127.0.0.1:9/v1", Path("no such file"))


@pytest.fixture(scope="module")
def served(tmp_path_factory, tiny_base):
    """A run, the address of a vLLM server that serves it under an API key, and the key's file."""
    directory = tmp_path_factory.mktemp("served")
    run = make_run(directory / "runs" / "lora", tiny_base, "lora")
    key = directory / "key"
    key.write_text("a secret\n")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(tiny_base), "--served-model-name",
        "base", "--port", str(port), "--host", "127.0.0.1", "--dtype", "float32", "--enforce-eager", "--enable-lora",
        "--max-lora-rank", "8", "--lora-modules", f"lora={run / 'adapter'}", f"impostor={run / 'adapter'}",
        "--gpu-memory-utilization", "0.4",
    ]  # fmt: skip
    environment = {**os.environ, "VLLM_API_KEY": "a secret", "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_NO_USAGE_STATS": "1"}
    with (directory / "log").open("w") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    try:
        wait_for(f"{url}/health", server, directory / "log")
        yield run, f"{url}/v1", key
    finally:
        server.terminate()
        server.wait(60)


def wait_for(url, server, log):
    deadline = time.monotonic() + 500
    while time.monotonic() < deadline:
        assert server.poll() is None, log.read_text()[-2000:]
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
    raise AssertionError("the server did not come up")


@pytest.mark.vllm
def test_the_served_adapter_scores_as_it_does_under_transformers(served, small_data):
    run, url, key = served
    arguments = ("--limit", "6", "--tasks", "piqa")
    _, here = score(run, small_data, *arguments)
    report, there = score(
        run, small_data, *arguments, "--backend", "endpoint", "--url", url, "--api-key-file", str(key)
    )
    assert report.backend == "endpoint"
    assert [s.prompt for s in here] == [s.prompt for s in there]
    same = sum(a.output.rstrip("\ufffd") == b.output.rstrip("\ufffd") for a, b in zip(here, there, strict=True))
    assert same >= len(here) // 2
    assert [s.outcome for s in here] == [s.outcome for s in there]


@pytest.mark.vllm
def test_ranked_choices_agree_with_transformers(served, real_data):
    run, url, key = served
    arguments = ("--suite", "mmlu", "--data", str(real_data), "--tasks", "anatomy", "--limit", "8", "--no-base")
    assert main([str(run), *arguments]) == 0
    _, here = read(run / "evaluation" / "mmlu")
    assert main([str(run), *arguments, "--backend", "endpoint", "--url", url, "--api-key-file", str(key)]) == 0
    _, there = read(run / "evaluation" / "mmlu")
    assert sum(a.output == b.output for a, b in zip(here, there, strict=True)) >= 7


@pytest.mark.vllm
def test_a_wrong_key_is_refused_in_words(served, small_data, tmp_path):
    run, url, _ = served
    (tmp_path / "key").write_text("wrong")
    with pytest.raises(UserError, match="refuses the API key"):
        score(run, small_data, "--backend", "endpoint", "--url", url, "--api-key-file", str(tmp_path / "key"))


@pytest.mark.vllm
def test_another_adapter_under_the_right_name_is_noticed(served, small_data, tiny_base, tmp_path):
    _, url, key = served
    other = make_run(tmp_path / "runs" / "impostor", tiny_base, "lora", seed=7)
    with pytest.raises(UserError, match="what the endpoint serves as impostor is not this adapter"):
        score(other, small_data, "--backend", "endpoint", "--url", url, "--api-key-file", str(key), "--no-base")


@pytest.mark.vllm
def test_an_adapter_that_is_not_served_is_named(served, small_data, tiny_base, tmp_path):
    _, url, key = served
    other = make_run(tmp_path / "runs" / "elsewhere", tiny_base, "lora")
    with pytest.raises(UserError, match=r"does not serve the adapter elsewhere; it lists base, lora, impostor"):
        score(other, small_data, "--backend", "endpoint", "--url", url, "--api-key-file", str(key), "--no-base")
