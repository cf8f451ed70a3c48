"""python -m studies: registers, runs and analyses a study, and makes the bases and tasks that studies use."""

from __future__ import annotations

import sys
from importlib import import_module

from schemas.errors import OK, run_command

# A command's module is imported only when it is called: the help needs no torch.
_COMMANDS = {
    "run": "studies.run.command",
    "cluster": "studies.run.cluster",
    "analyse": "studies.analysis.command",
    "page": "studies.analysis.page_command",
    "prepare": "studies.synthetic.prepare",
    "make-base": "studies.synthetic.make_base",
    "make-tasks": "studies.synthetic.make_tasks",
    "make-messages": "studies.synthetic.make_messages",
}
_USAGE = """\
usage: python -m studies CONFIG [--plan] [--jobs N]    arms x seeds x bases: register the plan, train, score, analyse
       python -m studies cluster CONFIG --as FORM      the same as jobs of a cluster, one per run
       python -m studies analyse DIR                   tests what a finished study planned to test, and writes its report
       python -m studies page DIR                      report.html from a study_report.json alone
       python -m studies prepare [CONFIG ...]          the bases and tasks that ready studies name, made and checked
       python -m studies make-base DIR                 a small base model, made from nothing
       python -m studies make-tasks DIR                a task set for it
       python -m studies make-messages DIR             customers' messages and their JSON, for a real language model

Each explains itself with --help.
"""


def main(argv: list[str]) -> int:
    """Finds the command; without one, the arguments are a study to run."""
    if not argv or argv[0] in ("-h", "--help"):
        print(_USAGE)
        return OK
    command, rest = (argv[0], argv[1:]) if argv[0] in _COMMANDS else ("run", argv)
    code: int = import_module(_COMMANDS[command]).main(rest)
    return code


if __name__ == "__main__":
    run_command(main, sys.argv[1:])
