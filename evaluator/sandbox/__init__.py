"""Runs generated programs where they can do no harm, and judges them where they cannot reach.

    from evaluator.sandbox import Program, run_programs
    results = run_programs([Program("HumanEval/0", prompt, completion, test, "has_close_elements")])

Each program runs in a container without network, privileges or a writable root, in namespaces made for it alone
(`docker_cells`, `socket_cells`, `cell/namespaces`), its tests in a second one (`judging`). Between the two go calls, plain
values, and numbers that stand for objects (`cell/peer`, `cell/values`, `cell/remote`); the evaluator reads none of it.
"""

from evaluator.sandbox.program import Program, ProgramResult
from evaluator.sandbox.runner import run_programs

__all__ = ["Program", "ProgramResult", "run_programs"]
