"""Buffers do not lie: the tensors of a slot are read back by their names in the adapter file."""

from types import SimpleNamespace

import pytest
import torch

from serving.engine.worker_extension import AppliedTensors


@pytest.fixture
def worker():
    """A worker with three slots: adapters 7 and 8, and a free one; one packed module."""
    a, b = torch.zeros(3, 1, 4, 6), torch.zeros(3, 1, 6, 4)
    a[0], b[0] = 1.0, 2.0
    module = SimpleNamespace(lora_a_stacked=(a, a.clone()), lora_b_stacked=(b, b.clone()))
    manager = SimpleNamespace(
        lora_index_to_id=[7, 8, None], modules={"m.qk": module}, packed_modules={"m.qk": ["m.q", "m.k"]}
    )
    worker = AppliedTensors()
    worker.model_runner = SimpleNamespace(lora_manager=SimpleNamespace(_adapter_manager=manager))
    return worker, module


def test_the_tensors_of_a_slot_are_read_back_by_their_names_in_the_file(worker):
    found = worker[0].applied_lora_tensors(7)
    assert set(found["norms"]) == {f"base_model.model.m.{part}.lora_{side}.weight" for part in "qk" for side in "AB"}
    assert found["in_free_slots"] == worker[0].applied_lora_tensors(8)["in_free_slots"] == []
    assert worker[0].applied_lora_tensors(8)["norms"] == {} == worker[0].applied_lora_tensors(9)["norms"]


def test_what_lies_in_a_free_slot_is_named(worker):
    worker[1].lora_b_stacked[1][2, 0, 5, 3] = 1e-3
    assert worker[0].applied_lora_tensors(7)["in_free_slots"] == ["base_model.model.m.k.lora_B.weight"]
