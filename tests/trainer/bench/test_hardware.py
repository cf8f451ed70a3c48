"""The machine of a bench: what its figures are relative to."""

import pytest
import torch

from schemas.errors import UserError
from schemas.training.training_bench import BenchConfig
from trainer.bench.hardware import bench_device, machine_facts


def test_a_peak_that_the_config_names_is_taken_at_its_word():
    facts = machine_facts(BenchConfig(peak_flops=1e12), torch.device("cpu"))
    assert (facts.peak_flops, facts.peak_source) == (1e12, "the config")
    assert facts.threads == torch.get_num_threads()
    assert set(facts.versions) == {"torch", "transformers", "peft"}


def test_elsewhere_a_large_product_is_measured():
    facts = machine_facts(BenchConfig(), torch.device("cpu"))
    assert facts.peak_flops > 1e8
    assert "products of 2048 x 2048" in facts.peak_source


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_gpu_that_is_not_there_is_refused():
    assert bench_device(BenchConfig()).type == "cpu"
    with pytest.raises(UserError, match="torch sees no GPU"):
        bench_device(BenchConfig(device="cuda"))
