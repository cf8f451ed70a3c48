"""From verified results to the StudyReport."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from statistics import fmean, stdev

from evaluator.comparison.scored_run import ScoredRun
from schemas.studies.study_plan import PlannedArm
from schemas.studies.study_report import ArmOutcome, BaseOutcome, StudyReport
from studies.analysis.contrasts import tested_contrasts
from studies.analysis.results import Results, Run


def study_report(results: Results) -> StudyReport:
    """Arms, bases and planned contrasts, with everything they rest on."""
    plan, protocol = results.plan, results.plan.protocol
    runs = [run for by_seed in results.runs.values() for run in by_seed.values()]
    tasks = runs[0].scored_run.evaluation.report.tasks
    return StudyReport(
        created=datetime.now(UTC),
        registered=plan.registered,
        protocol_sha256=plan.protocol_sha256,
        amendments=plan.amendments,
        study=protocol.study,
        rates=results.rates.rates,
        bases=tuple(_base(results, name, control) for name, control in results.controls.items()),
        arms=tuple(_arm(results, planned) for planned in protocol.arms),
        contrasts=tuple(tested_contrasts(results)),
        documents_sha256={task: record.documents_sha256 for task, record in tasks.items()},
        reports_sha256={run.manifest.name: run.scored_run.evaluation.report_sha256 for run in runs},
        adapters_sha256={run.manifest.name: run.manifest.files["adapter_model.safetensors"].sha256 for run in runs},
        notes=results.notes,
        versions=runs[0].manifest.versions,
    )


def _base(results: Results, name: str, control: ScoredRun) -> BaseOutcome:
    report = control.evaluation.report
    planned = next(one for one in results.plan.protocol.arms if one.base == name)
    return BaseOutcome(
        base=name,
        model=report.base.name,
        weights_sha256=report.base.weights_sha256,
        parameters=planned.cost.base_parameters,
        macro=report.macro["base"],
        tasks={task: record.variants["base"].score for task, record in report.tasks.items()},
        floors={task: record.floor for task, record in report.tasks.items()},
        items={task: record.variants["base"].total for task, record in report.tasks.items()},
    )


def _arm(results: Results, planned: PlannedArm) -> ArmOutcome:
    by_seed = results.runs[planned.base, planned.arm]
    runs = list(by_seed.values())
    reports = [run.scored_run.evaluation.report for run in runs]
    macros = [report.macro["adapter"] for report in reports]
    scores = [record.variants["adapter"] for report in reports for record in report.tasks.values()]
    return ArmOutcome(
        base=planned.base,
        arm=planned.arm,
        learning_rate=results.rates.rate_of(planned.base, planned.arm),
        scores={str(seed): macro for seed, macro in zip(by_seed, macros, strict=True)},
        mean=fmean(macros),
        deviation=stdev(macros) if len(macros) > 1 else None,
        tasks={task: fmean(r.tasks[task].variants["adapter"].score for r in reports) for task in reports[0].tasks},
        unparsed=sum(score.unparsed for score in scores) / sum(score.total for score in scores),
        cost=planned.cost,
        echo_steps=fmean(run.manifest.own_training.echo_steps for run in runs),
        seconds=fmean(run.manifest.own_training.seconds for run in runs),
        device=_devices(runs),
    )


def _devices(runs: Sequence[Run]) -> str:
    return ", ".join(dict.fromkeys(run.manifest.own_training.device for run in runs))
