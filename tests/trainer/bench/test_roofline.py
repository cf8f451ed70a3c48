"""The modelled step: sums that can be done by hand, limits that hold, and the page that shows it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from trainer.bench.abba import read_config
from trainer.bench.command import main
from trainer.bench.roofline import CHANGES, Gpu, Part, Ways, changes, decoder_parameters, mfu, step_seconds, table
from trainer.model.base_shape import read_architecture, read_shape

CONFIGS = {name: Path(f"configs/bench/llama3_8b_{name}.yaml") for name in ("4096", "commonsense")}


def test_parameters_are_those_of_the_models_own_decoder_layers():
    shape = read_shape(read_architecture(Path("configs/architectures/meta-llama--Meta-Llama-3-8B.json")))
    linear = sum(module.inputs * module.outputs for module in shape.linear)
    assert decoder_parameters(read_config(CONFIGS["4096"])) == linear


def test_a_part_takes_the_longer_of_computing_and_moving():
    gpu = Gpu(operations=100, bytes=10, reached=0.5, streamed=1)
    assert (Part(100, 1, 1).seconds(gpu), Part(1, 100, 1).seconds(gpu)) == (2, 10)


@pytest.mark.parametrize("name", CONFIGS)
def test_no_change_makes_a_step_longer_and_no_step_beats_the_peak(name):
    steps = changes(read_config(CONFIGS[name]))
    assert len(steps) == 1 + len(CHANGES)
    seconds = [second for _, second, _ in steps]
    assert seconds == sorted(seconds, reverse=True)
    assert all(0 < share < Gpu().reached for _, _, share in steps)


def test_a_slow_host_is_what_a_step_takes_where_it_is_slower_than_the_gpu():
    bench = read_config(CONFIGS["commonsense"])
    slow = replace(Gpu(), launch=1e-3)
    assert step_seconds(bench, Ways(), slow) > 1.4 * step_seconds(bench, Ways(fused=True), slow) > 1


def test_padding_is_no_use_of_the_peak():
    bench = read_config(CONFIGS["commonsense"])
    assert mfu(bench, 0.1) == pytest.approx(4 * 6.979321856e9 * 2015.5 / 0.1 / 989e12, rel=0.05)


@pytest.mark.parametrize("name", CONFIGS)
def test_the_page_shows_what_the_command_prints(name, capsys):
    assert main([str(CONFIGS[name]), "--roofline"]) == 0
    printed = capsys.readouterr().out.strip()
    assert printed == table(read_config(CONFIGS[name]))
    assert printed in Path("docs/benchmarks.md").read_text()
