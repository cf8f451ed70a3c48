"""The road in containers, on a shortened quickstart: trained, scored, gated, served; a rejected adapter never served.

Minutes long, so it runs where CONTAINER_ROAD=1 asks for it (.ci/run does), on images that `docker compose build` made.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.containers,
    pytest.mark.timeout(1500),
    pytest.mark.skipif(not os.environ.get("CONTAINER_ROAD"), reason="minutes long; CONTAINER_ROAD=1 runs it"),
]
ROOT = Path(__file__).parent.parent.parent
PROJECT = os.environ.get("ROAD_PROJECT") or f"echo-lora-road-{os.getpid()}"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Compose:
    """`docker compose` on a project of its own, so that nobody's runs are touched."""

    def __init__(self):
        self.port = free_port()

    def __call__(self, *arguments, policy="passable", check=True):
        environment = {**os.environ, "POLICY": f"docker/ci/{policy}.yaml", "PORT": str(self.port)}
        command = ["docker", "compose", "-p", PROJECT, "-f", "compose.yaml", "-f", "docker/ci/compose.yaml", *arguments]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
        assert not check or done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}\n{self.logs()}"
        return done

    def logs(self):
        command = ["docker", "compose", "-p", PROJECT, "logs", "--no-color", "--tail", "40"]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout[-6000:]

    def states(self):
        """Exit code of each service that ended, `running` or `created` of the others."""
        lines = self("ps", "--all", "--format", "json").stdout.splitlines()
        found = [json.loads(line) for line in lines if line.strip()]
        return {one["Service"]: one["ExitCode"] if one["State"] == "exited" else one["State"] for one in found}


@pytest.fixture(scope="module")
def compose(engine):
    run = Compose()
    run("down", "--volumes", "--timeout", "5")
    yield run
    run("--profile", "humaneval", "down", "--volumes", "--timeout", "5")


@pytest.fixture(scope="module")
def served(compose):
    """The endpoint's address, after `docker compose up` has gone the whole road and serving reports ready."""
    compose("up", "--detach", "--no-build")
    compose("up", "--detach", "--no-build", "--no-recreate", "--no-deps", "--wait", "--wait-timeout", "600", "serving")
    return f"http://127.0.0.1:{compose.port}"


def test_up_runs_the_stages_in_order_and_serves(compose, served):
    assert compose.states() == {"trainer": 0, "baseline": 0, "evaluator": 0, "gate": 0, "serving": "running"}


def test_the_official_client_gets_answers_from_the_adapter(served):
    from openai import OpenAI

    client = OpenAI(base_url=f"{served}/v1", api_key="none")
    assert "quickstart-echo_lora" in [model.id for model in client.models.list()]
    item = json.loads((ROOT / "configs/quickstart/tasks/boolq/test.json").read_text())[0]
    prompt = item["instruction"]
    texts = [
        client.completions.create(model="quickstart-echo_lora", prompt=prompt, max_tokens=8, temperature=0)
        .choices[0]
        .text
        for _ in range(2)
    ]
    assert texts[0] == texts[1] != ""


def test_the_stages_leave_their_documents_on_the_volume(compose, served):
    script = (
        "cd runs && ls */adapter/manifest.json */evaluation/quickstart/report.json */verdict.json */attestation.json"
    )
    shown = compose("run", "--rm", "--no-deps", "--entrypoint", "sh", "trainer", "-c", script).stdout.split()
    assert shown == [
        "quickstart-echo_lora/adapter/manifest.json", "quickstart-echo_lora/attestation.json",
        "quickstart-echo_lora/evaluation/quickstart/report.json", "quickstart-echo_lora/verdict.json",
        "quickstart-lora/adapter/manifest.json", "quickstart-lora/evaluation/quickstart/report.json",
    ]  # fmt: skip


def test_a_run_with_an_override_trains_something_else(compose, served):
    arguments = ["--method", "dora", "--name", "other", "--training.max_steps", "2"]
    done = compose("run", "--rm", "--no-deps", "trainer", "configs/quickstart.yaml", *arguments)
    assert "other" in done.stdout + done.stderr
    listed = compose("run", "--rm", "--no-deps", "--entrypoint", "ls", "trainer", "runs/other/adapter").stdout.split()
    assert listed == ["README.md", "adapter_config.json", "adapter_model.safetensors", "manifest.json"]


def test_a_mistyped_override_exits_2_with_one_clear_message(compose, served):
    done = compose(
        "run", "--rm", "--no-deps", "trainer", "configs/quickstart.yaml", "--training.max_stepz", "2", check=False
    )
    assert done.returncode == 2
    assert "max_stepz" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_programs_are_judged_by_the_sandbox_service(compose, served):
    # README's command: `docker compose build` leaves this image out, since its service has a profile, so `up` makes it.
    compose("up", "--detach", "sandbox")
    program = (
        "from evaluator.sandbox import Program, run_programs\n"
        'p = \'def f(x):\\n    """Next."""\\n\'; t = \'def check(c):\\n    assert c(1) == 2\\n\'\n'
        "bodies = ['    return x + 1\\n', '    return x\\n', '    import os; os._exit(0)\\n', '    import os; os.kill(-1, 9)\\n'] * 8\n"
        "leave = '    import ctypes; ctypes.CDLL(None).shmget(1, 4096, 0o1666)\\n    return x + 1\\n'\n"
        'reach = \'    import os; return 2 if os.listdir("/run/sandbox") not in ([], ["lock"]) else 0\\n\'\n'
        "print([int(r.passed) for r in run_programs([Program('p', p, b, t, 'f') for b in [*bodies, leave, leave, reach]])])\n"
    )
    command = ["run", "--rm", "--no-deps", "--entrypoint", "python", "evaluator", "-c", program]
    for _ in range(2):  # the cells serve one evaluator after the other
        assert compose(*command).stdout.strip() == str(
            [1, 0, 0, 0] * 8 + [1, 1, 0]
        )  # what would have stayed is refused


def test_a_rejected_adapter_is_not_served(compose, served):
    compose("stop", "--timeout", "20", "serving")
    compose("rm", "--force", "serving", "gate")
    done = compose("up", "--detach", "--no-build", "--no-recreate", policy="unmeetable", check=False)
    assert done.returncode != 0
    assert "exit 3" in done.stderr
    assert compose.states()["gate"] == 3
    assert compose.states()["serving"] != "running"
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"{served}/ready", timeout=2)


def test_a_rejected_adapter_is_not_served_without_its_gate_either(compose, served):
    done = compose("run", "--rm", "--no-deps", "serving", "runs/quickstart-echo_lora", check=False)
    assert done.returncode == 2
    assert "verdict" in (done.stdout + done.stderr).lower()
