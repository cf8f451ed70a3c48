"""What a step frees, the next one finds again without a page fault, and the process does not grow by it."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="mallopt is glibc's")

_MEBIBYTE = 2**20

_STEPS = """
import resource, sys
import psutil
import torch
from trainer.loop.malloc import keep_freed_memory
how, figure, block, blocks = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
if how == "kept":
    keep_freed_memory()
figures = []
for _ in range(40):
    step = [torch.ones(block // 4 + 1000 * index) for index in range(blocks)]
    del step
    if figure == "faults":
        figures.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
    else:
        figures.append(psutil.Process().memory_info().rss)
print(figures[-1] - figures[-11])
"""


def rise(how: str, figure: str, *, block: int, blocks: int) -> int:
    """By how much page faults or resident bytes rise over the last 10 of 40 steps that fill blocks of so many bytes."""
    command = [sys.executable, "-c", _STEPS, how, figure, str(block), str(blocks)]
    return int(subprocess.run(command, capture_output=True, check=True).stdout)


def test_freed_memory_is_kept() -> None:
    block, blocks = 2 * _MEBIBYTE, 40
    pages = 10 * blocks * block // 4096
    assert rise("given back", "faults", block=block, blocks=blocks) > pages // 4
    assert rise("kept", "faults", block=block, blocks=blocks) < pages // 100


@pytest.mark.parametrize("block", [2 * _MEBIBYTE, 20 * _MEBIBYTE, 100 * _MEBIBYTE])
def test_the_process_does_not_grow(block: int) -> None:
    assert rise("kept", "resident", block=block, blocks=3) <= block
