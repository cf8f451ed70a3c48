"""python -m evaluator RUN ... --suite NAME: what the command takes, and one evaluation per run."""

from __future__ import annotations

import argparse
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from evaluator.scoring.table import score_table
from evaluator.tasks.suites import SUITES, Backend, Suite, find_suite
from schemas.document import write_atomically
from schemas.errors import OK, UserError
from schemas.evaluation.eval_report import EvalReport

if TYPE_CHECKING:
    from evaluator.evaluate import Evaluation
    from evaluator.scoring.answers import LanguageModels, Settings
    from evaluator.subject import Subject

_URL = "http://127.0.0.1:8000/v1"
_DESCRIPTION = """Scores adapters, and their base model as a control, on a suite of benchmark tasks.

  python -m evaluator runs/quickstart-echo_lora --suite quickstart
  python -m evaluator runs/mine --suite commonsense_170k --data LLM-Adapters/dataset --backend vllm
  python -m evaluator runs/mine --suite my_suite.yaml
  python -m evaluator meta-llama/Llama-2-7b-hf --base-only --suite gsm8k --device cuda

Writes runs/<name>/evaluation/<suite>/{report.json,samples.jsonl}. An evaluation that was stopped goes on where it
stopped when the same command is given again. Other commands, each with its own --help:

  python -m evaluator agree RUN       do the backends give the same answers?
  python -m evaluator gate RUN        does the adapter pass a policy, against another run?
  python -m evaluator comment RUN     puts the verdict on a pull or merge request, in CI
  python -m evaluator compare RUN...  paired tests of many runs and seeds
  python -m evaluator report RUN      a self-contained HTML page
  python -m studies analyse DIR       the analysis of `python -m studies`
"""


def parse(argv: list[str]) -> argparse.Namespace:
    """The command line of a scoring command."""
    parser = argparse.ArgumentParser(
        prog="python -m evaluator", description=_DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="+", metavar="RUN", help="run directory, or a base model with --base-only")
    parser.add_argument(
        "--suite", required=True, metavar="NAME", help=f"a suite file (.yaml), or one of {', '.join(SUITES)}"
    )
    parser.add_argument(
        "--tasks", type=lambda text: text.split(","), metavar="A,B", help="only these tasks of the suite"
    )
    parser.add_argument("--limit", type=positive, metavar="N", help="only the first N items of each task")
    parser.add_argument("--base-only", action="store_true", help="score the base model alone, into runs/base-<model>")
    parser.add_argument("--no-base", action="store_true", help="leave the base model out")
    add_model_arguments(parser)
    return parser.parse_args(argv)


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """What `agree` needs too: where models, data and answers are, and how to run them."""
    parser.add_argument(
        "--backend", choices=("hf", "vllm", "endpoint"), default="hf", help="what generates (default: hf)"
    )
    parser.add_argument("--data", type=Path, metavar="DIR", help="local data files instead of the hub's data sets")
    parser.add_argument("--base", metavar="MODEL", help="where the base model is now, if it moved since training")
    parser.add_argument("--dtype", choices=("float32", "bfloat16", "float16"), help="default: as in training")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 ... (default: auto)")
    parser.add_argument("--batch-size", type=positive, metavar="N", help="prompts at a time; changes speed, not scores")
    parser.add_argument(
        "--directory", type=Path, default=Path("runs"), metavar="DIR", help="of base-only reports (runs)"
    )
    parser.add_argument("--answers", type=Path, metavar="DIR", help="stored answers (default: .answers beside the run)")
    parser.add_argument(
        "--merge", action="store_true",
        help="vllm backend: score base and LoRA adapter as one model, as DoRA always is; on a CPU some ten times faster",
    )  # fmt: skip
    parser.add_argument(
        "--tensor-parallel-size", type=positive, default=1, metavar="N",
        help="vllm backend: GPUs that share each layer (default: 1)",
    )  # fmt: skip
    parser.add_argument(
        "--url", default=_URL, metavar="URL", help=f"endpoint backend: address of the API (default: {_URL})"
    )
    parser.add_argument(
        "--api-key-file", type=Path, metavar="FILE", help="endpoint backend: file that holds the API key"
    )
    parser.add_argument(
        "--judge-key-file", type=Path, metavar="FILE", help="suites with a judge: file that holds its API key"
    )


def positive(text: str) -> int:
    """A count of at least one (argparse type)."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def main(argv: list[str]) -> int:
    """Verifies, scores, writes and prints, run by run."""
    arguments = parse(argv)
    if arguments.base_only and arguments.no_base:
        raise UserError("--base-only and --no-base leave nothing to score")
    suite = find_suite(arguments.suite, arguments.backend)
    subjects = [subject_of(run, arguments, arguments.base_only) for run in arguments.runs]

    for subject in subjects:
        settings = settings_of(subject, arguments)
        score(subject, suite, settings, data=arguments.data, tasks=arguments.tasks, api_key_file=arguments.api_key_file)
    return OK


def score(
    subject: Subject,
    suite: Suite,
    settings: Settings,
    *,
    data: Path | None = None,
    tasks: list[str] | None = None,
    api_key_file: Path | None = None,
) -> None:
    """Scores one subject on a suite, writes its report and prints the table.

    Raises:
        UserError: data or base are missing, the adapter changes no answer, or a model's numbers are not finite.
        Interrupted: Ctrl-C or SIGTERM; the answers so far are kept.
    """
    from evaluator.evaluate import evaluate
    from evaluator.tasks.load import load_tasks

    loaded = load_tasks(suite, data, tasks, subject.base.directory, subject.trained_prompt)
    models = open_backend(subject, settings, api_key_file)
    try:
        evaluation = evaluate(subject, loaded, models, settings)
    finally:
        models.close()
    directory = write(subject, evaluation)
    Console(width=None if sys.stdout.isatty() else 140).print(score_table(evaluation.report))
    for note in evaluation.report.notes:
        print(f"note: {note}")
    print(directory / "report.json")


def subject_of(run: str, arguments: argparse.Namespace, base_only: bool) -> Subject:
    """The verified adapter of a run, or a base model alone."""
    from evaluator.subject import adapter_subject, base_subject

    if base_only:
        return base_subject(run, arguments.directory, arguments.dtype)
    return adapter_subject(Path(run), arguments.base, arguments.dtype)


def settings_of(subject: Subject, arguments: argparse.Namespace) -> Settings:
    """How to score, every default decided."""
    from evaluator.scoring.answers import Settings

    device = arguments.url if arguments.backend == "endpoint" else resolved_device(arguments.device)
    return Settings(
        backend=arguments.backend,
        device=device,
        limit=getattr(arguments, "limit", None),
        batch_size=arguments.batch_size or default_batch_size(arguments.backend),
        with_base=not getattr(arguments, "no_base", False),
        answers=arguments.answers or subject.run.root.parent / ".answers",
        merge=arguments.merge and arguments.backend == "vllm",
        tensor_parallel_size=arguments.tensor_parallel_size,
        judge_key_file=arguments.judge_key_file,
    )


def resolved_device(name: str) -> str:
    """A device's name, with `auto` decided by what is here."""
    import torch

    return name if name != "auto" else "cuda" if torch.cuda.is_available() else "cpu"


def default_batch_size(backend: Backend) -> int:
    """Prompts at a time: what transformers is given, or what a server schedules itself."""
    return 32 if backend == "hf" else 256


def open_backend(subject: Subject, settings: Settings, api_key_file: Path | None) -> LanguageModels:
    """The backend, with no model loaded yet."""
    if settings.backend == "vllm":
        if find_spec("vllm") is None:
            raise UserError("vLLM is not installed here", fix="make setup installs it; or use --backend hf")
        from evaluator.backends.vllm_engine import VllmBackend

        return VllmBackend(
            subject,
            settings.device,
            settings.batch_size,
            merge=settings.merge,
            tensor_parallel_size=settings.tensor_parallel_size,
        )
    if settings.backend == "endpoint":
        from evaluator.backends.endpoint import EndpointBackend

        return EndpointBackend(subject, settings.device, api_key_file)
    from evaluator.backends.huggingface import TransformersBackend

    return TransformersBackend(subject, settings.device, settings.batch_size)


def write(subject: Subject, evaluation: Evaluation) -> Path:
    """Writes samples.jsonl, then report.json, which holds its hash; returns their directory."""
    directory = subject.run.evaluation(evaluation.report.suite)
    write_atomically(directory / "samples.jsonl", evaluation.samples_jsonl)
    evaluation.report.write(directory / "report.json")
    EvalReport.read(directory / "report.json")
    return directory
