"""The base under an adapter is the one it was trained on, down to the tokenizer."""

import json
import shutil
from functools import partial

import pytest

from schemas.base.base_model import identity_of_base
from schemas.errors import UserError
from schemas.training.adapter_manifest import AdapterManifest
from serving.verify.base import require_base, require_chat_template


@pytest.fixture
def base(tiny_base, tmp_path):
    return shutil.copytree(tiny_base, tmp_path / "base")


@pytest.fixture
def require(served_runs, base):
    run = served_runs[0]
    record = AdapterManifest.read(run.manifest).base
    return lambda **unknown: require_base(
        identity_of_base(base), record.model_copy(update=unknown), directory=base, wanted_by=run
    )


def edit_json(base, file, **changes):
    path = base / file
    path.write_text(json.dumps((json.loads(path.read_text()) if path.exists() else {}) | changes))


def flip_a_bit(base):
    data = bytearray((base / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (base / "model.safetensors").write_bytes(data)


def swap_two_tokens(base):
    path = base / "tokenizer.json"
    tokenizer = json.loads(path.read_text())
    vocabulary = tokenizer["model"]["vocab"]
    first, second = list(vocabulary)[5:7]
    vocabulary[first], vocabulary[second] = vocabulary[second], vocabulary[first]
    path.write_text(json.dumps(tokenizer))


CHANGES = {
    "configuration": partial(edit_json, file="config.json", rms_norm_eps=0.1),
    "weights": flip_a_bit,
    "tokenizer": swap_two_tokens,
    "chat template": lambda base: (base / "chat_template.jinja").write_text("CHANGED"),
    "generation config": partial(edit_json, file="generation_config.json", repetition_penalty=1.3),
}


def test_the_same_base_is_let_through(require):
    require()


@pytest.mark.parametrize("part", CHANGES)
def test_each_part_that_changed_is_named(require, base, part):
    CHANGES[part](base)
    with pytest.raises(UserError, match=f"what differs: {part} "):
        require()


def test_a_part_that_an_older_manifest_does_not_record_is_not_compared(require, base):
    swap_two_tokens(base)
    require(tokenizer_sha256=None)


def test_a_template_on_the_command_line_must_be_the_bases(base, tmp_path):
    given = tmp_path / "given.jinja"
    given.write_text("{{ messages }}")
    with pytest.raises(UserError, match="this is another one"):
        require_chat_template(str(given), identity_of_base(base))
    (base / "chat_template.jinja").unlink()
    require_chat_template(str(given), identity_of_base(base))


def test_a_template_file_that_is_not_there_is_refused(base):
    with pytest.raises(UserError, match="cannot be read"):
        require_chat_template(str(base / "none.jinja"), identity_of_base(base))
    require_chat_template(None, identity_of_base(base))
