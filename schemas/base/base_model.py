"""What a base model is known by, so that an adapter is only ever put on the base it was trained for.

Everything that decides how a base answers is hashed from the bytes that are read: its architecture, weights, tokenizer,
chat template and generation settings. A template counts as text, never as what it prints: one that prints today's date
is tomorrow the same template.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from schemas.document import Section, Sha256, sha256_of
from schemas.errors import UserError
from schemas.storage.json_files import read_json

# Keys of config.json that say how a model was saved or is run, not what it computes.
_INCIDENTAL = {
    "_name_or_path", "architectures_version", "dtype", "torch_dtype", "transformers_version", "use_cache",
    "_attn_implementation", "attn_implementation", "pad_token_id",
}  # fmt: skip
# Of tokenizer_config.json: the template has an identity of its own, and padding is masked everywhere.
_INCIDENTAL_TO_TOKENS = {"chat_template", "name_or_path", "padding_side", "transformers_version", "local_files_only"}
# Of generation_config.json: what is returned beside the tokens, and how fast.
_INCIDENTAL_TO_GENERATION = {
    "_from_model_config", "transformers_version", "use_cache", "cache_implementation", "output_attentions",
    "output_hidden_states", "output_scores", "output_logits", "return_dict_in_generate", "pad_token_id",
}  # fmt: skip
_TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer.model", "spiece.model", "vocab.json", "merges.txt", "vocab.txt", "added_tokens.json",
    "special_tokens_map.json",
)  # fmt: skip


class BaseIdentity(Section):
    """What decides how a base model answers. None: recorded by a release that did not look at this part."""

    config_sha256: Sha256
    """Hash over the architecture (`config_fingerprint`)."""
    weights_sha256: Sha256
    """Hash over the weight files (`weights_fingerprint`)."""
    tokenizer_sha256: Sha256 | None = None
    """Hash over the tokenizer's files (`tokenizer_fingerprint`)."""
    chat_template_sha256: Sha256 | None = None
    """Hash over the text of the chat template, empty where there is none (`chat_template_fingerprint`)."""
    generation_config_sha256: Sha256 | None = None
    """Hash over the generation settings that lie beside the base (`generation_config_fingerprint`)."""

    def changes(self, now: BaseIdentity) -> dict[str, tuple[str, str]]:
        """The parts, in words, that are known on both sides and differ: each with the hash here and the hash now."""
        pairs = {words: (getattr(self, field), getattr(now, field)) for field, words in _PARTS.items()}
        return {words: pair for words, pair in pairs.items() if None not in pair and pair[0] != pair[1]}

    def unknown(self) -> list[str]:
        """The parts, in words, that were not recorded."""
        return [words for field, words in _PARTS.items() if getattr(self, field) is None]


_PARTS = {
    "config_sha256": "configuration",
    "weights_sha256": "weights",
    "tokenizer_sha256": "tokenizer",
    "chat_template_sha256": "chat template",
    "generation_config_sha256": "generation config",
}


def identity_of_base(directory: Path) -> BaseIdentity:
    """Every part of the base in the directory.

    Raises:
        UserError: there is no model, its weights are no safetensors, or a file cannot be read.
    """
    return BaseIdentity(
        config_sha256=config_fingerprint(directory),
        weights_sha256=weights_fingerprint(directory),
        tokenizer_sha256=tokenizer_fingerprint(directory),
        chat_template_sha256=chat_template_fingerprint(directory),
        generation_config_sha256=generation_config_fingerprint(directory),
    )


def read_config(directory: Path) -> dict[str, object]:
    """The base's config.json.

    Raises:
        UserError: it is missing or not a JSON object.
    """
    config = _read_object(directory / "config.json")
    if config is None:
        raise UserError("no model found: config.json is missing", where=directory, fix="check base.model")
    return config


def config_fingerprint(directory: Path) -> str:
    """sha256 over what config.json says about the computation, in canonical JSON."""
    return _canonical(read_config(directory), without=_INCIDENTAL)


def weights_fingerprint(directory: Path) -> str:
    """sha256 over the names and hashes of the weight files.

    Each file is read whole, once in a process: a link's name says what somebody wanted it to be taken for, and only the
    bytes say what it is. Some ten seconds for a base of 7 billion parameters.

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
    return _sha256("".join(f"{file.name}\0{_sha256_of_unchanged(file)}\n" for file in files))


def has_tokenizer(directory: Path) -> bool:
    """Whether any of a tokenizer's files is there."""
    return any((directory / name).is_file() for name in (*_TOKENIZER_FILES, "tokenizer_config.json"))


def tokenizer_fingerprint(directory: Path) -> str:
    """sha256 over the files that decide how text becomes tokens; the chat template is not among them."""
    present = [directory / name for name in _TOKENIZER_FILES if (directory / name).is_file()]
    settings = _canonical(_read_object(directory / "tokenizer_config.json") or {}, without=_INCIDENTAL_TO_TOKENS)
    return _sha256("".join(f"{file.name}\0{_sha256_of_unchanged(file)}\n" for file in present) + settings)


def chat_template_fingerprint(directory: Path) -> str:
    """sha256 over the template's text; over the names and texts where there are several."""
    templates = chat_templates(directory)
    return _sha256(
        json.dumps(templates, sort_keys=True) if set(templates) - {"default"} else templates.get("default", "")
    )


def chat_templates(directory: Path) -> dict[str, str]:
    """Name and text of every chat template, where transformers looks for them: files first, else tokenizer_config.json."""
    files = {"default": directory / "chat_template.jinja"} | {
        path.stem: path for path in sorted((directory / "additional_chat_templates").glob("*.jinja"))
    }
    found = {name: _read_text(path) for name, path in files.items() if path.is_file()}
    if "default" in found:
        return found
    inline = (_read_object(directory / "tokenizer_config.json") or {}).get("chat_template")
    if isinstance(inline, list):
        return {
            str(entry.get("name")): str(entry.get("template")) for entry in inline if isinstance(entry, dict)
        } | found
    return found if inline is None else {"default": str(inline)} | found


def generation_config_fingerprint(directory: Path) -> str:
    """sha256 over generation_config.json: its stop tokens end answers, and its sampling settings are servers' defaults."""
    settings = _read_object(directory / "generation_config.json") or {}
    given = {key: value for key, value in settings.items() if value is not None}
    return _canonical(given, without=_INCIDENTAL_TO_GENERATION)


def _read_object(path: Path) -> dict[str, object] | None:
    """A JSON object; None without the file."""
    if not path.exists():
        return None
    data = read_json(path, f"model's {path.name}", any_number=True)
    if not isinstance(data, dict):
        raise UserError(f"the model's {path.name} is not an object", where=path)
    return data


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"the chat template cannot be read: {error}", where=path) from None


def _canonical(settings: Mapping[str, object], *, without: set[str]) -> str:
    relevant = {key: value for key, value in settings.items() if key not in without}
    return _sha256(json.dumps(relevant, sort_keys=True, separators=(",", ":")))


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _sha256_of_unchanged(path: Path) -> str:
    """The file's hash, computed once for the bytes that lie there; any write to a file moves its ctime."""
    status = path.stat()
    return _sha256_at(
        path.resolve(), status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
    )


@functools.lru_cache(maxsize=4096)
def _sha256_at(path: Path, *state: int) -> str:
    return sha256_of(path)
