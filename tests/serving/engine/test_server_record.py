"""The server in words, as its attestation records it."""

import platform
from pathlib import Path

import pytest

from serving.engine.server_record import device_name, server_record
from serving.engine.vllm_process import ServedWeights

pytest.importorskip("vllm")


def test_merged_weights_have_no_adapter_buffers():
    record = server_record(ServedWeights(Path("merged"), "dora", "bfloat16", {}, 0, 0))
    assert (record.dtype, record.max_lora_rank, record.max_loras) == ("bfloat16", None, None)
    assert record.platform == platform.platform()


def test_the_versions_that_shape_an_answer_are_named():
    record = server_record(ServedWeights(Path("base"), "base", "float32", {"a": Path("a")}, 8, 2))
    assert set(record.versions) == {"python", "vllm", "torch", "transformers", "peft"}
    assert record.versions["vllm"] == record.vllm


def test_the_device_has_a_name():
    assert device_name().strip()
