"""python -m evaluator: scores adapters, and judges the scores."""

from __future__ import annotations

import sys
from importlib import import_module

from evaluator.quiet import quiet_libraries
from schemas.errors import run_command
from schemas.hand_over import hand_over

# A command's module is imported only when it is called: the help needs no torch, the gate no model.
_COMMANDS = {
    "agree": "evaluator.commands.agree",
    "gate": "evaluator.commands.gate",
    "compare": "evaluator.commands.compare",
    "comment": "evaluator.commands.comment",
    "report": "evaluator.commands.report",
}


def main(argv: list[str]) -> int:
    """Finds the command; without one, the arguments are runs to score."""
    if argv[:1] == ["study"]:  # as users know it; `python -m studies` has it now
        return hand_over("studies", ["analyse", *argv[1:]])
    known = argv[0] in _COMMANDS if argv else False
    module, rest = (_COMMANDS[argv[0]], argv[1:]) if known else ("evaluator.commands.score", argv)
    quiet_libraries()
    code: int = import_module(module).main(rest)
    return code


if __name__ == "__main__":
    run_command(main, sys.argv[1:])
