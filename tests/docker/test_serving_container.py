"""The serving container under faults: a killed engine, a changed file, SIGTERM; and an Echo-DoRA adapter through it.

Minutes long, so it runs where CONTAINER_ROAD=1 asks for it, on the image that `docker compose build` made.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import threading
import time
from pathlib import Path

import httpx
import pytest

pytestmark = [
    pytest.mark.containers,
    pytest.mark.timeout(2400),
    pytest.mark.skipif(not os.environ.get("CONTAINER_ROAD"), reason="minutes long; CONTAINER_ROAD=1 runs it"),
]
ROOT = Path(__file__).parent.parent.parent
LORA, DORA = "quickstart-echo_lora", "echo_dora"  # the first is the run that compose.yaml serves
KILL_ENGINE = (
    "import os, pathlib, signal\n"
    "for entry in pathlib.Path('/proc').glob('[0-9]*'):\n"
    "    if (entry / 'cmdline').read_text().startswith('VLLM::EngineCore'):\n"
    "        os.kill(int(entry.name), signal.SIGKILL)\n"
    "        print('killed')"
)


class Serving:
    """The service `serving` of compose.yaml, in a project of its own, on a directory of runs."""

    def __init__(self, runs):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.runs, self.project = runs, f"echo-lora-serving-{os.getpid()}"
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=120, trust_env=False)

    def compose(self, *arguments, check=True):
        environment = {**os.environ, "RUNS": str(self.runs), "PORT": str(self.port)}
        command = ["docker", "compose", "-p", self.project, "-f", "compose.yaml", *arguments]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
        assert not check or done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done.stdout

    def container(self):
        (name,) = self.compose("ps", "--all", "--quiet", "serving").split()
        return json.loads(subprocess.run(["docker", "inspect", name], capture_output=True, check=True).stdout)[0]

    def status(self, path):
        """HTTP status of a probe; None where nothing answers."""
        try:
            return self.http.get(path, timeout=5).status_code
        except httpx.TransportError:
            return None

    def wait(self, path, status, seconds=900):
        deadline = time.monotonic() + seconds
        while self.status(path) != status:
            assert time.monotonic() < deadline, self.compose("logs", "--no-color", "--tail", "40", "serving")
            time.sleep(0.5)

    def attestation(self):
        (document,) = self.http.get("/attestation").json()["attestations"]
        return document


@pytest.fixture(scope="module")
def runs(tmp_path_factory, tiny_base, adapter_runs):
    """A directory of runs with its base model, as a container's user may write into it."""
    root = tmp_path_factory.mktemp("served")
    shutil.copytree(tiny_base, root / "runs" / "base")
    before = Path.cwd()
    os.chdir(root)  # the manifest names the base as the container will find it: runs/base
    try:
        for name, method in ((LORA, "echo_lora"), (DORA, "echo_dora")):
            adapter_runs.write_adapter_run(
                Path("runs") / name, Path("runs/base"), adapter_runs.AdapterShape(method=method)
            )
    finally:
        os.chdir(before)
    for path in (root, *root.rglob("*")):
        path.chmod(0o777 if path.is_dir() else 0o666)
    return root / "runs"


@pytest.fixture(scope="module")
def serving(engine, runs):
    service = Serving(runs)
    # As compose.yaml starts it, but for an adapter that no gate has seen.
    override = runs.parent / "ungated.yaml"
    override.write_text(
        f'services: {{serving: {{command: "runs/{LORA} --host 0.0.0.0 --port 8000 --ungated --watch-seconds 2"}}}}'
    )
    service.compose("-f", str(override), "up", "--detach", "--no-build", "--no-deps", "serving")
    service.wait("/ready", 200)
    yield service
    service.http.close()
    service.compose("down", "--volumes", "--remove-orphans", "--timeout", "5")


def test_the_container_hands_out_its_attestation(serving):
    document = serving.attestation()
    assert document["outcome"] == "live"
    assert document["concurrent_models"] == [LORA, "runs/base"]


def test_a_changed_adapter_file_is_noticed(serving, runs):
    weights = runs / LORA / "adapter" / "adapter_model.safetensors"
    original = weights.read_bytes()
    weights.write_bytes(original[:-1] + bytes([original[-1] ^ 1]))
    serving.wait("/health", 503, seconds=60)
    assert "adapter_model.safetensors" in serving.http.get("/health").json()["reason"]
    weights.write_bytes(original)
    serving.wait("/health", 200, seconds=60)


def test_after_kill_9_of_the_engine_the_container_restarts_and_attests_again(serving):
    before = serving.attestation()["created"]
    assert "killed" in serving.compose("exec", "-T", "serving", "python", "-c", KILL_ENGINE)
    deadline = time.monotonic() + 120
    while serving.container()["RestartCount"] == 0:
        assert time.monotonic() < deadline
        time.sleep(0.5)
    serving.wait("/ready", 200)
    assert serving.container()["RestartCount"] == 1
    document = serving.attestation()
    assert (document["outcome"], document["created"] > before) == ("live", True)


def test_sigterm_lets_a_stream_finish(serving):
    received = []

    def read():
        body = {"model": LORA, "prompt": "x", "max_tokens": 400, "ignore_eos": True, "stream": True}
        with serving.http.stream("POST", "/v1/completions", json=body) as answer:
            received.extend(answer.iter_lines())

    reader = threading.Thread(target=read)
    reader.start()
    while len(received) < 4 and reader.is_alive():
        time.sleep(0.01)
    serving.compose("stop", "serving")
    reader.join(timeout=10)
    assert received[-2:] == ["data: [DONE]", ""]
    assert '"finish_reason":"length"' in received[-4], received[-4:]
    assert serving.container()["State"]["ExitCode"] == 143


def test_an_echo_dora_adapter_answers_merged_with_its_parity(serving):
    serving.compose("rm", "--force", "--stop", "serving")
    arguments = [f"runs/{DORA}", "--host", "0.0.0.0", "--port", "8000", "--ungated"]
    serving.compose("run", "--detach", "--no-deps", "--service-ports", "serving", *arguments)
    serving.wait("/ready", 200)
    document = serving.attestation()
    print(document["parity"], [probe["adapter_difference"] for probe in document["probes"]])
    assert (document["outcome"], document["merged"]) == ("live", True)
    assert document["parity"]["log_probabilities"] < 1e-3
    answer = serving.http.post("/v1/completions", json={"model": DORA, "prompt": "is 4 even?", "temperature": 0})
    assert answer.json()["choices"][0]["text"]
