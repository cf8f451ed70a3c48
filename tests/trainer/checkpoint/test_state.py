"""What a run is of: the identity that must be the same when it goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas.base.base_model import BaseIdentity
from schemas.errors import UserError
from trainer.checkpoint.resume import refuse_other_inputs
from trainer.checkpoint.state import CheckpointRecord, RunIdentity

ZEROS, ONES = "0" * 64, "1" * 64


def identity(**parts: str | None) -> RunIdentity:
    base = dict.fromkeys(BaseIdentity.model_fields, ZEROS) | parts
    return RunIdentity(config={"name": "x"}, data_sha256=(ZEROS,), base=BaseIdentity(**base))


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ("config_sha256", "configuration"),
        ("weights_sha256", "weights"),
        ("tokenizer_sha256", "tokenizer"),
        ("chat_template_sha256", "chat template"),
    ],
)
def test_a_run_does_not_go_on_with_another_base_or_other_tokens(part: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"the base model's {words} changed"):
        refuse_other_inputs(identity(), identity(**{part: ONES}), tmp_path)


def test_a_checkpoint_that_does_not_know_the_tokenizer_goes_on(tmp_path: Path) -> None:
    refuse_other_inputs(identity(tokenizer_sha256=None), identity(), tmp_path)


def test_a_checkpoint_of_the_first_version_knows_its_base_by_two_hashes() -> None:
    old = {
        "schema_version": "1",
        "files": {},
        "state": {
            "step": 3,
            "identity": {
                "config": {},
                "data_sha256": [ZEROS],
                "base_config_sha256": ZEROS,
                "base_weights_sha256": ONES,
            },
        },
    }
    base = CheckpointRecord.parse(old, where="checkpoint.json").state.identity.base
    assert base == BaseIdentity(config_sha256=ZEROS, weights_sha256=ONES)


@pytest.mark.parametrize("state", [None, [], {"identity": None}])
def test_a_damaged_record_of_the_first_version_is_refused(state: object) -> None:
    with pytest.raises(UserError, match="does not fit its schema"):
        CheckpointRecord.parse({"schema_version": "1", "files": {}, "state": state}, where="checkpoint.json")
