"""Runs with verdicts, and one server for the whole session: vLLM takes a minute to start."""

import importlib.util
import os
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from schemas.adapter_reader import read_adapter
from schemas.evaluation.eval_report import AdapterReference, Interval
from schemas.evaluation.verdict import CheckResult, Evidence, PolicyReference, Verdict

API_KEY = "a-key-that-only-these-tests-know"


@dataclass
class Endpoint:
    """A server started through the command line, as a person would."""

    process: subprocess.Popen
    port: int
    log: Path
    runs: list
    key: str = API_KEY

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def http(self):
        """A client with the key."""
        headers = {"Authorization": f"Bearer {self.key}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=120, trust_env=False)


@pytest.fixture(scope="session")
def request_fuzzer():
    """The module beside this file."""
    spec = importlib.util.spec_from_file_location("request_fuzzer", Path(__file__).with_name("request_fuzzer.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def free_port():
    def find():
        with socket.socket() as trial:
            trial.bind(("127.0.0.1", 0))
            return trial.getsockname()[1]

    return find


@pytest.fixture(scope="session")
def give_verdict():
    """Writes the verdict that the gate would: `decision` over exactly this adapter."""

    def write(run, decision="pass", adapter=None):
        manifest = (adapter or run).manifest
        reference = AdapterReference(
            name=run.root.name, method="lora", manifest_sha256=read_adapter(manifest.parent).manifest_sha256
        )
        low_high = {"pass": (0.5, 0.7), "inconclusive": (0.3, 0.5), "rejected": (0.1, 0.3)}[decision]
        check = CheckResult(
            suite="s",
            candidates=(run.root.name,),
            kind="floor",
            subject="macro",
            against=None,
            decision=decision,
            reason="the floor",
            estimate=sum(low_high) / 2,
            interval=Interval(low=low_high[0], high=low_high[1]),
            threshold=0.4,
            minimum_detectable_effect=None,
        )
        zeros = "0" * 64
        Verdict(
            created=datetime.now(UTC),
            adapter=reference,
            against=(),
            policy=PolicyReference(name="p", description="d", sha256=zeros),
            decision=decision,
            reason="the floor decides",
            checks=(check,),
            comparisons=(),
            suites_left_out=(),
            evidence=(Evidence(run=run.root.name, suite="s", report_sha256=zeros, samples_sha256=zeros),),
        ).write(run.verdict)

    return write


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory):
    """Verified adapters are copied into the cache of these tests, not the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def served_runs(tmp_path_factory, tiny_base, adapter_runs, give_verdict):
    """An Echo-LoRA adapter and a plain one of another rank, both passed by the gate."""
    root = tmp_path_factory.mktemp("served")
    shapes = {
        "echo": adapter_runs.AdapterShape(method="echo_lora"),
        "plain": adapter_runs.AdapterShape(rank=20, seed=1, targets=("q_proj", "v_proj")),
    }
    runs = [adapter_runs.write_adapter_run(root / name, tiny_base, shape) for name, shape in shapes.items()]
    for run in runs:
        give_verdict(run)
    return runs


@pytest.fixture(scope="session")
def start_server(tmp_path_factory, free_port):
    """Starts `python -m serving` and waits until it says it is ready; every server is ended with the session."""
    started = []

    def start(runs, *arguments):
        directory = tmp_path_factory.mktemp("server")
        key, log, port = directory / "key", directory / "log", free_port()
        key.write_text(API_KEY + "\n")
        line = [sys.executable, "-m", "serving", *(str(run.root) for run in runs), "--port", str(port)]
        environment = os.environ | {"XDG_CACHE_HOME": str(directory), "OMP_NUM_THREADS": "1"}
        with log.open("wb") as out:
            process = subprocess.Popen(
                [*line, "--api-key-file", str(key), *arguments], stdout=out, stderr=subprocess.STDOUT, env=environment
            )
        started.append(process)
        endpoint = Endpoint(process, port, log, runs)
        wait_until(lambda: "Ready:" in log.read_text() or process.poll() is not None, seconds=500)
        assert process.poll() is None, log.read_text()[-3000:]
        return endpoint

    yield start
    for process in started:
        process.terminate()
    for process in started:
        process.wait(timeout=90)


@pytest.fixture(scope="session")
def endpoint(start_server, served_runs):
    """The session's server: two adapters, fully attested."""
    return start_server(served_runs, "--attest", "full", "--watch-seconds", "2", "--max-concurrent", "16")


def wait_until(condition, *, seconds, pause=0.25):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} seconds"
        time.sleep(pause)


@pytest.fixture(scope="session", name="wait_until")
def wait_until_fixture():
    return wait_until
