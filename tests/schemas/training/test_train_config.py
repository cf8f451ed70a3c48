"""A training config is right as a whole, or every fault is named."""

import pytest

from schemas.errors import UserError
from schemas.training.train_config import TrainConfig


def config(**changes):
    data = {"name": "run", "method": "lora", "base": {"model": "base"}, "data": {"train": [{"path": "a.json"}]}}
    return TrainConfig.parse(data | changes, where="x.yaml")


@pytest.mark.parametrize("method", ["lora", "dora", "echo_lora", "echo_dora"])
def test_one_file_serves_all_four_methods(method):
    assert config(method=method, echo={}).use_dora == method.endswith("dora")


@pytest.mark.parametrize("method", ["echo_lora", "echo_dora"])
def test_an_echo_method_needs_its_section(method):
    with pytest.raises(UserError, match="needs an `echo:` section"):
        config(method=method)


def test_the_echo_path_belongs_to_echo_methods_alone():
    assert config(method="lora", echo={}).echo_path is None
    assert config(method="echo_lora", echo={"bottleneck": 8}).echo_path.bottleneck == 8


def test_each_method_may_have_its_own_learning_rate():
    shared = {"training": {"learning_rate": {"lora": 3e-4, "dora": 1e-4}}}
    assert config(**shared).training.rate_of("lora") == 3e-4
    with pytest.raises(UserError, match="no entry for method echo_lora"):
        config(method="echo_lora", echo={}, **shared)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"metod": "lora"}, "metod: unknown key"),
        ({"adapter": {"target_modules": ["q_proj", "v_proj", "q_proj"]}}, "each module once"),
        ({"method": "qlora"}, "method: Input should be 'lora', 'dora', 'echo_lora' or 'echo_dora'"),
        ({"name": "../escape"}, "name: String should match"),
        ({"data": {"train": []}}, "data.train: "),
        ({"data": {"train": [{"path": "a"}], "template": "chat"}}, "format: messages"),
        ({"echo": {"source_layers": [3, 3]}}, "echo.source_layers: name at least one layer, each once"),
        ({"echo": {"target_layers": []}}, "echo.target_layers: name at least one layer"),
        ({"echo": {"routing": {"start": 1.5}}}, "echo.routing.start: "),
        ({"adapter": {"rank": 0}}, "adapter.rank: "),
        ({"adapter": {"dropout": 1}}, "adapter.dropout: "),
        ({"training": {"batch_size": 16, "micro_batch_size": 5}}, "not a multiple of training.micro_batch_size"),
        ({"training": {"learning_rate": "fast"}}, "training.learning_rate"),
    ],
)
def test_a_fault_names_its_key(changes, message):
    with pytest.raises(UserError) as fault:
        config(**changes)
    assert message in str(fault.value)


def test_the_hash_follows_every_setting():
    assert config().sha256() == config().sha256()
    assert config().sha256() != config(seed=1).sha256()
