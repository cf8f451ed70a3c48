"""python -m studies CONFIG --plan: what the study runs, takes and could detect, before it costs anything."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table

from schemas.studies.study_config import StudyConfig
from schemas.studies.study_plan import PlannedArm, StudyProtocol
from studies.analysis.power import Noise, sentence
from studies.run.protocol import Draft, draft_protocol
from trainer.plan.hardware import free_disk, size
from trainer.plan.memory_estimate import Footprint


def estimate(study: StudyConfig, console: Console) -> float:
    """Prints the estimates and returns the study's counted training compute, in operations.

    Raises:
        UserError: an arm is no valid training config, or its compute cannot be counted.
    """
    with console.status("Resolving the arms and counting their compute"):
        draft = draft_protocol(study)
    protocol = draft.protocol
    for base in study.bases:
        console.print(_arms_table(protocol, draft.footprints, base))
    total = _print_totals(draft, console)
    for missing in draft.missing:
        console.print(f"[yellow]not here yet:[/] {missing}", highlight=False, soft_wrap=True)
    _print_expectations(study, console)
    _print_detectable(study, console)
    return total


def tuning_runs(study: StudyConfig) -> int:
    """Tuning runs of each arm on each base."""
    return len(study.tuning.grid) * len(study.tuning.seeds) if len(study.tuning.grid) > 1 else 0


def _arms_table(protocol: StudyProtocol, footprints: tuple[Footprint, ...], base: str) -> Table:
    table = Table(title=f"One run of each arm on {base}", title_justify="left")
    table.add_column("arm", no_wrap=True)
    for name in ("steps", "ships", "echo", "operations", "ratio"):
        table.add_column(name, justify="right", no_wrap=True)
    planned = [(one, needs) for one, needs in zip(protocol.arms, footprints, strict=True) if one.base == base]
    first = planned[0][0].cost.flops
    for one, _ in planned:
        cost = one.cost
        table.add_row(
            one.arm,
            f"{cost.steps:,}",
            f"{cost.adapter_parameters:,}",
            f"{cost.echo_parameters:,}",
            f"{cost.flops:.3e}",
            f"{cost.flops / first:.3f}",
        )
    return table


def _print_totals(draft: Draft, console: Console) -> float:
    study, arms = draft.protocol.study, draft.protocol.arms
    tuned, seeds = tuning_runs(study), len(study.seeds)
    console.print(
        f"runs       {len(arms) * (tuned + seeds)}: {len(study.bases)} bases x {len(study.arms)} arms x ({tuned} tuning runs + "
        f"{seeds} seeds), and {len(study.bases)} bases scored without an adapter",
        highlight=False,
        soft_wrap=True,
    )
    total = sum(_operations(one, study) for one in arms)
    hours = "unknown: the config names no speed (`expense`)"
    if study.expense is not None:
        speed = study.expense.flops_per_second
        hours = f"{total / speed / 3600:,.1f} worker-hours at {speed:.3g} operations a second ({study.expense.source})"
    console.print(f"training   {total:.3g} operations counted; {hours}", highlight=False, soft_wrap=True)
    kept, each = _disk(draft)
    console.print(
        f"disk       {size(kept)} of adapters in the end, and {size(each)} more for every run under way; "
        f"{size(free_disk(Path(study.directory)))} free",
        highlight=False,
        soft_wrap=True,
    )
    return total


def _operations(planned: PlannedArm, study: StudyConfig) -> float:
    return planned.cost.flops * (len(study.seeds) + tuning_runs(study) * study.tuning.steps_share)


def _disk(draft: Draft) -> tuple[int, int]:
    """Bytes that stay, and the most that a run has beside its adapter until it is scored."""
    study = draft.protocol.study
    runs = len(study.seeds) + tuning_runs(study)
    kept = sum(needs.disk["adapter"] for needs in draft.footprints) * runs
    return kept, max(sum(needs.disk.values()) - needs.disk["adapter"] for needs in draft.footprints)


def _print_expectations(study: StudyConfig, console: Console) -> None:
    for one in study.expectations:
        gain = f"{one.arm} - {one.over}: {one.macro * 100:+.1f} points"
        figure = gain if one.over else f"{one.arm}: {one.macro:.1%}"
        console.print(f"published  {one.base} {figure} ({one.source})", highlight=False, soft_wrap=True)


def _print_detectable(study: StudyConfig, console: Console) -> None:
    if study.precision is None:
        console.print("detectable unknown: the config expects no noise (`precision`); a pilot's report has the figures")
        return
    precision, analysis = study.precision, study.analysis
    shown = sentence(
        Noise(precision.seed_deviation, precision.item_error),
        seeds=len(study.seeds),
        detect=analysis.detect,
        level=analysis.level,
        tests=len(analysis.contrasts) * len(study.bases),
    )
    console.print(f"detectable {shown} ({precision.source})", highlight=False, soft_wrap=True)
