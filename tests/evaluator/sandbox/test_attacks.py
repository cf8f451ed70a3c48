"""Programs that attack the sandbox (sandbox_attacks.yaml): none is scored as passed, and none leaves anything behind."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest
import yaml

from evaluator.sandbox import Program, run_programs
from evaluator.sandbox.docker_cells import DockerCells

pytestmark = pytest.mark.containers

ATTACKS: dict[str, dict[str, str]] = yaml.safe_load(Path(__file__).with_name("attacks.yaml").read_text())
PROMPT = 'def solve(x: int):\n    """Returns the secret number of x."""\n'
GOT_WHAT_IT_WANTED = "def check(candidate):\n    assert candidate(1) is True\n"

# What a program sees of others: files, processes, queues, shared memory, and what was done to the first process.
LOOK_AROUND = """    import os, resource
    return {
        "files": os.listdir("/tmp") + (os.listdir("/dev/mqueue") if os.path.isdir("/dev/mqueue") else []),
        "processes": [name for name in os.listdir("/proc") if name.isdigit() and int(name) not in (1, os.getpid())],
        "shared memory": [open(f"/proc/sysvipc/{name}").read().count("\\n") - 1 for name in ("shm", "sem", "msg")],
        "priority": os.getpriority(os.PRIO_PROCESS, 1),
        "one processor only": len(os.sched_getaffinity(1)) < os.cpu_count(),
        "few descriptors": resource.prlimit(1, resource.RLIMIT_NOFILE)[0] < 1000,
    }
"""
NOTHING = {
    "files": [],
    "processes": [],
    "shared memory": [0, 0, 0],
    "priority": 0,
    "one processor only": False,
    "few descriptors": False,
}


@pytest.fixture(scope="module")
def cells(engine):
    with DockerCells() as pool:
        yield pool


def attack_with(source, test, cells):
    return run_programs(
        [Program("attack", PROMPT, source, test, "solve")], timeout=1, wall_timeout=3, parallel=1, pool=cells
    )[0]


def assert_nothing_is_left(cells):
    test = f"def check(candidate):\n    found = candidate(1)\n    assert found == {NOTHING}, found\n"
    result = run_programs([Program("look", PROMPT, LOOK_AROUND, test, "solve")], parallel=1, pool=cells)[0]
    assert result.passed, result.detail


@pytest.mark.parametrize("name", ATTACKS["forgeries"])
def test_no_forgery_is_believed(name, cells):
    secret = secrets.randbelow(10**12) + 10**9
    test = f"def check(candidate):\n    assert candidate(1) == {secret}\n    assert candidate(2) != candidate(1)\n"
    assert not attack_with(ATTACKS["forgeries"][name], test, cells).passed
    assert_nothing_is_left(cells)


@pytest.mark.parametrize("name", ATTACKS["reaches"])
def test_nothing_around_it_is_reached(name, cells):
    result = attack_with(ATTACKS["reaches"][name], GOT_WHAT_IT_WANTED, cells)
    assert not result.passed
    assert "SyntaxError" not in result.detail
    assert "NameError" not in result.detail
    assert_nothing_is_left(cells)


@pytest.mark.parametrize("name", ATTACKS["harms"])
def test_no_harm_outlasts_the_program(name, cells):
    assert not attack_with(ATTACKS["harms"][name], GOT_WHAT_IT_WANTED, cells).passed
    assert_nothing_is_left(cells)


def test_the_same_forgeries_fool_a_checker_in_the_same_process():
    """The control: what is shown above is the sandbox's doing, not the attacks' weakness."""
    fooled = []
    for name in ("object_that_equals_everything", "integer_that_equals_everything", "class_that_lies_about_itself"):
        program = PROMPT + ATTACKS["forgeries"][name] + "\ndef check(candidate):\n    assert candidate(1) == 12345\n"
        namespace: dict = {}
        exec(program, namespace)
        namespace["check"](namespace["solve"])
        fooled.append(name)
    assert len(fooled) == 3


def test_honest_programs_beside_attackers_are_judged_as_alone(engine):
    honest = Program("honest", PROMPT, "    return x + 41\n", "def check(c):\n    assert c(1) == 42\n", "solve")
    hostile = [
        Program(name, PROMPT, ATTACKS["harms"][name], GOT_WHAT_IT_WANTED, "solve")
        for name in (
            "fork_bomb",
            "kills_everything",
            "memory_by_many_processes",
            "inode_flood",
            "supervisor_slowed_down",
        )
    ]
    results = run_programs(
        [program for attack in hostile for program in (attack, honest, honest)], timeout=1, wall_timeout=9
    )
    assert [result.name for result in results if result.passed] == ["honest"] * 10


def test_no_container_stays_when_the_evaluator_is_done(engine):
    with DockerCells() as pool:
        pool.cells(2)
        image = pool._image
        assert len(engine.containers.list(filters={"ancestor": image, "status": "running"})) >= 2
        mine = [cell._stream._container.id for cell in pool._cells]
    left = {container.id for container in engine.containers.list(all=True, ignore_removed=True)}
    assert not left & set(mine)
