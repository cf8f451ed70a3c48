"""The fault table: adapters damaged on purpose, loaded by the real vLLM behind the verifier's back.

vLLM loads every one of them without an error and lists it. Only the attestation tells. One server holds them all.
"""

import json
import secrets
import shutil
from contextlib import ExitStack

import pytest
from safetensors.numpy import load_file, save_file

from serving.attestation import ServedAdapter, attest
from serving.endpoint_client import EndpointClient, local_address
from serving.options import ServeOptions
from serving.server import private_state
from serving.server_record import server_record
from serving.verify import verify_runs
from serving.vllm_process import ServedWeights, running_vllm

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(900)]


def rewrite_tensors(change):
    def damage(directory):
        path = directory / "adapter_model.safetensors"
        path.chmod(0o644)
        save_file(dict(change(name, tensor) for name, tensor in load_file(path).items()), path)

    return damage


def rewrite_config(**changes):
    def damage(directory):
        path = directory / "adapter_config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return damage


def elsewhere(name):
    return name.replace("model.layers.", "model.layers.4")


FAULTS = {
    "whole": lambda directory: None,
    "renamed": rewrite_tensors(lambda name, tensor: (elsewhere(name), tensor)),
    "one_layer_renamed": rewrite_tensors(lambda name, tensor: (name.replace("layers.3.", "layers.43."), tensor)),
    "zeroed_b": rewrite_tensors(lambda name, tensor: (name, tensor * 0 if "lora_B" in name else tensor)),
    "wrong_rank": rewrite_config(r=8),
    "wrong_alpha": rewrite_config(lora_alpha=8.4),
    "one_value_off": rewrite_tensors(
        lambda name, tensor: (name, tensor * 1.05 if "layers.2.mlp.down_proj.lora_B" in name else tensor)
    ),
}
CAUGHT_BY = {
    "renamed": ("nats off the recorded ones", "answers like its base", "40 of 40 tensors are not applied"),
    "one_layer_renamed": ("nats off the recorded ones", "10 of 40 tensors are not applied"),
    "zeroed_b": ("nats off the recorded ones", "answers like its base", "20 of 40 tensors are not applied"),
    "wrong_rank": ("nats off the recorded ones",),
    "wrong_alpha": ("nats off the recorded ones",),
    "one_value_off": ("nats off the recorded ones",),
    "wrong_base": ("the base's log-probabilities are", "another base model"),
}


@pytest.fixture(scope="module")
def other_base_run(tmp_path_factory, tiny_base, adapter_runs):
    """The same adapter, but its manifest was made on a base whose last layer differs."""
    from transformers import LlamaForCausalLM

    base = shutil.copytree(tiny_base, tmp_path_factory.mktemp("other") / "base")
    model = LlamaForCausalLM.from_pretrained(base)
    model.model.layers[3].mlp.down_proj.weight.data.mul_(1.2)
    model.save_pretrained(base)
    return adapter_runs.write_adapter_run(base.parent / "wrong_base", base)


@pytest.fixture(scope="module")
def attestations(tmp_path_factory, served_runs, other_base_run, adapter_runs, free_port):
    """Every fault's attestation, from one server that holds all of them as adapters."""
    root = tmp_path_factory.mktemp("faults")
    candidates = dict.fromkeys(FAULTS, verify_runs((served_runs[0].root,), base=None, gate="require")[0])
    candidates["wrong_base"] = verify_runs((other_base_run.root,), base=None, gate="if_present")[0]
    paths = {name: root / name for name in candidates}
    for name, candidate in candidates.items():
        shutil.copytree(candidate.adapter.directory, paths[name])
        FAULTS.get(name, lambda directory: None)(paths[name])
    base = candidates["whole"].base
    weights = ServedWeights(base, "base", "float32", paths, 8, adapter_runs.TARGETS)
    options = ServeOptions(runs=(), port=free_port(), drain_seconds=1)
    secret = secrets.token_hex()
    with ExitStack() as stack:
        state = stack.enter_context(private_state(options, secret, None))
        child = stack.enter_context(running_vllm(weights, state, options))
        client = stack.enter_context(EndpointClient(local_address(options.host, options.port), secret))
        client.wait_until_listening(seconds=500, still_alive=lambda: _alive(child))
        served = {name: ServedAdapter(candidate, "base", None) for name, candidate in candidates.items()}
        record = server_record(weights)
        return {name: attest(_As(client, name), served[name], record, greedy=False) for name in served}


class _As:
    """The client of an attestation that asks for the adapter's name, here that of its fault."""

    def __init__(self, client, name):
        self.client, self.name = client, name

    def log_probabilities(self, model, token_ids):
        return self.client.log_probabilities("base" if model == "base" else self.name, token_ids)

    def applied_tensors(self, model):
        return self.client.applied_tensors(self.name)


def _alive(child):
    assert child.poll() is None


def test_the_undamaged_adapter_is_live(attestations):
    assert attestations["whole"].outcome == "live", attestations["whole"].reasons


@pytest.mark.parametrize("fault", CAUGHT_BY)
def test_the_attestation_alone_catches(attestations, fault):
    attestation = attestations[fault]
    assert attestation.outcome == "failed"
    for sentence in CAUGHT_BY[fault]:
        assert any(sentence in reason for reason in attestation.reasons), (sentence, attestation.reasons)
