"""python -m trainer: trains an adapter, or plans, measures and prepares for it."""

from __future__ import annotations

import argparse
from pathlib import Path

from schemas.errors import OK, run_command

DEFAULT_CONFIG = Path("configs/quickstart.yaml")
_DESCRIPTION = """\
Trains a LoRA, DoRA, Echo-LoRA or Echo-DoRA adapter and exports it to <runs>/<name>/adapter.

  python -m trainer configs/quickstart.yaml                   train; run again to resume, or to hear that it is complete
  python -m trainer configs/quickstart.yaml --method lora     the same run with another method
  torchrun --nproc-per-node 2 -m trainer CONFIG               the same run on two GPUs of one machine
  python -m trainer plan CONFIG                               parameters, steps, tokens, memory and disk, before it costs anything
  python -m trainer bench CONFIG                              step time against PEFT + transformers.Trainer
  python -m trainer study CONFIG                              arms x seeds: is it the echo? plan, run, test, report
  python -m trainer make-base DIR; make-tasks DIR             a small base model and a task set, made from nothing
"""
_EXIT_CODES = (
    "exit codes: 0 done, 2 an error you can mend, 130 Ctrl-C and 143 SIGTERM (a checkpoint is saved; run again)"
)
_COMMANDS = ("train", "plan", "bench", "study", "make-base", "make-tasks")


def main(argv: list[str]) -> int:
    """Parses, loads, calls, prints."""
    command, rest = (argv[0], argv[1:]) if argv and argv[0] in _COMMANDS else ("train", argv)
    if command in ("make-base", "make-tasks"):
        return _make(command, rest)
    if command == "bench":
        from trainer.bench.command import main as bench

        return bench(rest)
    if command == "study":
        from studies.run.command import main as study

        return study(rest)
    if "-h" in rest or "--help" in rest:
        return _help(command)
    return _train_or_plan(command, rest)


def _train_or_plan(command: str, argv: list[str]) -> int:
    from trainer.config_file import load_config

    overwrite = "--overwrite" in argv
    options = [word for word in argv if word != "--overwrite"]
    path = Path(options.pop(0)) if options and not options[0].startswith("-") else DEFAULT_CONFIG
    config = load_config(path, options)

    from rich.console import Console

    if command == "plan":
        from trainer.plan.plan import plan

        plan(config, Console())
    else:
        from trainer.train import train

        train(config, Console(), overwrite=overwrite)
    return OK


def _make(command: str, argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog=f"python -m trainer {command}")
    parser.add_argument("out", type=Path, help="directory to write")
    parser.add_argument("--seed", type=int, default=0, help="of the invented world and the weights (default: 0)")
    if command == "make-base":
        from studies.synthetic.base import RECIPES, make_base

        parser.add_argument("--recipe", choices=RECIPES, default="quickstart", help="which base (default: quickstart)")
        parser.add_argument(
            "--start",
            type=Path,
            default=Path("configs/quickstart/base"),
            help="base of the same seed that the study recipes continue (default: the shipped one)",
        )
        arguments = parser.parse_args(argv)
        make_base(arguments.out, arguments.seed, RECIPES[arguments.recipe], arguments.start)
    else:
        from studies.synthetic.tasks import TASK_SETS, make_tasks, make_validation

        parser.add_argument("--set", choices=TASK_SETS, default="quickstart", help="which tasks (default: quickstart)")
        for_rates = "write validation items instead, for a study to choose its rates on"
        parser.add_argument("--validation", action="store_true", help=for_rates)
        arguments = parser.parse_args(argv)
        (make_validation if arguments.validation else make_tasks)(arguments.out, arguments.seed, arguments.set)
    return OK


def _help(command: str) -> int:
    from trainer.config_file import option_help

    print(f"usage: python -m trainer [{'|'.join(_COMMANDS)}] [CONFIG] [--overwrite] [--section.key value ...]\n")
    print(_DESCRIPTION)
    print(f"CONFIG defaults to {DEFAULT_CONFIG}. --overwrite forgets an earlier run of that name.")
    print(
        "Every field below can also stand in CONFIG, or in the environment as ECHO_LORA_SECTION__KEY; `null` clears it.\n"
    )
    print(option_help())
    print(f"\n{_EXIT_CODES}")
    return OK


if __name__ == "__main__":
    run_command(main)
