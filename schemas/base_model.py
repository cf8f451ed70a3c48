"""Fingerprints of a base model, so that an adapter is only ever put on the base it was trained for."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

from schemas.document import sha256_of
from schemas.errors import UserError

# Keys of config.json that say how a model was saved or is run, not what it computes.
_INCIDENTAL = {
    "_name_or_path", "architectures_version", "dtype", "torch_dtype", "transformers_version", "use_cache",
    "_attn_implementation", "attn_implementation", "quantization_config", "pad_token_id",
}  # fmt: skip
_SHA256 = re.compile(r"^[0-9a-f]{64}$")


def read_config(directory: Path) -> dict[str, object]:
    """The base's config.json.

    Raises:
        UserError: it is missing or not a JSON object.
    """
    path = directory / "config.json"
    try:
        config = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise UserError("no model found: config.json is missing", where=directory, fix="check base.model") from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UserError(f"the model's config.json is not JSON: {error}", where=path) from None
    if not isinstance(config, dict):
        raise UserError("the model's config.json is not an object", where=path)
    return config


def config_fingerprint(directory: Path) -> str:
    """sha256 over what config.json says about the computation, in canonical JSON."""
    relevant = {key: value for key, value in read_config(directory).items() if key not in _INCIDENTAL}
    return hashlib.sha256(json.dumps(relevant, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def weights_fingerprint(directory: Path) -> str:
    """sha256 over the names and hashes of the weight files.

    A hub cache names each large file by its sha256, so there the files themselves need not be read again.

    Raises:
        UserError: the directory has no safetensors weights (pickled weights are not read).
    """
    files = sorted(directory.glob("*.safetensors"))
    if not files:
        raise UserError(
            "the model has no safetensors weights",
            where=directory,
            fix="convert it with save_pretrained; .bin files are not read",
        )
    digest = hashlib.sha256()
    for file in files:
        blob = file.resolve().name
        named_by_hash = file.is_symlink() and _SHA256.match(blob)
        digest.update(f"{file.name}\0{blob if named_by_hash else sha256_of(file)}\n".encode())
    return digest.hexdigest()
