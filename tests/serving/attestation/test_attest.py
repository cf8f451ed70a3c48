"""What makes an attestation fail, condition by condition."""

import numpy as np
import pytest
from safetensors.numpy import load_file

from schemas.adapter_reader import projection, read_adapter
from schemas.serving.serving_attestation import AppliedTensors, EffectCheck, GreedyCheck, ProbeCheck
from serving.attestation.attest import coarser, faults, is_whole, largest


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


def effect(**changes):
    figures = {"tokens": 1000, "recorded": 1.0, "slope": 1.0, "slope_error": 1e-6, "residual": 1e-5, "rounding": 1e-5}
    return EffectCheck(**figures | changes)


GOOD = effect()


def read_back(applied=40, **found):
    listed = {"names": (), "missing": (), "altered": (), "in_free_slots": ()} | found
    return AppliedTensors(expected=40, applied=applied, **listed)


def reasons(*probes, effect=GOOD, dtype="float32", applied=None, greedy=None):
    return " ".join(faults(probes, effect, dtype, applied, greedy))


def test_an_adapter_that_matches_is_live():
    assert reasons(probe(), probe()) == ""


def test_a_merged_adapter_is_live_without_a_served_base():
    assert reasons(probe(base=None, served=None, concurrent=None)) == ""


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"adapter": 0.01}, "off the recorded one"),
        ({"concurrent": 0.1}, "mixes up the requests of one batch"),
    ],
)
def test_each_condition_speaks_for_itself(wrong, sentence):
    assert sentence in reasons(probe(**wrong))


def test_the_effect_over_all_probes_counts_too():
    assert "another scale" in reasons(probe(), effect=effect(slope=1.05))


def test_one_bad_probe_among_good_ones_is_enough():
    assert reasons(probe(), probe(adapter=0.5), probe())


def test_a_missing_tensor_is_named():
    applied = read_back(applied=39, missing=("layers.3.q_proj.lora_A",))
    assert "1 of 40 tensors are not applied: layers.3.q_proj.lora_A" in reasons(probe(), applied=applied)


def test_a_tensor_with_other_values_is_named():
    applied = read_back(altered=("layers.3.q_proj.lora_B",))
    assert "1 tensors are not those of the file: layers.3.q_proj.lora_B" in reasons(probe(), applied=applied)


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
    assert coarser("float32", "bfloat16") == coarser("bfloat16", "float32") == "bfloat16"
    assert coarser("float32", "float32") == "float32"


@pytest.fixture(scope="module")
def adapter(tmp_path_factory, tiny_base, adapter_runs):
    return read_adapter(adapter_runs.write_adapter_run(tmp_path_factory.mktemp("whole") / "run", tiny_base).adapter)


def worker(name, values):
    return {"norms": {name: float(np.linalg.norm(values))}, "projections": {name: projection(values)}}


def test_a_tensor_read_back_is_the_file_s_through_padding_rounding_and_scaling(adapter):
    name, values = scaled(adapter)
    padded = np.pad(values, ((0, 0), (0, 8)))
    rounded = (padded.view("u4") + 0x8000 & 0xFFFF0000).view("f4")  # bfloat16
    assert is_whole(name, adapter, [worker(name, padded)])
    assert is_whole(name, adapter, [worker(name, rounded)])


@pytest.mark.parametrize("damage", [lambda t: t * 1.01, lambda t: -t, lambda t: t[::-1], lambda t: np.roll(t, 1, 1)])
def test_a_tensor_of_another_scale_sign_or_order_is_not(adapter, damage):
    name, values = scaled(adapter)
    assert not is_whole(name, adapter, [worker(name, damage(values))])


def test_shards_of_several_workers_have_the_whole_s_norm(adapter):
    name, values = scaled(adapter)
    halves = np.split(values, 2)
    assert is_whole(name, adapter, [worker(name, half) for half in halves])
    assert not is_whole(name, adapter, [worker(name, halves[0])])


def scaled(adapter):
    name = next(name for name in adapter.tensors if "lora_B" in name)
    values = load_file(adapter.directory / "adapter_model.safetensors")[name]
    return name, values * np.float32(adapter.manifest.adapter.alpha / adapter.manifest.adapter.rank)
