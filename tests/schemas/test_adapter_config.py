"""adapter_config.json may say what the manifest says, and nothing that PEFT would act upon beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from schemas.adapter_config import parse_adapter_config
from schemas.errors import UserError
from schemas.training.adapter_manifest import AdapterManifest

MANIFEST = AdapterManifest.read(Path(__file__).parent / "old_documents" / "adapter_manifest-1.json")
PLAIN: dict[str, Any] = {
    "peft_type": "LORA",
    "task_type": "CAUSAL_LM",
    "base_model_name_or_path": MANIFEST.base.name,
    "inference_mode": True,
    "r": MANIFEST.adapter.rank,
    "lora_alpha": MANIFEST.adapter.alpha,
    "lora_dropout": 0.05,
    "use_dora": MANIFEST.adapter.use_dora,
    "target_modules": list(MANIFEST.adapter.target_modules),
}


def fault_of(text: str) -> str:
    with pytest.raises(UserError) as raised:
        parse_adapter_config(text.encode(), MANIFEST, where=Path("adapter_config.json"))
    return raised.value.what


def test_what_the_manifest_says_is_accepted() -> None:
    blob = json.dumps(PLAIN).encode()
    assert parse_adapter_config(blob, MANIFEST, where=Path("adapter_config.json")) == PLAIN


@pytest.mark.parametrize("key", sorted(PLAIN.keys() - {"lora_dropout"}))
def test_a_key_that_is_missing_or_says_something_else_is_refused(key: str) -> None:
    assert key in fault_of(json.dumps({name: value for name, value in PLAIN.items() if name != key}))
    assert key in fault_of(json.dumps(PLAIN | {key: "another"}))


@pytest.mark.parametrize(
    "extra",
    [
        {"auto_mapping": {"base_model_class": "x", "parent_library": "os"}}, {"rank_pattern": {"q_proj": 4096}},
        {"modules_to_save": ["lm_head"]}, {"layers_pattern": "(a+)+$"}, {"bias": "all"}, {"use_rslora": True},
        {"revision": "another"}, {"peft_version": "9.9"}, {"a_key_of_tomorrow": "x"}, {"target_modules": [1, "q_proj"]},
        {"target_modules": ".*"},
    ],
)  # fmt: skip
def test_whatever_peft_would_act_upon_is_refused(extra: dict[str, Any]) -> None:
    assert next(iter(extra)) in fault_of(json.dumps(PLAIN | extra))


@pytest.mark.parametrize(
    "extra", [{"bias": "none"}, {"init_lora_weights": True}, {"layers_pattern": None}, {"eva": {}}]
)
def test_defaults_change_nothing(extra: dict[str, Any]) -> None:
    parse_adapter_config(json.dumps(PLAIN | extra).encode(), MANIFEST, where=Path("adapter_config.json"))


@pytest.mark.parametrize("text", ["", "[]", "null", "[" * 100_000, '{"r": 4, "r": 8}', '{"r": ' + "9" * 5000 + "}"])
def test_what_is_no_object_is_refused(text: str) -> None:
    assert "adapter_config.json" in fault_of(text)
