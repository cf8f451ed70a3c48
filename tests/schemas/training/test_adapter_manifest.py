"""A manifest's probes are what a server is held against, so they must be whole."""

from pathlib import Path
from types import ModuleType

import pytest
from pydantic import ValidationError

from schemas.errors import UserError
from schemas.training.adapter_manifest import AdapterManifest, Probe

ADOPTED = {
    "base_as_named": None, "config_sha256": "0" * 64, "weights_sha256": "1" * 64, "peft_version": None, "template": None,
    "rewritten": [], "distance": 0.0,
}  # fmt: skip

PROBE = {"prompt": "a", "token_ids": (1, 2, 3), "prompt_tokens": 2, "base": (-1.0, -2.0), "adapter": (-1.0, -0.5)}


def test_a_probe_has_one_log_probability_per_predicted_token():
    assert Probe(**PROBE).adapter == (-1.0, -0.5)
    with pytest.raises(ValidationError, match="one log-probability per token after the first"):
        Probe(**PROBE | {"adapter": (-1.0,)})


def test_a_probe_without_an_answer_is_refused():
    with pytest.raises(ValidationError, match="leaves no answer token"):
        Probe(**PROBE | {"prompt_tokens": 3})


def test_a_log_probability_that_is_no_number_is_refused():
    with pytest.raises(ValidationError, match="finite"):
        Probe(**PROBE | {"base": (-1.0, float("nan"))})


def test_only_an_adopted_adapter_may_leave_its_training_unknown(
    tmp_path: Path, tiny_base: Path, adapter_runs: ModuleType
) -> None:
    whole = AdapterManifest.read(adapter_runs.write_adapter_run(tmp_path / "run", tiny_base).manifest).model_dump(
        mode="json"
    )
    unknown = whole | {"seed": None, "config_sha256": None, "data": None, "training": None}
    with pytest.raises(UserError, match="only an adopted adapter"):
        AdapterManifest.parse(unknown, where="manifest.json")
    adopted = AdapterManifest.parse(unknown | {"adopted": ADOPTED}, where="manifest.json")
    assert adopted.trained_template is None
    with pytest.raises(UserError, match="has no seed: that is unknown"):
        AdapterManifest.parse(unknown | {"adopted": ADOPTED, "seed": 3}, where="manifest.json")
