"""Peak memory is one arm's, in a process of its own."""

from __future__ import annotations

from pathlib import Path

from trainer.bench.abba import read_config


def test_peak_memory_is_taken_in_a_process_of_its_own(tiny_config: Path, tmp_path: Path) -> None:
    from trainer.bench.abba import peak_memory

    config = read_config(tiny_config).write(tmp_path / "bench.json")
    assert 1 << 20 < peak_memory("lora", config) < 1 << 31
