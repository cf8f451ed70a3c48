"""Workloads take the share and the length they are given."""

from __future__ import annotations

import pytest
import torch

from schemas.training.training_bench import BenchConfig, Workload
from trainer.bench.arms import bench_base
from trainer.bench.workload import bench_examples, supervised_share, with_length, with_share


def test_the_default_workload_is_one_that_two_cores_time_in_minutes() -> None:
    bench = BenchConfig()
    with torch.device("meta"):
        parameters = sum(p.numel() for p in bench_base(bench.model, "float32", torch.device("meta")).parameters())
    examples = bench_examples(bench.workload, bench.model.vocabulary)
    assert 50e6 <= parameters <= 100e6
    assert bench.model.vocabulary == 32000
    assert max(map(len, examples)) == 128
    assert supervised_share(examples) <= 0.08
    assert bench.echo.routing.start == bench.echo.routing.end == 1.0


@pytest.mark.parametrize("share", [0.02, 0.1, 0.3, 0.6])
def test_a_workload_takes_the_share_it_is_given(share: float) -> None:
    workload = with_share(Workload(), share)
    examples = bench_examples(workload, 100)
    assert max(map(len, examples)) <= 128
    assert supervised_share(examples) == pytest.approx(share, rel=0.25)


@pytest.mark.parametrize("length", [64, 256, 512])
def test_a_longer_workload_has_as_many_tokens_per_step(length: int) -> None:
    workload = with_length(Workload(), length)
    assert workload.prompt_tokens[1] + workload.answer_tokens[1] == length
    assert workload.batch_size * length == 16 * 128
