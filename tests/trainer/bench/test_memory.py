"""Peak memory is one arm's, in a process of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from trainer.bench.abba import read_config

TINY = """
device: cpu
model: {hidden_size: 32, intermediate_size: 64, layers: 2, heads: 2, key_value_heads: 1, vocabulary: 200}
workload: {batch_size: 2, prompt_tokens: [10, 14], answer_tokens: [2, 3]}
adapter: {rank: 4, alpha: 8, dropout: 0}
rounds: 1
steps_per_visit: 1
sweep: {supervised_shares: [0.3], lengths: [32], rounds: 1, arms: [lora, echo_lora]}
"""


@pytest.fixture
def tiny_config(tmp_path: Path) -> Path:
    path = tmp_path / "bench.yaml"
    path.write_text(TINY)
    return path


def test_peak_memory_is_taken_in_a_process_of_its_own(tiny_config: Path, tmp_path: Path) -> None:
    from trainer.bench.abba import peak_memory

    config = read_config(tiny_config).write(tmp_path / "bench.json")
    assert 1 << 20 < peak_memory("lora", config) < 1 << 31
