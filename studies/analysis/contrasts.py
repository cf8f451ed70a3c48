"""The planned comparisons: paired by seed and item, two tests each, every family under Holm.

Intervals come from the hierarchical bootstrap of `evaluator.comparison.bootstrap`: items (or clusters of them) are resampled within each
task, all seeds together, since they answer the same items; the level of the seeds is drawn from Student's t with the
variance of the paired differences, because resampling a handful of seeds covers far less than it says.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from evaluator.comparison.bootstrap import Distribution
from evaluator.comparison.paired import PairedResult, Resampling, compare_pair
from evaluator.comparison.significance import holm
from schemas.evaluation.verdict import Difference
from schemas.studies.study_config import Contrast
from schemas.studies.study_report import ContrastOutcome, Finding, Power
from studies.analysis.open_echo import closed_echo
from studies.analysis.power import Noise
from studies.analysis.results import Results


@dataclass(frozen=True)
class Tested:
    """One contrast on one base, before Holm."""

    base: str
    name: str
    contrast: Contrast
    paired: PairedResult
    by_seed: dict[int, float]

    @property
    def p_value(self) -> float:
        """Of no difference, two-sided."""
        return self.paired.macro.p_value()

    @property
    def p_equivalence(self) -> float:
        """Of a difference at least as large as the margin, either way."""
        return equivalence_p_value(self.paired.macro, self.contrast.margin)


def equivalence_p_value(distribution: Distribution, margin: float) -> float:
    """The greater of two one-sided p-values: that the difference is at most -margin, and that it is at least +margin.

    Schuirmann, 1987; each tail as the resampled distribution has it, never smaller than the resamples can tell.
    """
    draws = distribution.draws
    beyond = max(np.count_nonzero(draws <= -margin), np.count_nonzero(draws >= margin))
    return float(min(1.0, (beyond + 1) / (len(draws) + 1)))


def tested_contrasts(results: Results) -> list[ContrastOutcome]:
    """Every planned contrast on every base, Holm over all of them."""
    analysis = results.plan.protocol.study.analysis
    settings = Resampling(confidence=1 - analysis.level, resamples=analysis.draws)
    tested = [
        _test(results, base, name, contrast, settings)
        for base in results.plan.protocol.study.bases
        for name, contrast in analysis.contrasts.items()
    ]
    different = holm([one.p_value for one in tested])
    equivalent = holm([one.p_equivalence for one in tested])
    closed = [closed_echo(results, one.base, (one.contrast.candidate, one.contrast.baseline)) for one in tested]
    return [
        _outcome(one, p, p_same, analysis.level, analysis.detect, why)
        for one, p, p_same, why in zip(tested, different, equivalent, closed, strict=True)
    ]


def finding(p_holm: float, p_equivalence_holm: float, level: float, *, echo_closed: bool = False) -> Finding:
    """A difference is shown, its smallness is shown, or neither; with a closed echo, only a difference says anything."""
    if p_holm <= level:
        return "different"
    if echo_closed:
        return "not_tested"
    return "equivalent" if p_equivalence_holm <= level else "inconclusive"


def _test(results: Results, base: str, name: str, contrast: Contrast, settings: Resampling) -> Tested:
    candidates, baselines = (results.scored_runs(base, arm) for arm in (contrast.candidate, contrast.baseline))
    paired = compare_pair(candidates, baselines, settings, by_seed=True)
    macros = [[one.evaluation.report.macro["adapter"] for one in group] for group in (candidates, baselines)]
    seeds = results.runs[base, contrast.candidate]
    by_seed = {seed: mine - theirs for seed, mine, theirs in zip(seeds, *macros, strict=True)}
    return Tested(base, name, contrast, paired, by_seed)


def _outcome(
    one: Tested, p_holm: float, p_same: float, level: float, detect: float, closed: str | None
) -> ContrastOutcome:
    document = one.paired.document
    found = finding(p_holm, p_same, level, echo_closed=closed is not None)
    return ContrastOutcome(
        base=one.base,
        name=one.name,
        candidate=one.contrast.candidate,
        baseline=one.contrast.baseline,
        asks=one.contrast.asks,
        margin=one.contrast.margin,
        macro=document.macro,
        tasks={name: task.difference for name, task in document.tasks.items()},
        by_seed={str(seed): difference for seed, difference in one.by_seed.items()},
        p_holm=p_holm,
        p_equivalence=one.p_equivalence,
        p_equivalence_holm=p_same,
        finding=found,
        sentence=_sentence(found, document.macro, one.contrast.margin, closed),
        power=_power(one, level, detect),
    )


def _sentence(found: Finding, macro: Difference, margin: float, closed: str | None) -> str:
    interval = macro.interval
    figures = (
        f"{macro.estimate * 100:+z.1f} points ({interval.level:.0%} interval {interval.low * 100:+z.1f} to "
        f"{interval.high * 100:+z.1f})"
    )
    if found == "not_tested":
        return f"not tested: {closed}; {figures}"
    if found == "different":
        inside = -margin < interval.low and interval.high < margin
        small = f", smaller than the margin of {margin * 100:g}" if inside else ""
        return f"{'better' if macro.estimate > 0 else 'worse'}: {figures}{small}"
    if found == "equivalent":
        bound = "1 point" if margin == 0.01 else f"{margin * 100:g} points"
        return f"no difference as large as {bound}: {figures}"
    return f"inconclusive: {figures}; {macro.minimum_detectable_effect * 100:.1f} points could have been detected"


def _power(one: Tested, level: float, detect: float) -> Power:
    seeds, count = one.paired.seeds, len(one.by_seed)
    between = seeds.standard_error if seeds else 0.0
    item_error = math.sqrt(max(0.0, one.paired.macro.standard_error**2 - between**2))
    noise = Noise(between * math.sqrt(count), item_error)
    design = noise.design_for(detect, level) if seeds else None
    return Power(
        seed_deviation=noise.seed_deviation if seeds else None,
        item_error=item_error,
        minimum_detectable_effect=noise.detectable(count, level),
        wanted=detect,
        seeds_needed=noise.seeds_for(detect, level) if seeds else None,
        items_factor=noise.items_factor_for(detect, count, level) if seeds else None,
        design_seeds=design[0] if design else None,
        design_items_factor=design[1] if design else None,
    )
