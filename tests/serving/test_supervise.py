"""How servers end: SIGTERM lets answers finish, a dead engine ends the process, and nothing is left behind."""

import os
import shutil
import signal
import threading
import time
from pathlib import Path

import psutil
import pytest

from schemas.serving.serving_attestation import ServingAttestation

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(900)]


def descendants(pid):
    """Every living process below `pid`."""
    children = psutil.Process(pid).children(recursive=True)
    return {child.pid for child in children if child.status() != psutil.STATUS_ZOMBIE}


def alive(pids):
    def runs(pid):
        status = Path(f"/proc/{pid}/status")
        return status.exists() and "State:\tZ" not in status.read_text()

    return {pid for pid in pids if runs(pid)}


@pytest.fixture(scope="module")
def dora_endpoint(tmp_path_factory, tiny_base, adapter_runs, start_server):
    """An Echo-DoRA adapter, on a base whose tokenizer has no chat template."""
    root = tmp_path_factory.mktemp("dora")
    base = shutil.copytree(tiny_base, root / "base")
    (base / "chat_template.jinja").unlink()
    run = adapter_runs.write_adapter_run(root / "dora", base, adapter_runs.AdapterShape(method="echo_dora"))
    return start_server([run], "--ungated", "--drain-seconds", "20")


@pytest.fixture(scope="module")
def attestation(dora_endpoint):
    return ServingAttestation.read(dora_endpoint.runs[0].attestation)


def test_a_dora_adapter_is_served_merged_and_says_so(dora_endpoint, attestation):
    assert attestation.merged
    assert attestation.outcome == "live"
    assert attestation.verdict_sha256 is None
    assert "is a DoRA adapter and is served merged" in dora_endpoint.log.read_text().replace("\n", " ")


def test_merged_and_unmerged_weights_agree_to_rounding(attestation):
    assert attestation.parity.dtype == "float32"
    assert attestation.parity.log_probabilities < 1e-3
    assert attestation.parity.argmax_agreement == 1.0
    assert max(probe.adapter_difference for probe in attestation.probes) < attestation.tolerance


def test_the_merged_model_answers_to_the_adapters_name_only(dora_endpoint):
    with dora_endpoint.http() as http:
        assert [model["id"] for model in http.get("/v1/models").json()["data"]] == ["dora"]


def test_chat_without_a_chat_template_is_a_clear_400(dora_endpoint):
    with dora_endpoint.http() as http:
        body = {"model": "dora", "messages": [{"role": "user", "content": "hi"}]}
        answer = http.post("/v1/chat/completions", json=body)
    assert answer.status_code == 400
    assert "chat template" in answer.json()["error"]["message"]


def test_sigterm_lets_answers_finish_then_leaves_nothing_and_exits_143(dora_endpoint):
    below = descendants(dora_endpoint.process.pid)
    assert len(below) >= 3
    received = []

    def read_slowly():
        body = {"model": "dora", "prompt": "x", "max_tokens": 400, "ignore_eos": True, "stream": True}
        with dora_endpoint.http() as http, http.stream("POST", "/v1/completions", json=body) as answer:
            received.extend(answer.iter_lines())

    reader = threading.Thread(target=read_slowly)
    reader.start()
    deadline = time.monotonic() + 60
    while len(received) < 4 and time.monotonic() < deadline:
        time.sleep(0.01)
    dora_endpoint.process.send_signal(signal.SIGTERM)
    assert dora_endpoint.process.wait(timeout=90) == 143
    reader.join(timeout=10)
    assert received[-2:] == ["data: [DONE]", ""], received[-3:]
    assert '"finish_reason":"length"' in received[-4], received[-4:]
    assert alive(below) == set()


def test_a_killed_engine_ends_the_server_with_an_error_and_leaves_nothing(endpoint):
    below = descendants(endpoint.process.pid)
    names = {pid: Path(f"/proc/{pid}/cmdline").read_text() for pid in below}
    (engine,) = [pid for pid, name in names.items() if "EngineCore" in name]
    os.kill(engine, signal.SIGKILL)
    assert endpoint.process.wait(timeout=120) == 1
    assert "vLLM ended" in endpoint.log.read_text()
    assert alive(below) == set()
