from __future__ import annotations

import hashlib
from pathlib import Path
from types import ModuleType

import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from schemas.errors import UserError
from schemas.prompt import COMMONSENSE_170K
from schemas.training.train_config import TrainConfig
from trainer.data.dataset import data_record, load_training_data


@pytest.fixture(scope="module")
def tokenizer(tiny_base: Path) -> PreTrainedTokenizerBase:
    loaded: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(tiny_base)
    return loaded


@pytest.fixture
def config(tmp_path: Path, tiny_base: Path, records: list[dict[str, str]], training_runs: ModuleType) -> TrainConfig:
    made: TrainConfig = training_runs.make_config(tmp_path, tiny_base, records)
    return made


def with_data(config: TrainConfig, **changes: object) -> TrainConfig:
    return config.model_copy(update={"data": config.data.model_copy(update=changes)})


def test_validation_rows_are_drawn_from_the_seed_and_never_trained_on(
    config: TrainConfig, tokenizer: PreTrainedTokenizerBase
) -> None:
    data = load_training_data(config, tokenizer, quiet=True)
    again = load_training_data(config, tokenizer, quiet=True)
    other = load_training_data(config.model_copy(update={"seed": 1}), tokenizer, quiet=True)
    assert (len(data.train), len(data.validation)) == (60, 4)
    assert not set(data.train) & set(data.validation)
    assert data.validation == again.validation != other.validation


def test_holding_everything_out_is_refused(config: TrainConfig, tokenizer: PreTrainedTokenizerBase) -> None:
    with pytest.raises(UserError, match="leaves none to train on"):
        load_training_data(with_data(config, validation_rows=64), tokenizer, quiet=True)


def test_the_record_names_sources_template_and_counts(config: TrainConfig, tokenizer: PreTrainedTokenizerBase) -> None:
    data = load_training_data(config, tokenizer, quiet=True)
    record = data_record(data, config.data, tokenizer)
    assert (record.train_rows, record.validation_rows, record.supervised_tokens) == (60, 4, 60 * 7)
    assert record.sources[0].sha256 == data.sources[0].sha256
    assert record.template_sha256 == COMMONSENSE_170K.sha256


def test_a_chats_template_is_known_by_its_text(config: TrainConfig, tokenizer: PreTrainedTokenizerBase) -> None:
    data = load_training_data(config, tokenizer, quiet=True)
    record = data_record(data, with_data(config, format="messages").data, tokenizer)
    assert record.template == "chat"
    assert record.template_sha256 == hashlib.sha256(tokenizer.chat_template.encode()).hexdigest()
