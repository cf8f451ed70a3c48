"""What a step frees, the next one finds again without a page fault."""

from __future__ import annotations

import subprocess
import sys

import pytest

_FEWEST_FAULTS_OF_A_TENSOR = """
import resource, sys
import torch
from trainer.allocator import keep_freed_memory
if sys.argv[1] == "kept":
    keep_freed_memory()
faults = [resource.getrusage(resource.RUSAGE_SELF).ru_minflt]
for _ in range(6):
    torch.ones(25_000_000)
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
print(min(after - before for before, after in zip(faults, faults[1:])))
"""


def fewest_faults(how: str) -> int:
    command = [sys.executable, "-c", _FEWEST_FAULTS_OF_A_TENSOR, how]
    return int(subprocess.run(command, capture_output=True, check=True).stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="mallopt is glibc's")
def test_freed_memory_is_kept() -> None:
    pages = 100_000_000 // 4096
    assert fewest_faults("given back") > pages // 2
    assert fewest_faults("kept") < pages // 100
