"""A base model is known by what it computes, not by where it lies or how it was saved."""

import hashlib
import json

import pytest

from schemas.base_model import config_fingerprint, weights_fingerprint
from schemas.errors import UserError


@pytest.fixture
def base(tmp_path):
    (tmp_path / "config.json").write_text(
        json.dumps({"hidden_size": 32, "dtype": "float32", "transformers_version": "5"})
    )
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    return tmp_path


def rewrite(base, **changes):
    path = base / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_saving_details_do_not_change_a_base(base):
    before = config_fingerprint(base)
    rewrite(base, dtype="bfloat16", transformers_version="6", use_cache=False)
    assert config_fingerprint(base) == before


def test_an_architecture_change_does(base):
    before = config_fingerprint(base)
    rewrite(base, hidden_size=64)
    assert config_fingerprint(base) != before


def test_one_changed_weight_byte_does(base):
    before = weights_fingerprint(base)
    (base / "model.safetensors").write_bytes(b"weighty")
    assert weights_fingerprint(base) != before


def test_a_hub_cache_gives_the_fingerprint_of_its_files(base, tmp_path):
    blob = tmp_path / hashlib.sha256(b"weights").hexdigest()
    blob.write_bytes(b"weights")
    snapshot = tmp_path / "snapshot"
    snapshot.mkdir()
    (snapshot / "model.safetensors").symlink_to(blob)
    assert weights_fingerprint(snapshot) == weights_fingerprint(base)


@pytest.mark.parametrize("content", [None, "{", "[]"])
def test_a_directory_without_a_model_is_refused(tmp_path, content):
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    with pytest.raises(UserError, match=r"config\.json"):
        config_fingerprint(tmp_path)


def test_pickled_weights_are_not_weights(tmp_path):
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(UserError, match="no safetensors weights"):
        weights_fingerprint(tmp_path)
