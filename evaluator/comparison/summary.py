"""Who stands where on a suite: scores, spread over seeds, unreadable answers, and the paired difference to each opponent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from evaluator.comparison.paired import PairedResult, Resampling, compare_pair
from evaluator.comparison.seed_groups import Side
from evaluator.comparison.significance import holm
from schemas.evaluation.verdict import Comparison, Difference

Finding = Literal["better", "worse", "no difference shown"]


@dataclass(frozen=True)
class Standing:
    """One row of a table."""

    side: Side
    """Who."""
    tasks: dict[str, float]
    """Mean score over the runs, by task."""
    macro: float
    """Mean macro average over the runs."""
    spread: float | None
    """Standard deviation of the macro average over the runs; None for a single run."""
    unparsed: int
    """Unreadable answers, over all tasks and runs."""
    unscored: int
    """Items without a score."""
    total: int
    """Items, over all tasks and runs."""
    against: dict[str, PairedResult]
    """Paired results by the opponent's label; none against itself."""


@dataclass(frozen=True)
class Standings:
    """One suite."""

    suite: str
    rows: tuple[Standing, ...]
    """The base first, then the reference, then the others."""
    reference: Side
    """Whom the others are held against."""

    def comparisons(self, opponent: str) -> dict[str, Comparison]:
        """Each row's comparison with one opponent, the p-values of tasks and rows adjusted together (Holm)."""
        documents = {row.side.label: row.against[opponent].document for row in self.rows if opponent in row.against}
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


def standings(sides: Sequence[Side], reference: Side, settings: Resampling) -> Standings:
    """Scores every side and compares each with the base and with the reference.

    Raises:
        UserError: the reports do not answer the same items under the same rules.
    """
    bases = [side for side in sides if side.contestants[0].arm == "base"]
    others = [side for side in sides if side is not reference and side not in bases]
    ordered = [*bases, *([] if reference in bases else [reference]), *others]
    opponents = [*bases, *([] if reference in bases else [reference])]
    rows = []
    for position, side in enumerate(ordered):
        met = [opponent for opponent in opponents if opponent is not side and opponent in ordered[:position]]
        rows.append(_standing(side, met, settings))
    return Standings(ordered[0].contestants[0].evaluation.report.suite, tuple(rows), reference)


def finding(difference: Difference) -> Finding:
    """What an interval says about the sign."""
    if difference.interval.low > 0:
        return "better"
    return "worse" if difference.interval.high < 0 else "no difference shown"


def _standing(side: Side, opponents: Sequence[Side], settings: Resampling) -> Standing:
    reports = [one.evaluation.report for one in side.contestants]
    arm = side.contestants[0].arm
    scores = [record.arms[arm] for report in reports for record in report.tasks.values()]
    macros = [report.macro[arm] for report in reports]
    return Standing(
        side=side,
        tasks={
            task: float(np.mean([report.tasks[task].arms[arm].score for report in reports if task in report.tasks]))
            for task in reports[0].tasks
        },
        macro=float(np.mean(macros)),
        spread=float(np.std(macros, ddof=1)) if len(macros) > 1 else None,
        unparsed=sum(score.unparsed for score in scores),
        unscored=sum(score.unscored for score in scores),
        total=sum(score.total for score in scores),
        against={
            opponent.label: compare_pair(side.contestants, opponent.contestants, settings) for opponent in opponents
        },
    )
