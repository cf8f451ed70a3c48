"""The story of a study: register the plan, choose the rates, run every arm, score all on the same items, analyse."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from rich.console import Console

from schemas.errors import UserError
from schemas.run_directory import RunDirectory
from schemas.studies.study_config import StudyConfig, StudyEvaluation
from schemas.studies.study_plan import ChosenRates, PlannedArm, StudyPlan
from studies.run.board import Board, rows_by_column
from studies.run.jobs import BaseJob, Job, RunJob
from studies.run.protocol import draft_protocol, require_inputs
from studies.run.rates import choose_rates, edge_note
from studies.run.registration import register
from studies.run.study_file import run_config
from studies.run.workers import Failure, Tally, Worker, cpu_workers, gpu_workers, run_jobs
from trainer.checkpoint.run_lock import sole_session
from trainer.config_file import parse_config
from trainer.plan.hardware import training_device

RATES = "learning_rates.json"


def run_study(study: StudyConfig, console: Console, *, jobs: int, amend: str | None) -> Path:
    """Runs what is missing of a study, and has it analysed.

    Args:
        study: the study.
        console: where to report.
        jobs: runs at a time on the CPU; on GPUs there is one per GPU.
        amend: reason of a change of the registered plan; None allows none.

    Returns:
        The study's directory.

    Raises:
        UserError: the plan was changed, an input is missing, or runs failed.
        Interrupted: Ctrl-C or SIGTERM; what is finished is kept.
    """
    _require_the_evaluator()
    directory = Path(study.directory)
    with sole_session(RunDirectory(directory)):
        with console.status("Resolving the arms, counting their compute, hashing the inputs"):
            protocol = require_inputs(draft_protocol(study))
        plan = register(protocol, amend=amend)
        console.print(
            f"plan {plan.protocol_sha256[:12]}, registered {plan.registered:%Y-%m-%d %H:%M} UTC", highlight=False
        )
        workers = workers_of(plan, jobs)
        rates = _tuned(plan, workers, console)
        _compared(plan, rates, workers, console)
        _analysed(directory, console)
    return directory


def _require_the_evaluator() -> None:
    """An image or environment of the trainer alone would find out after the first run."""
    missing = [name for name in ("evaluator", "lm_eval", "scipy", "jinja2") if find_spec(name) is None]
    if missing:
        raise UserError(
            f"a study also scores and analyses, and {', '.join(missing)} is not installed here",
            fix="pip install -e '.[trainer,evaluator]'",
        )


def workers_of(plan: StudyPlan, jobs: int) -> list[Worker]:
    """One worker per GPU where the arms train on GPUs, else `jobs` on the CPU."""
    config = parse_config({**plan.protocol.arms[0].config, "name": "study"}, where="study plan")
    if training_device(config.training.device).type == "cpu":
        return cpu_workers(jobs)
    import torch

    return gpu_workers(torch.cuda.device_count())


def tuning_jobs(plan: StudyPlan) -> list[tuple[PlannedArm, float, RunJob]]:
    """Every tuning run: seed by seed, base by base, arm by arm, rate by rate."""
    study, tuning = plan.protocol.study, plan.protocol.study.tuning
    items = None
    if tuning.criterion == "validation_accuracy":
        items = StudyEvaluation(
            suite=study.evaluation.suite,
            data=tuning.data,
            limit=study.evaluation.limit,
            backend=study.evaluation.backend,
        )
    return [
        (planned, rate, _run_job(plan, planned, seed, rate, items, tuning=True))
        for seed in tuning.seeds
        for planned in plan.protocol.arms
        for rate in (tuning.grid if len(tuning.grid) > 1 else ())
    ]


def compared_jobs(plan: StudyPlan, rates: ChosenRates) -> list[tuple[PlannedArm, int, RunJob]]:
    """Every compared run, seed by seed, so that a study that is cut short has whole seeds."""
    study = plan.protocol.study
    return [
        (planned, seed, _run_job(plan, planned, seed, rates.rate_of(planned.base, planned.arm), study.evaluation))
        for seed in study.seeds
        for planned in plan.protocol.arms
    ]


def _run_job(
    plan: StudyPlan, planned: PlannedArm, seed: int, rate: float, items: StudyEvaluation | None, *, tuning: bool = False
) -> RunJob:
    study = plan.protocol.study
    config = run_config(study, planned, seed=seed, rate=rate, tuning=tuning)
    directory = Path(study.directory)
    before = plan.amendments[-1].protocol_sha256[:12] if plan.amendments else None
    return RunJob(directory, config, items, directory / "superseded" / before if before else None)


def _tuned(plan: StudyPlan, workers: Sequence[Worker], console: Console) -> ChosenRates:
    study = plan.protocol.study
    trials = tuning_jobs(plan)
    tally = Tally()
    if trials:
        title = f"{study.name}: choosing learning rates by {study.tuning.criterion.replace('_', ' ')}"
        cells = [
            (f"{planned.base} {planned.arm}", f"{rate:g}" + (f" s{job.config.seed}" if len(study.tuning.seeds) > 1 else ""), job.name)
            for planned, rate, job in trials
        ]  # fmt: skip
        percent = study.tuning.criterion == "validation_accuracy"
        board = Board(console, title, rows_by_column(cells), tally, len(workers), percent=percent)
        with board:
            failures = run_jobs([job for _, _, job in trials], workers, logs_of(study), tally, board.draw)
        _refuse([failure for failure in failures if not failure.diverged])
    rates = choose_rates(plan, [(planned, rate, job.config.seed, job.score()) for planned, rate, job in trials])
    rates.write(Path(study.directory) / RATES)
    if note := edge_note(rates):
        console.print(f"[yellow]learning rates[/] {note}", highlight=False, soft_wrap=True)
    return rates


def _compared(plan: StudyPlan, rates: ChosenRates, workers: Sequence[Worker], console: Console) -> None:
    study = plan.protocol.study
    runs = compared_jobs(plan, rates)
    controls = base_jobs(plan)
    cells = [(f"{job.base} (no adapter)", "base", job.name) for job in controls]
    cells += [(f"{planned.base} {planned.arm}", f"seed {seed}", job.name) for planned, seed, job in runs]
    tally = Tally()
    board = Board(console, f"{study.name}: accuracy in %", rows_by_column(cells), tally, len(workers), percent=True)
    everything: list[Job] = [*controls, *(job for _, _, job in runs)]
    with board:
        failures = run_jobs(everything, workers, logs_of(study), tally, board.draw)
    _refuse(failures)


def base_jobs(plan: StudyPlan) -> list[BaseJob]:
    """Every base without an adapter, scored as the runs are."""
    study, arms = plan.protocol.study, plan.protocol.arms
    configs = {base: next(one.config for one in arms if one.base == base) for base in study.bases}
    return [
        BaseJob(
            Path(study.directory), base, parse_config({**config, "name": "base"}, where="study plan"), study.evaluation
        )
        for base, config in configs.items()
    ]


def logs_of(study: StudyConfig) -> Path:
    """Where the output of the study's jobs goes."""
    return Path(study.directory) / "logs"


def _refuse(failures: Sequence[Failure]) -> None:
    if failures:
        listed = "\n".join(f"  - {one.name} ({one.log})" for one in failures)
        raise UserError(
            f"{len(failures)} runs failed\n{listed}\nthe first one's last words:\n{failures[0].reason}",
            where=failures[0].log,
            fix="mend the cause; the same command runs what is missing",
        )


def _analysed(directory: Path, console: Console) -> None:
    from studies.analysis.command import analyse_and_print

    analyse_and_print(directory, console)
