"""The server in words, for its attestations."""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path

from schemas.serving.serving_attestation import ServerRecord
from serving.engine.vllm_process import ServedWeights, on_cpu, versions, vllm_version


def server_record(weights: ServedWeights) -> ServerRecord:
    """The server in words."""
    return ServerRecord(
        vllm=vllm_version(),
        dtype=weights.dtype,
        max_lora_rank=weights.max_lora_rank or None,
        max_loras=weights.max_loras or None,
        device=device_name(),
        platform=platform.platform(),
        versions=versions(),
    )


def device_name() -> str:
    """Name of the GPU, or of the processor where vLLM is the CPU build."""
    if not on_cpu():
        query = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
        try:
            return subprocess.run(query, capture_output=True, text=True, check=True).stdout.strip().replace("\n", ", ")
        except (OSError, subprocess.CalledProcessError):
            return "unknown accelerator"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
