"""The served effect of the adapter against the recorded one, over all tokens of all probes: a test with power.

One token in bfloat16 tells little: its log-probability is rounded by a tenth of a nat. But rounding is the same with the
adapter and without it, so the base, read beside it, says how large rounding is here; and over n tokens the slope of the
served on the recorded effect is known sqrt(n) times better than from one. Derivation and figures: docs/serving.md.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schemas.serving.serving_attestation import Dtype, EffectCheck

Nats = NDArray[np.float64]

# Root mean square, over a probe's tokens, by which two correct implementations differ in the log-probabilities of one
# model (nats). Between vLLM and transformers on SmolLM2-135M it was 0.055 in bfloat16; float16 has three bits more.
MOST_ROUNDING: Mapping[Dtype, float] = {"float32": 1e-4, "float16": 2e-2, "bfloat16": 1.5e-1}
# Differences below this are not looked into: sums in another order, and the text form of the numbers.
LEAST_ROUNDING = 2e-6
# Standard errors within which a correct server stays: of 1,000 attestations, less than one is refused by chance.
ERRORS = 4.0
# Rounded weights of the base and the adapter bias the slope a little: by 0.003 to 0.006 on SmolLM2-135M in bfloat16.
BIAS: Mapping[Dtype, float] = {"float32": 1e-3, "float16": 3e-3, "bfloat16": 2e-2}
# How much larger the adapted model's rounding may be than the base's, from which it is foreseen: it was up to 1.8 times
# that, since what an adapter has unlearned lies far down, where a logit rounds by more.
SLACK = 3.0


@dataclass(frozen=True)
class Readings:
    """Log-probabilities of all probes' tokens, one after another, each [tokens]."""

    recorded_base: Nats
    recorded_adapter: Nats
    served_adapter: Nats
    served_base: Nats | None
    """None where the base is not served beside the adapter (merged)."""


def check_effect(readings: Readings, dtype: Dtype) -> EffectCheck:
    """Regresses the served effect, adapter minus base, on the recorded one, through the origin.

    Args:
        readings: what was recorded and what was served.
        dtype: the coarser of the server's and the recording's types, whose rounding is assumed where no base is served.
    """
    recorded = readings.recorded_adapter - readings.recorded_base
    if readings.served_base is None:
        served, rounding = readings.served_adapter - readings.recorded_base, MOST_ROUNDING[dtype] / SLACK
    else:
        served = readings.served_adapter - readings.served_base
        rounding = max(root_mean_square(readings.served_base - readings.recorded_base), LEAST_ROUNDING)
    energy = float(np.square(recorded).sum())
    return EffectCheck(
        tokens=recorded.size,
        recorded=root_mean_square(recorded),
        slope=_finite(float(recorded @ served) / energy) if energy else 0.0,
        slope_error=_finite(math.sqrt(2.0) * rounding / math.sqrt(energy)) if energy else _finite(math.inf),
        residual=root_mean_square(served - recorded),
        rounding=rounding,
    )


def effect_faults(effect: EffectCheck, dtype: Dtype) -> Mapping[str, bool]:
    """Each condition of a live adapter, as the sentence to say where it does not hold, and whether it holds."""
    margin, allowed = ERRORS * effect.slope_error + BIAS[dtype], SLACK * math.sqrt(2.0) * effect.rounding
    return {
        f"the base's log-probabilities are {effect.rounding:.3g} nats (root mean square of {effect.tokens} tokens) off the "
        f"recorded ones, {MOST_ROUNDING[dtype]:g} is allowed: another base model": effect.rounding
        <= MOST_ROUNDING[dtype],
        f"the recorded effect of the adapter, {effect.recorded:.3g} nats, is lost in this server's rounding: its scale is "
        f"known to {margin:.2g} of itself, so no server can be told from one without it; serve in float32, or train the "
        "adapter longer": margin < 0.5,
        f"the adapter answers like its base (slope {effect.slope:.3f} of the served effect on the recorded one): it is not "
        "applied": effect.slope > 0.5,
        f"the served effect is {effect.slope:.4f} times the recorded one, 1 within {margin:.2g} is allowed: another scale "
        "or other weights": abs(effect.slope - 1) <= margin,
        f"the served effect is {effect.residual:.3g} nats (root mean square) off the recorded one, {allowed:.3g} is "
        "allowed, which is what rounding makes of the base here": effect.residual <= allowed,
    }


def root_mean_square(values: Nats) -> float:
    """In nats; a NaN anywhere is infinitely wrong, and must not vanish in a mean."""
    return _finite(float(np.sqrt(np.square(values).mean())))


def _finite(value: float) -> float:
    return value if math.isfinite(value) else 1e9
