"""What this machine has, and that a run it cannot hold is refused before it costs anything."""

import pytest
import torch

from schemas.errors import UserError
from schemas.training.train_config import TrainConfig
from trainer.plan.hardware import free_disk, memory_of, refuse_shortages, shortages, size, training_device
from trainer.plan.memory_estimate import Footprint

GIB = 2**30
CONFIG = TrainConfig.parse(
    {"name": "x", "method": "lora", "base": {"model": "x"}, "data": {"train": ["x.json"]}, "training": {"device": "cpu"}},
    where="here",
)  # fmt: skip


def needs(memory: dict[str, int], disk: int) -> Footprint:
    return Footprint(adapter_parameters=1, echo_parameters=0, memory=memory, disk={"adapter": disk})


def test_sizes_are_written_for_people():
    assert [size(5 * 2**20), size(3 * GIB)] == ["5.0 MiB", "3.00 GiB"]


def test_a_directory_that_is_not_there_yet_has_the_disk_of_its_parent(tmp_path):
    assert free_disk(tmp_path / "not" / "yet") == pytest.approx(free_disk(tmp_path), rel=0.01)


def test_a_run_that_this_machine_cannot_hold_is_refused_with_both_figures():
    too_much = needs({"base weights": memory_of(torch.device("cpu")) + GIB}, 10**18)
    assert len(shortages(CONFIG, too_much)) == 2
    with pytest.raises(UserError, match=r"too small for the run: weights, gradients and moments take .*; adapter"):
        refuse_shortages(CONFIG, too_much)


def test_activations_are_estimates_and_forbid_nothing():
    refuse_shortages(CONFIG, needs({"activations (16 x 256 tokens)": 10**18}, 0))


def test_auto_takes_a_gpu_where_there_is_one():
    assert training_device("cpu").type == "cpu"
    assert training_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
