"""Programs that attack the sandbox (sandbox_attacks.yaml): none is scored as passed, and none leaves anything behind."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from evaluator.sandbox import Program, docker_cells, owner, run_programs
from evaluator.sandbox.docker_cells import DockerCells

pytestmark = pytest.mark.containers

ATTACKS: dict[str, dict[str, str]] = yaml.safe_load(Path(__file__).with_name("attacks.yaml").read_text())
ROOT = Path(__file__).parents[3]
PROMPT = 'def solve(x: int):\n    """Returns the secret number of x."""\n'
GOT_WHAT_IT_WANTED = "def check(candidate):\n    assert candidate(1) is True\n"

# What a program sees of others: files, processes, and what was done to the first process of its world, which is itself.
LOOK_AROUND = """    import ctypes, os
    return {
        "files": os.listdir("/tmp") + os.listdir("/proc") + os.listdir("/run"),
        "process": os.getpid(),
        "others": [number for number in range(2, 400) if os.path.exists(f"/proc/{number}") or not ctypes.CDLL(None).kill(number, 0)],
        "priority": (os.getpriority(os.PRIO_PROCESS, 1), os.sched_getscheduler(1)),
        "one processor only": len(os.sched_getaffinity(1)) < os.cpu_count(),
    }
"""
NOTHING = {"files": [], "process": 1, "others": [], "priority": (0, 0), "one processor only": False}


@pytest.fixture(scope="module")
def cells(engine):
    """Two cells and no more, so that each look around is where the attack was."""
    with pytest.MonkeyPatch.context() as patch, DockerCells() as pool:
        patch.setattr(docker_cells, "SPARE", 0)
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
    before = set(containers_of_this_process(engine))
    with DockerCells() as pool:
        pool.prepare(2)
        with pool.pair():
            assert len(containers_of_this_process(engine)) >= len(before) + 2
    assert set(containers_of_this_process(engine)) == before


def test_no_container_stays_when_the_evaluator_is_killed_while_a_program_busies_every_processor(engine, tmp_path):
    busy = "    import os\n    [os.fork() for _ in range(5)]\n    while True: pass\n"
    script = (
        "from evaluator.sandbox import Program, run_programs\n"
        f"run_programs([Program('busy', {PROMPT!r}, {busy!r}, {GOT_WHAT_IT_WANTED!r}, 'solve')], timeout=60, wall_timeout=60)\n"
    )
    evaluator = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT)
    wait_until(lambda: len(containers_labelled(engine, f" {evaluator.pid} ")) >= 2)
    time.sleep(2)
    evaluator.kill()
    evaluator.wait()
    wait_until(lambda: not containers_labelled(engine, f" {evaluator.pid} "))


def test_what_a_dead_evaluator_left_is_removed_by_the_next(engine):
    with DockerCells() as pool:
        dead = subprocess.Popen([sys.executable, "-c", ""])
        label = owner.this_process().replace(f" {os.getpid()} ", f" {dead.pid} ")
        dead.wait()
        left = engine.containers.create(pool._image, labels={owner.LABEL: label})
    with DockerCells():
        assert left.id not in {container.id for container in engine.containers.list(all=True, ignore_removed=True)}


def containers_labelled(engine, text):
    found = engine.containers.list(all=True, filters={"label": owner.LABEL}, ignore_removed=True)
    return [container.id for container in found if text in container.labels[owner.LABEL]]


def containers_of_this_process(engine):
    return containers_labelled(engine, owner.this_process())


def wait_until(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)
