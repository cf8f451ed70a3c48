"""What makes an attestation fail, condition by condition."""

import numpy as np
import pytest

from schemas.serving.serving_attestation import AppliedTensors, GreedyCheck, ProbeCheck
from serving.attestation.attest import faults, largest, tolerance_of


def probe(adapter=1e-5, base=1e-5, recorded=3.0, served=3.0, concurrent=1e-5):
    return ProbeCheck(
        prompt="p",
        tokens=5,
        recorded_effect=recorded,
        served_effect=served,
        adapter_difference=adapter,
        base_difference=base,
        concurrent_difference=concurrent,
    )


def read_back(applied=40, missing=(), in_free_slots=()):
    return AppliedTensors(expected=40, applied=applied, names=(), missing=missing, in_free_slots=in_free_slots)


def reasons(*probes, tolerance=1e-3, applied=None, greedy=None):
    return " ".join(faults(probes, tolerance, applied, greedy))


def test_an_adapter_that_matches_is_live():
    assert reasons(probe(), probe()) == ""


def test_a_merged_adapter_is_live_without_a_served_base():
    assert reasons(probe(base=None, served=None, concurrent=None)) == ""


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"adapter": 0.01}, "off the recorded ones"),
        ({"base": 0.01}, "another base model"),
        ({"served": 0.0}, "answers like its base"),
        ({"recorded": 1e-4, "served": 1.0}, "no server can be told from one without it"),
        ({"concurrent": 0.1}, "mixes up the requests of one batch"),
    ],
)
def test_each_condition_speaks_for_itself(wrong, sentence):
    assert sentence in reasons(probe(**wrong))


def test_one_bad_probe_among_good_ones_is_enough():
    assert reasons(probe(), probe(adapter=0.5), probe())


def test_a_missing_tensor_is_named():
    applied = read_back(applied=39, missing=("layers.3.q_proj.lora_A",))
    assert "1 of 40 tensors are not applied: layers.3.q_proj.lora_A" in reasons(probe(), applied=applied)


def test_a_slot_without_an_adapter_must_be_zero():
    assert reasons(probe(), applied=read_back()) == ""
    assert "not zero: q_proj.lora_A" in reasons(probe(), applied=read_back(in_free_slots=("q_proj.lora_A",)))


def test_ties_are_forgiven_and_other_greedy_tokens_are_not():
    tied = GreedyCheck(prompts=50, tokens=800, agreeing=799, ties=1, worst_gap=1e-5)
    odd = GreedyCheck(prompts=50, tokens=800, agreeing=799, ties=0, worst_gap=0.7)
    assert reasons(probe(), greedy=tied) == ""
    assert "1 of 800 greedy tokens" in reasons(probe(), greedy=odd)


def test_nan_is_infinitely_wrong():
    assert largest(np.array([0.0, np.nan])) > 1e6
    assert reasons(probe(adapter=largest(np.array([np.nan]))))


def test_the_coarser_type_sets_the_tolerance():
    assert (
        tolerance_of("float32", "bfloat16") == tolerance_of("bfloat16", "float32") > tolerance_of("float32", "float32")
    )
