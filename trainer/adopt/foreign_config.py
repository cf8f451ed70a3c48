"""adapter_config.json as PEFT, axolotl, LLaMA-Factory, unsloth, TRL and ms-swift write it: each key taken, or refused by name.

Nothing of it reaches PEFT but the fields of ForeignConfig: the file may name modules to import and code to run.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from schemas.document import describe
from schemas.errors import UserError
from schemas.storage.json_files import parse_json
from schemas.storage.plain_file import read_bounded

_MOST_BYTES = 1 << 20
_MERGE = "merge it into the base with PEFT's merge_and_unload, and take the result as a base"
_PLAIN_INITS = (True, False, "gaussian", "orthogonal", "eva", None)
# What says how an adapter was trained or stored, and nothing of what it computes.
_OF_NO_EFFECT = {
    "auto_mapping", "inference_mode", "revision", "peft_version", "runtime_config", "eva_config", "lora_dropout",
    "megatron_core", "qalora_group_size", "layers_pattern", "unsloth_fixed",
}  # fmt: skip
_REFUSED = {
    "modules_to_save": ("replaces whole modules of the base", _MERGE),
    "trainable_token_indices": ("trains embeddings of single tokens", _MERGE),
    "target_parameters": ("adapts parameters that are no linear module, such as experts", _MERGE),
    "layer_replication": ("repeats layers of the base", _MERGE),
    "alora_invocation_tokens": ("acts after certain tokens only (aLoRA)", "train a plain LoRA"),
    "lora_bias": ("has a bias beside A and B", _MERGE),
    "fan_in_fan_out": ("is of modules that store their weights transposed", _MERGE),
    "use_qalora": ("pools its inputs (QALoRA)", _MERGE),
}
# Groups that repeat, and many repetitions in a row, can keep Python's re busy for years on one name.
_REPEATED_GROUP = re.compile(r"\)\s*[*+{]")
_MOST_REPETITIONS = 5


class _Told(BaseModel):
    """The keys that are taken, with the types that they must have."""

    model_config = ConfigDict(extra="allow", allow_inf_nan=False, protected_namespaces=())

    peft_type: Literal["LORA"]
    task_type: Literal["CAUSAL_LM"] | None = None
    base_model_name_or_path: Annotated[str, Field(max_length=500)] | None = None
    peft_version: Annotated[str, Field(max_length=50)] | None = None
    r: Annotated[int, Field(ge=1, le=65_536, strict=True)]
    lora_alpha: Annotated[float, Field(gt=0, strict=True)]
    use_dora: Annotated[bool, Field(strict=True)] = False
    use_rslora: Annotated[bool, Field(strict=True)] = False
    rank_pattern: dict[str, Annotated[int, Field(ge=1, le=65_536, strict=True)]] | None = None
    alpha_pattern: dict[str, Annotated[float, Field(gt=0, strict=True)]] | None = None
    target_modules: list[str] | str | None = None
    exclude_modules: list[str] | str | None = None
    layers_to_transform: list[int] | int | None = None
    bias: Literal["none"] = "none"
    init_lora_weights: Any = True


@dataclass(frozen=True)
class ForeignConfig:
    """What is taken of another tool's adapter_config.json."""

    rank: int
    """r, where `rank_pattern` names no other."""
    alpha: float
    """lora_alpha, where `alpha_pattern` names no other."""
    use_dora: bool
    """Whether there are magnitudes."""
    use_rslora: bool
    """Whether the update is scaled by alpha / sqrt(r) instead of alpha / r."""
    rank_pattern: Mapping[str, int]
    """Ranks of modules, by name or pattern."""
    alpha_pattern: Mapping[str, float]
    """Alphas of modules, by name or pattern."""
    targets: tuple[str, ...] | None
    """Names that every adapted module ends with, and no other module; None where the config says it otherwise."""
    base_as_named: str | None
    """Its own name for the base."""
    peft_version: str | None
    """The PEFT that wrote it."""
    sha256: str
    """Hash of the file."""


def read_foreign_config(path: Path) -> ForeignConfig:
    """Reads and judges the file.

    Raises:
        UserError: it is no LoRA config, or asks for what a LoRA or DoRA of linear modules does not have, by its key.
    """
    raw = read_bounded(path, "adapter config", limit=_MOST_BYTES, fix="name the directory that holds the adapter")
    data = parse_json(raw, "adapter_config.json", where=path)
    try:
        told = _Told.model_validate(data)
    except ValidationError as error:
        raise UserError(
            f"adapter_config.json is of no adapter that can be adopted\n{describe(error)}",
            where=path,
            fix="adopted are LoRA and DoRA adapters of causal language models (peft_type LORA, bias none)",
        ) from None
    _refuse_what_is_no_plain_lora(told, path)
    patterns = (*(told.rank_pattern or {}), *(told.alpha_pattern or {}))
    _refuse_endless_patterns(patterns, path)
    by_list = isinstance(told.target_modules, list) and told.layers_to_transform is None and not told.exclude_modules
    return ForeignConfig(
        rank=told.r,
        alpha=told.lora_alpha,
        use_dora=told.use_dora,
        use_rslora=told.use_rslora,
        rank_pattern=told.rank_pattern or {},
        alpha_pattern=told.alpha_pattern or {},
        targets=tuple(told.target_modules) if by_list else None,  # type: ignore[arg-type]
        base_as_named=told.base_model_name_or_path,
        peft_version=told.peft_version,
        sha256=hashlib.sha256(raw).hexdigest(),
    )


def _refuse_what_is_no_plain_lora(told: _Told, path: Path) -> None:
    if told.init_lora_weights not in _PLAIN_INITS:
        raise UserError(
            f"the adapter was initialised by {told.init_lora_weights!r:.40}, which changes the base under it",
            where=path,
            fix="save it again with path_initial_model_for_weight_conversion, which makes a plain LoRA of it",
        )
    for key, value in (told.model_extra or {}).items():
        if value in (None, False, {}, []) or key in _OF_NO_EFFECT:
            continue
        what, fix = _REFUSED.get(key, ("is no setting of a plain LoRA or DoRA", _MERGE))
        raise UserError(f"the adapter's {key} = {value!r:.100} {what}: it cannot be adopted", where=path, fix=fix)


def _refuse_endless_patterns(patterns: tuple[str, ...], path: Path) -> None:
    for pattern in patterns:
        endless = _REPEATED_GROUP.search(pattern) or len(re.findall(r"[*+{]", pattern)) > _MOST_REPETITIONS
        try:
            re.compile(pattern)
        except (re.error, RecursionError, OverflowError):
            endless = True
        if endless or len(pattern) > 500:
            raise UserError(
                f"rank_pattern or alpha_pattern holds {pattern!r:.100}, which may take for ever to match",
                where=path,
                fix="name the modules themselves",
            )
