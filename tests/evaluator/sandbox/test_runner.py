"""What the sandbox refuses to do, each with a message: no isolation, oversized programs, broken tests."""

from __future__ import annotations

import pytest

from evaluator.sandbox import Program, docker_cells, run_programs
from evaluator.sandbox.cell.framing import LONGEST
from evaluator.sandbox.docker_cells import DockerCells
from evaluator.sandbox.judging import judge
from schemas.errors import UserError

PROMPT = 'import math\n\ndef helper(x):\n    return x + 1\n\ndef f(x):\n    """Next."""\n'
TEST = "def check(candidate):\n    assert candidate(1) == helper(1)\n"


def program(completion="    return x + 1\n", test=TEST, name="task"):
    return Program(name, PROMPT, completion, test, "f")


def test_without_an_engine_nothing_runs_and_the_ways_out_are_named(monkeypatch):
    monkeypatch.delenv("SANDBOX_DIRECTORY", raising=False)
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:9")
    with pytest.raises(UserError, match="isolated") as error:
        run_programs([program()])
    assert "install Docker" in error.value.fix
    assert "sandbox" in error.value.fix


def test_a_sandbox_whose_containers_do_not_call_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("SANDBOX_DIRECTORY", str(tmp_path))
    monkeypatch.setattr("evaluator.sandbox.socket_cells.FIRST_SECONDS", 0.1)
    with pytest.raises(UserError, match="do not answer"):
        run_programs([program()])
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]


def test_a_sandbox_directory_that_is_not_there_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("SANDBOX_DIRECTORY", str(tmp_path / "absent"))
    with pytest.raises(UserError, match="cannot be used"):
        run_programs([program()])


def test_a_program_of_10_mb_is_refused_before_anything_starts():
    with pytest.raises(UserError, match="10,485") as error:
        run_programs([program("    pass  #" + "x" * 10 * 2**20)])
    assert error.value.where == "task"


def test_no_programs_need_no_engine(monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:9")
    assert run_programs([]) == []


@pytest.mark.parametrize("options", [{"parallel": 0}, {"timeout": 0}])
def test_options_that_cannot_work_are_refused(options):
    with pytest.raises(UserError, match="needs"):
        run_programs([program()], **options)


@pytest.mark.containers
def test_results_come_in_the_programs_order_and_tests_see_the_prompts_helpers(engine):
    programs = [program(), program("    return x\n"), program("    return helper(x)\n"), program("    return (\n")]
    seen = []
    results = run_programs(programs, on_result=seen.append)
    assert [result.passed for result in results] == [True, False, True, False]
    assert sorted(seen, key=repr) == sorted(results, key=repr)


@pytest.mark.containers
def test_an_interruption_stops_the_rest(engine):
    seen = []

    def interrupt(result):
        seen.append(result)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_programs([program()] * 20, parallel=2, on_result=interrupt)
    assert len(seen) <= 2


@pytest.mark.containers
def test_a_programs_words_cannot_move_the_terminal(engine):
    (result,) = run_programs([program('    raise ValueError("\x1b[2J\x1b]0;owned\x07")\n')])
    assert result.detail.isprintable()


@pytest.mark.containers
@pytest.mark.parametrize("test", ["def check(", "pass\n"])
def test_a_task_whose_own_tests_do_not_run_is_no_programs_failure(test, engine):
    with pytest.raises(UserError, match="tests of this task do not run"):
        run_programs([program(test=test)])


@pytest.mark.containers
@pytest.mark.parametrize(
    "completion", ["    x[0] = object()\n", "    x[0] = lambda: 1\n    return x\n", "    return f\n"]
)
def test_whatever_a_program_leaves_in_an_argument_only_that_program_fails(completion, engine):
    test = "def check(candidate):\n    x = [2, 1]\n    y = candidate(x)\n    candidate(x)\n    candidate([y])\n    assert x == [1, 2]\n"
    results = run_programs(
        [program(completion, test), program("    x.sort() if len(x) > 1 else x\n", test)], parallel=1
    )
    assert [result.outcome for result in results] == ["failed", "passed"]


@pytest.mark.containers
@pytest.mark.parametrize(
    ("change", "gap"),
    [
        ({"network_mode": "bridge"}, "network"),
        ({"read_only": False}, "root file system is writable"),
        ({"user": "0:0"}, "runs as root"),
        ({"cap_drop": []}, "capabilities"),
        ({"security_opt": []}, "gain privileges"),
        ({"security_opt": ["no-new-privileges:true", "seccomp=unconfined"]}, "system call filter"),
        ({"security_opt": ["no-new-privileges:true"]}, "sockets beside the network, of families"),
        ({"pids_limit": None}, "processes are not limited"),
        ({"mem_limit": None, "memswap_limit": None}, "memory is not limited"),
        ({"init": True}, "first process"),
    ],
)
def test_a_container_with_a_gap_runs_nothing(change, gap, engine, monkeypatch):
    monkeypatch.setattr(docker_cells, "CONFINEMENT", {**docker_cells.CONFINEMENT, **change})
    with pytest.raises(UserError, match=gap):
        run_programs([program()], parallel=1)


@pytest.mark.containers
def test_a_verdict_counts_only_with_the_programs_own_nonce(engine, monkeypatch):
    with DockerCells() as pool:
        pool.prepare(2)
        with pool.pair() as cells:
            assert judge(program(), *cells, timeout=3).passed
            monkeypatch.setattr("evaluator.sandbox.judging.secrets.compare_digest", lambda told, own: told == b"b" * 32)
            assert not judge(program(), *cells, timeout=3).passed


@pytest.mark.containers
def test_a_container_killed_in_the_middle_costs_one_more_try(engine):
    with DockerCells() as pool:
        pool.prepare(2)
        with pool.pair() as (first, _):
            first._stream._container.kill()
        assert run_programs([program()], parallel=1, pool=pool)[0].passed


@pytest.mark.containers
def test_processor_time_is_counted_over_all_that_a_program_starts(engine):
    forks = """    import os, time
    for _ in range(4):
        if os.fork() == 0:
            while time.process_time() < 0.5: pass
            os._exit(0)
        os.wait()
    return x + 1
"""
    assert run_programs([program(forks)], timeout=1)[0].outcome == "timed_out"
    assert run_programs([program(forks)], timeout=20, wall_timeout=120)[0].passed


@pytest.mark.containers
def test_where_the_host_gives_no_namespaces_each_container_runs_one_order(engine, monkeypatch):
    profile = docker_cells.SECCOMP.read_text().replace('"mount", "unshare"', '"mount"')
    options = ["no-new-privileges:true", f"seccomp={profile}"]
    monkeypatch.setattr(docker_cells, "CONFINEMENT", {**docker_cells.CONFINEMENT, "security_opt": options})
    leave = (
        "    import os\n    open('/tmp/left', 'w')\n    os.fork() or __import__('time').sleep(60)\n    return x + 1\n"
    )
    look = "    import os\n    return x + 1 if os.listdir('/tmp') == [] else 0\n"
    results = run_programs([program(leave), program(look), program(look), program("    return x\n")], parallel=1)
    assert [result.passed for result in results] == [True, True, True, False]


@pytest.mark.containers
@pytest.mark.parametrize("extra", [-100, 0, 100])
def test_an_answer_as_long_as_the_longest_disturbs_no_later_program(extra, engine):
    long = f"    return 'x' * ({LONGEST} + {extra} - 29)\n"
    results = run_programs([program(long), program(), program("    return x\n"), program()], parallel=1)
    assert [result.passed for result in results] == [False, True, False, True]
