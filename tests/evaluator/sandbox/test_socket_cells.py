"""The sandbox as compose runs it: containers that call the evaluator over a socket on a volume, which no program sees."""

from __future__ import annotations

import pytest

from evaluator.sandbox import Program, docker_cells, run_programs
from evaluator.sandbox.docker_cells import DockerCells
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


def test_a_program_finds_no_socket_to_call_and_cannot_write_where_it_was():
    look = "    import os\n    return 2 if [n for n in os.listdir('/run/sandbox') if n != 'lock'] else 0\n"
    write = "    open('/run/sandbox/evaluator.sock', 'w').close()\n    return 2\n"
    lock = "    open('/run/sandbox/lock', 'w').close()\n    return 2\n"
    results = run_programs([program(look), program(write), program(lock)], parallel=1)
    assert [result.passed for result in results] == [False] * 3
    assert "AssertionError" in results[0].detail
    assert "Read-only" in results[1].detail


def test_a_program_that_leaves_something_behind_fails_and_its_container_comes_back(sandbox):
    leave = "    import ctypes\n    ctypes.CDLL(None).shmget(1, 4096, 0o1666)\n    return x + 1\n"
    results = run_programs([program(leave), program("    return x + 1\n")], parallel=2)
    assert [result.passed for result in results] == [False, True]
    assert "lost" in results[0].detail


def test_two_evaluations_do_not_share_a_sandbox():
    from evaluator.sandbox.runner import default_pool

    with default_pool(), pytest.raises(UserError, match="another evaluation"):
        run_programs([program("    return x + 1\n")])
