"""The summary of a suite: scores, spread over seeds, unparsed answers, and the paired difference to each baseline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from evaluator.comparison.paired import PairedResult, Resampling, compare_pair
from evaluator.comparison.seed_groups import SeedGroup
from evaluator.comparison.significance import holm
from schemas.evaluation.verdict import Comparison

Finding = Literal["better", "worse", "no difference shown", "one run a side"]

THESE_WEIGHTS = "it holds for these weights and says nothing about the methods, whose other seeds come out elsewhere"
"""What a reader must know where there is one run a side."""


@dataclass(frozen=True)
class SummaryRow:
    """One row of a table."""

    group: SeedGroup
    """Who."""
    tasks: dict[str, float]
    """Mean score over the runs, by task."""
    macro: float
    """Mean macro average over the runs."""
    spread: float | None
    """Standard deviation of the macro average over the runs; None for a single run."""
    unparsed: int
    """Unparsed answers, over all tasks and runs."""
    unscored: int
    """Items without a score."""
    total: int
    """Items, over all tasks and runs."""
    against: dict[str, PairedResult]
    """Paired results by the baseline's label; none against itself."""


@dataclass(frozen=True)
class Summary:
    """One suite."""

    suite: str
    rows: tuple[SummaryRow, ...]
    """The base first, then the baseline, then the others."""
    baseline: SeedGroup
    """What the others are compared with."""

    def comparisons(self, baseline: str) -> dict[str, Comparison]:
        """Each row's comparison with one baseline, the p-values of tasks and rows adjusted together (Holm)."""
        documents = {row.group.label: row.against[baseline].document for row in self.rows if baseline in row.against}
        family = [(label, task) for label, document in documents.items() for task in document.tasks]
        if not family:
            return {}
        adjusted = iter(holm([documents[label].tasks[task].difference.p_value for label, task in family]))
        return {
            label: document.model_copy(
                update={
                    "tasks": {
                        name: task.model_copy(update={"p_holm": next(adjusted)})
                        for name, task in document.tasks.items()
                    }
                }
            )
            for label, document in documents.items()
        }


def summarise(groups: Sequence[SeedGroup], baseline: SeedGroup, settings: Resampling) -> Summary:
    """Scores every group and compares each with the base and with the baseline.

    Raises:
        UserError: the reports do not answer the same items under the same rules.
    """
    bases = [group for group in groups if group.runs[0].variant == "base"]
    others = [group for group in groups if group is not baseline and group not in bases]
    ordered = [*bases, *([] if baseline in bases else [baseline]), *others]
    baselines = [*bases, *([] if baseline in bases else [baseline])]
    rows = []
    for position, group in enumerate(ordered):
        met = [one for one in baselines if one is not group and one in ordered[:position]]
        rows.append(_row(group, met, settings))
    return Summary(ordered[0].runs[0].evaluation.report.suite, tuple(rows), baseline)


def finding(comparison: Comparison) -> Finding:
    """What a comparison's interval says about the sign of its average.

    Of two adapters with one run each it says nothing: the interval is of these weights, and another seed, or another
    machine's rounding, moves a run by as much.
    """
    if comparison.baseline_variant == "adapter" and comparison.seed_standard_error is None:
        return "one run a side"
    interval = comparison.macro.interval
    if interval.low > 0:
        return "better"
    return "worse" if interval.high < 0 else "no difference shown"


def _row(group: SeedGroup, baselines: Sequence[SeedGroup], settings: Resampling) -> SummaryRow:
    reports = [one.evaluation.report for one in group.runs]
    variant = group.runs[0].variant
    scores = [record.variants[variant] for report in reports for record in report.tasks.values()]
    macros = [report.macro[variant] for report in reports]
    return SummaryRow(
        group=group,
        tasks={
            task: float(
                np.mean([report.tasks[task].variants[variant].score for report in reports if task in report.tasks])
            )
            for task in reports[0].tasks
        },
        macro=float(np.mean(macros)),
        spread=float(np.std(macros, ddof=1)) if len(macros) > 1 else None,
        unparsed=sum(score.unparsed for score in scores),
        unscored=sum(score.unscored for score in scores),
        total=sum(score.total for score in scores),
        against={baseline.label: compare_pair(group.runs, baseline.runs, settings) for baseline in baselines},
    )
