"""A bench that takes seconds."""

from __future__ import annotations

from pathlib import Path

import pytest

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
