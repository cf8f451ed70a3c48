"""The buffers that vLLM keeps adapters in are as narrow as they can be, and one slot stays empty where that is needed."""

import subprocess
import sys

import pytest

from schemas.vllm_ranks import ALLOWED_MAX_RANKS
from serving.engine.lora_limits import adapter_slots


@pytest.mark.vllm
def test_the_widths_are_those_of_the_installed_vllm():
    code = "import typing, vllm.config.lora as l; print('RANKS', *typing.get_args(l.MaxLoRARanks))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert f"RANKS {' '.join(map(str, ALLOWED_MAX_RANKS))}" in out


def test_the_cpu_build_gets_a_slot_that_stays_empty():
    assert adapter_slots(2, cpu=True) == 3
    assert adapter_slots(2, cpu=False) == 2
