"""A base model is known by what it computes, not by where it lies or how it was saved."""

import hashlib
import json
import os

import pytest

from schemas.base.base_model import (
    BaseIdentity,
    chat_template_fingerprint,
    config_fingerprint,
    identity_of_base,
    weights_fingerprint,
)
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


@pytest.fixture
def snapshot(base, tmp_path):
    """A hub cache as huggingface_hub lays it out: links into blobs that are named by the hash of their bytes."""
    blobs = tmp_path / "models--org--name" / "blobs"
    directory = blobs.parent / "snapshots" / ("0" * 40)
    for folder in (blobs, directory):
        folder.mkdir(parents=True)
    blob = blobs / hashlib.sha256(b"weights").hexdigest()
    blob.write_bytes(b"weights")
    (directory / "model.safetensors").symlink_to(f"../../blobs/{blob.name}")
    return directory


def test_a_hub_cache_gives_the_fingerprint_of_its_files(base, snapshot):
    assert weights_fingerprint(snapshot) == weights_fingerprint(base)


def test_a_file_that_is_only_named_like_the_right_hash_is_not_believed(base, snapshot):
    (snapshot / "model.safetensors").resolve().write_bytes(b"evil!!!")
    assert weights_fingerprint(snapshot) != weights_fingerprint(base)


def test_a_link_out_of_the_cache_is_read_too(base, tmp_path):
    before = weights_fingerprint(base)
    target = tmp_path / "elsewhere" / hashlib.sha256(b"weights").hexdigest()
    target.parent.mkdir()
    target.write_bytes(b"evil!!!")
    (base / "model.safetensors").unlink()
    (base / "model.safetensors").symlink_to(target)
    assert weights_fingerprint(base) != before


def test_a_write_that_sets_the_clock_back_is_seen(base):
    weights = base / "model.safetensors"
    before, status = weights_fingerprint(base), weights.stat()
    weights.write_bytes(b"weighty")
    os.utime(weights, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert weights_fingerprint(base) != before


def test_quantised_storage_is_another_base(base):
    before = config_fingerprint(base)
    rewrite(base, quantization_config={"quant_method": "bitsandbytes", "load_in_4bit": True})
    assert config_fingerprint(base) != before


TOKENIZER = {"model": {"vocab": {"a": 0, "b": 1}}}
TEMPLATE = "{{ strftime_now('%d %b %Y') }}{% for message in messages %}{{ message.content }}{% endfor %}"


@pytest.fixture
def whole_base(base):
    """With everything that has a part in the identity."""
    (base / "tokenizer.json").write_text(json.dumps(TOKENIZER))
    (base / "tokenizer_config.json").write_text(json.dumps({"eos_token": "b", "padding_side": "left"}))
    (base / "chat_template.jinja").write_text(TEMPLATE)
    (base / "generation_config.json").write_text(json.dumps({"eos_token_id": 1, "transformers_version": "5"}))
    return base


@pytest.mark.parametrize(
    ("file", "content", "part"),
    [
        ("config.json", json.dumps({"hidden_size": 64}), "configuration"),
        ("model.safetensors", "weighty", "weights"),
        ("tokenizer.json", json.dumps({"model": {"vocab": {"a": 1, "b": 0}}}), "tokenizer"),
        ("tokenizer_config.json", json.dumps({"eos_token": "a"}), "tokenizer"),
        ("added_tokens.json", json.dumps({"<tool>": 2}), "tokenizer"),
        ("chat_template.jinja", "CHANGED", "chat template"),
        ("generation_config.json", json.dumps({"eos_token_id": 1, "repetition_penalty": 1.3}), "generation config"),
        ("generation_config.json", json.dumps({"eos_token_id": [1, 7]}), "generation config"),
    ],
)
def test_a_change_is_called_by_the_part_that_changed(whole_base, file, content, part):
    before = identity_of_base(whole_base)
    (whole_base / file).write_text(content)
    assert list(before.changes(identity_of_base(whole_base))) == [part]


def test_what_says_how_files_were_saved_changes_nothing(whole_base):
    before = identity_of_base(whole_base)
    (whole_base / "tokenizer_config.json").write_text(json.dumps({"padding_side": "right", "eos_token": "b"}))
    (whole_base / "generation_config.json").write_text('{"use_cache": false, "eos_token_id": 1, "top_k": null}')
    assert before.changes(identity_of_base(whole_base)) == {}


def test_a_template_is_the_same_in_its_own_file_and_in_the_tokenizers(whole_base):
    before = identity_of_base(whole_base)
    (whole_base / "chat_template.jinja").unlink()
    assert list(before.changes(identity_of_base(whole_base))) == ["chat template"]
    inline = {"eos_token": "b", "chat_template": TEMPLATE}
    (whole_base / "tokenizer_config.json").write_text(json.dumps(inline))
    assert before.changes(identity_of_base(whole_base)) == {}


def test_every_named_template_counts(whole_base):
    before = chat_template_fingerprint(whole_base)
    (whole_base / "additional_chat_templates").mkdir()
    (whole_base / "additional_chat_templates" / "tool_use.jinja").write_text("tools")
    assert chat_template_fingerprint(whole_base) != before


def test_a_part_that_was_never_recorded_is_unknown_and_not_changed(whole_base):
    now = identity_of_base(whole_base)
    old = BaseIdentity(config_sha256=now.config_sha256, weights_sha256=now.weights_sha256)
    assert old.changes(now) == {}
    assert old.unknown() == ["tokenizer", "chat template", "generation config"]
    assert now.unknown() == []


@pytest.mark.parametrize("file", ["tokenizer_config.json", "generation_config.json"])
@pytest.mark.parametrize("content", ["{", "[]", "[" * 100_000, "9" * 5000])
def test_a_damaged_part_is_an_error_that_names_its_file(whole_base, file, content):
    (whole_base / file).write_text(content)
    with pytest.raises(UserError, match=file):
        identity_of_base(whole_base)


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
