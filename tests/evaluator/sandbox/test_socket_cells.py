"""The sandbox as compose runs it: containers that call the evaluator over a socket on a volume, which no program sees."""

from __future__ import annotations

import json
import socket

import pytest

from evaluator.sandbox import Program, docker_cells, run_programs
from evaluator.sandbox.cell.framing import HELLO, frame
from evaluator.sandbox.docker_cells import DockerCells
from evaluator.sandbox.runner import default_pool
from schemas.errors import UserError

pytestmark = pytest.mark.containers
PROMPT = 'def f(x):\n    """Next."""\n'
TEST = "def check(candidate):\n    assert candidate(1) == 2\n"


def program(completion):
    return Program("task", PROMPT, completion, TEST, "f")


@pytest.fixture(scope="module")
def sandbox(engine, tmp_path_factory):
    """A directory that four cells call, started as compose's `sandbox` service starts them."""
    directory = tmp_path_factory.mktemp("sandbox")
    for parent in (directory, directory.parent, directory.parent.parent):
        parent.chmod(0o755)  # pytest's own are closed to other users
    with DockerCells() as pool:
        image = pool._image
    options = {key: value for key, value in docker_cells.CONFINEMENT.items() if key != "log_config"}
    containers = [
        engine.containers.run(
            image,
            ["--connect", "/run/sandbox/evaluator.sock"],
            volumes={str(directory): {"bind": "/run/sandbox", "mode": "ro"}},
            restart_policy={"Name": "always"},
            detach=True,
            **options,
        )
        for _ in range(4)
    ]
    yield directory
    for container in containers:
        container.remove(force=True)


@pytest.fixture(autouse=True)
def in_compose(sandbox, monkeypatch):
    monkeypatch.setenv("SANDBOX_DIRECTORY", str(sandbox))
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:9")  # the evaluator's container has no engine


def test_programs_are_judged_again_and_again_by_the_same_containers():
    for _ in range(2):
        results = run_programs([program("    return x + 1\n"), program("    return x\n")] * 3, parallel=2)
        assert [result.passed for result in results] == [True, False] * 3


@pytest.mark.parametrize(
    "reach",
    [
        "os.listdir('/run/sandbox')",
        "open('/run/sandbox/key').read()",
        "open('/run/sandbox/evaluator.sock', 'w')",
        "socket.socket(socket.AF_UNIX)",
        "socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)",
        "open('/proc/1/environ')",
        "ctypes.CDLL(None).umount2(b'/run', 2) and open('/run/sandbox/key')",
    ],
)
def test_a_program_reaches_neither_the_evaluators_socket_nor_the_key(reach):
    result = run_programs([program(f"    import ctypes, os, socket\n    {reach}\n    return x + 1\n")], parallel=1)[0]
    assert result.outcome == "failed"
    assert "Error" in result.detail


def test_a_process_left_by_a_program_does_not_live_to_see_the_next(sandbox):
    rogue = """    import os, time
    for _ in range(20):
        if os.fork() == 0:
            os.setsid()
            while True: time.sleep(0.001)
    return x + 1
"""
    assert run_programs([program(rogue)], parallel=1)[0].passed
    alone = "    import ctypes\n    return 2 if ctypes.CDLL(None).kill(-1, 0) == -1 else 0\n"
    assert run_programs([program(alone)] * 4, parallel=2)[0].passed


@pytest.mark.parametrize("hello", [{}, {"key": "0" * 64}, {"key": None}, {"key": ["x"]}])
def test_a_caller_without_the_key_is_no_cell(hello, sandbox):
    greeting = frame(HELLO, json.dumps({"gaps": [], "reusable": True, **hello}).encode())
    with default_pool() as pool, socket.socket(socket.AF_UNIX) as caller:
        caller.connect(str(sandbox / "evaluator.sock"))
        caller.sendall(greeting)
        assert caller.recv(1) == b""
        assert run_programs([program("    return x\n")], parallel=1, pool=pool)[0].outcome == "failed"


def test_a_caller_that_says_nothing_holds_up_no_other(sandbox):
    with default_pool() as pool, socket.socket(socket.AF_UNIX) as silent:
        silent.connect(str(sandbox / "evaluator.sock"))
        assert run_programs([program("    return x + 1\n")], parallel=1, pool=pool)[0].passed


def test_nothing_of_an_evaluation_stays_on_the_volume(sandbox):
    run_programs([program("    return x + 1\n")], parallel=1)
    assert [path.name for path in sandbox.iterdir()] == ["lock"]


def test_two_evaluations_do_not_share_a_sandbox():
    with default_pool(), pytest.raises(UserError, match="another evaluation"):
        run_programs([program("    return x + 1\n")])
