"""What a design could detect: from the noise between seeds and between items to the smallest difference, and back.

The difference of two arms, paired by seed and item, varies by V / S between seeds and by the error of the items, which all
seeds share. Its t distribution has Satterthwaite's degrees of freedom, the items counting as known.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy.stats import norm, t

POWER = 0.8
MOST_SEEDS = 10_000


@dataclass(frozen=True)
class Noise:
    """Of one paired difference of macro accuracy."""

    seed_deviation: float
    """Standard deviation between seeds; it holds the part of the items' noise that differs from seed to seed."""
    item_error: float
    """Standard error from the choice of the items alone."""

    def detectable(self, seeds: int, level: float, power: float = POWER) -> float:
        """The true difference that is seen with that power; at most 1."""
        between = self.seed_deviation / math.sqrt(seeds)
        error = math.hypot(between, self.item_error)
        if error == 0:
            return 0.0
        if seeds < 2 or between == 0:
            reach = norm.ppf(1 - level / 2) + norm.ppf(power)
        else:
            degrees = (seeds - 1) * (error / between) ** 4
            reach = t.ppf(1 - level / 2, degrees) + t.ppf(power, degrees)
        return min(1.0, float(reach) * error)

    def seeds_for(self, difference: float, level: float) -> int | None:
        """The fewest seeds that show the difference on these items; None where not even MOST_SEEDS do."""
        if self.detectable(MOST_SEEDS, level) > difference:
            return None
        low, high = 1, MOST_SEEDS  # low does not do, high does
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self.detectable(middle, level) <= difference else (middle, high)
        return high

    def items_factor_for(self, difference: float, seeds: int, level: float) -> float | None:
        """Times as many items that show the difference with these seeds; None where no number does."""
        if Noise(self.seed_deviation, 0.0).detectable(seeds, level) >= difference:
            return None
        low, high = 0.0, 1.0  # factors of the item error: low does, high perhaps
        if self.detectable(seeds, level) <= difference:
            return 1.0
        for _ in range(40):
            middle = (low + high) / 2
            does = Noise(self.seed_deviation, self.item_error * middle).detectable(seeds, level) <= difference
            low, high = (middle, high) if does else (low, middle)
        return 1 / low**2 if low > 0 else None

    def design_for(self, difference: float, level: float) -> tuple[int, float] | None:
        """Seeds, and times as many items, that together show the difference: the items get half of the variance.

        None where not even MOST_SEEDS do.
        """
        error = difference / float(norm.ppf(1 - level / 2) + norm.ppf(POWER))
        factor = max(1.0, 2 * (self.item_error / error) ** 2)
        seeds = Noise(self.seed_deviation, self.item_error / math.sqrt(factor)).seeds_for(difference, level)
        return None if seeds is None else (seeds, factor)


def sentence(noise: Noise, *, seeds: int, detect: float, level: float, tests: int) -> str:
    """The design's power in words."""
    alone, together = noise.detectable(seeds, level), noise.detectable(seeds, level / tests)
    return (
        f"{alone * 100:.1f} points with {seeds} seeds at {POWER:.0%} power ({together * 100:.1f} as the smallest of {tests} "
        f"p-values under Holm); {detect * 100:g} point{'' if detect == 0.01 else 's'} would take "
        f"{design_words(noise.design_for(detect, level))}"
    )


def design_words(design: tuple[int, float] | None) -> str:
    """Such as `120 seeds on 4.5 times the items`."""
    if design is None:
        return f"more than {MOST_SEEDS:,} seeds"
    seeds, factor = design
    return f"{seeds:,} seeds on {'these items' if factor == 1 else f'{factor:.1f} times the items'}"
