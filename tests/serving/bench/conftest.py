"""Two adapters of one shape and a third of another, and a finished measurement."""

import math

import pytest

from serving.bench.load import BlockSpeed
from serving.bench.rounds import Measurements


@pytest.fixture(scope="session")
def twins(tmp_path_factory, tiny_base, adapter_runs):
    """Two adapters of one shape, and one of another rank."""
    root = tmp_path_factory.mktemp("twins")
    shape = adapter_runs.AdapterShape
    shapes = {"echo": shape(method="echo_lora"), "plain": shape(seed=1), "wide": shape(rank=8, seed=2)}
    return {name: adapter_runs.write_adapter_run(root / name, tiny_base, s) for name, s in shapes.items()}


@pytest.fixture(scope="session")
def measurements():
    """Makes rounds whose control differs by alternating noise, and whose candidate is slower by a factor."""

    def make(candidate=1.0, rounds=12, noise=0.01):
        into = Measurements()
        factors = {"candidate": candidate, "baseline": 1.0, "control": 1.0}
        for variant, factor in factors.items():
            wobble = [factor * math.exp(noise * (-1) ** i * (variant != "baseline")) for i in range(rounds)]
            into.blocks[1, variant] = [(BlockSpeed(w, w, w), BlockSpeed(w, w, w)) for w in wobble]
        return into

    return make
