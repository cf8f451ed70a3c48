"""An attestation says `live` exactly where nothing speaks against it."""

import pytest

from schemas.errors import UserError
from schemas.serving.serving_attestation import ServingAttestation

HASH = "0" * 64
SERVER = {
    "vllm": "0.32.0", "dtype": "float32", "max_lora_rank": 16, "max_loras": 2, "device": "CPU",
    "platform": "Linux x86_64", "versions": {},
}  # fmt: skip
PROBE = {
    "prompt": "a", "tokens": 2, "recorded_effect": 1.0, "served_effect": 1.0, "adapter_difference": 0.0,
    "base_difference": 0.0, "concurrent_difference": None,
}  # fmt: skip
LIVE = {
    "name": "mine", "created": "2026-11-28T12:00:00Z", "outcome": "live", "reasons": [],
    "adapter": {"name": "mine", "method": "lora", "manifest_sha256": HASH},
    "base": {"name": "base", "revision": None, "config_sha256": HASH, "weights_sha256": HASH},
    "verdict_sha256": None, "rank": 16, "merged": False, "parity": None, "server": SERVER, "tolerance": 0.001,
    "probes": [PROBE], "concurrent_models": [], "applied": None, "greedy": None, "seconds": 1.0,
}  # fmt: skip


def refused_for(changes, match):
    with pytest.raises(UserError, match=match):
        ServingAttestation.parse({**LIVE, "schema_version": "3", **changes}, where="here")


def test_a_live_adapter_has_no_reason_against_it():
    assert ServingAttestation.parse({**LIVE, "schema_version": "3"}, where="here").outcome == "live"
    refused_for({"reasons": ["off by 2 nats"]}, "live exactly where no reason")


def test_failed_without_a_reason_is_refused():
    refused_for({"outcome": "failed"}, "live exactly where no reason")


def test_a_merged_adapter_without_its_parity_is_refused():
    refused_for({"merged": True}, "parity belongs to merged adapters")


def test_an_attestation_without_a_probe_proves_nothing():
    refused_for({"probes": []}, "probes")
