"""Runs generated programs where they can do no harm, and judges them where they cannot reach.

    from evaluator.sandbox import Program, run_programs
    results = run_programs([Program("HumanEval/0", prompt, completion, test, "has_close_elements")])

Each program runs in a container without network, privileges or a writable root (`docker_cells`, `socket_cells`), its
tests in a second one (`judging`); between the two go calls and plain values only (`cell/values.py`).
"""

from evaluator.sandbox.program import Program, ProgramResult
from evaluator.sandbox.runner import run_programs

__all__ = ["Program", "ProgramResult", "run_programs"]
