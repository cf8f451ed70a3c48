"""The served effect against the recorded one: rounding passes, a small fault does not, and too small an effect says so."""

import numpy as np
import pytest

from serving.attestation.effect import MOST_ROUNDING, Readings, check_effect, effect_faults

TOKENS = 1024


def readings(*, scale=1.0, rounding=0.05, effect=1.0, seed=0, merged=False):
    """A server that multiplies the adapter's effect and rounds adapter and base independently (nats)."""
    draw = np.random.default_rng(seed)
    base, recorded = draw.normal(-3, 1, TOKENS), draw.normal(0, effect, TOKENS)
    noise = draw.normal(0, rounding, (2, TOKENS))
    served_base = None if merged else base + noise[0]
    return Readings(base, base + recorded, base + scale * recorded + noise[1], served_base)


def faults(readings, dtype="bfloat16"):
    return " ".join(
        sentence for sentence, holds in effect_faults(check_effect(readings, dtype), dtype).items() if not holds
    )


def test_none_of_500_good_servers_is_refused_however_light_the_adapter():
    effects = (0.1, 0.3, 1.0, 4.0, 8.0)
    assert [faults(readings(effect=effects[seed % 5], seed=seed)) for seed in range(500)] == [""] * 500


@pytest.mark.parametrize("scale", [0.95, 1.05])
def test_a_scale_that_is_5_percent_off_is_caught_in_bfloat16(scale):
    assert all("times the recorded one" in faults(readings(scale=scale, seed=seed)) for seed in range(100))


def test_the_base_in_the_adapter_s_place_is_caught():
    assert "answers like its base" in faults(readings(scale=0.0, effect=0.1))


def test_a_fault_that_is_no_scale_shows_in_the_residual():
    whole = readings()
    off = np.random.default_rng(1).normal(0, 0.3, TOKENS)
    broken = Readings(whole.recorded_base, whole.recorded_adapter, whole.served_adapter + off, whole.served_base)
    assert "off the recorded one, " in faults(broken)


def test_another_base_is_not_taken_for_rounding():
    assert "another base model" in faults(readings(rounding=2 * MOST_ROUNDING["bfloat16"]))


def test_an_effect_that_rounding_hides_proves_nothing_and_says_what_to_do():
    assert "lost in this server's rounding" in faults(readings(effect=0.01))
    assert faults(readings(effect=0.01, rounding=1e-6), "float32") == ""


def test_a_merged_adapter_is_held_to_the_rounding_of_its_type():
    assert faults(readings(merged=True)) == ""
    assert faults(readings(merged=True, scale=0.85))


def test_nan_is_infinitely_wrong():
    broken = readings()
    broken.served_adapter[7] = np.nan
    assert faults(broken)
