"""The fault table: adapters damaged on purpose, loaded by the real vLLM behind the verifier's back.

vLLM loads every one of them without an error and lists it. Only the attestation tells. One server holds them all; a
second one, with too few slots for vLLM's CPU kernels, mixes up the requests of one batch.
"""

import json
import secrets
import shutil
from contextlib import contextmanager

import pytest
from safetensors.numpy import load_file, save_file

from serving.attestation.attest import ServedAdapter, attest
from serving.engine.client import EndpointClient, local_address
from serving.engine.lora_limits import adapter_slots
from serving.engine.server_record import server_record
from serving.engine.vllm_process import ServedWeights, on_cpu, running_vllm
from serving.options import ServeOptions
from serving.server import private_state
from serving.verify.verify import verify_runs

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


ONE_MODULE = "layers.2.mlp.down_proj.lora_B"
FAULTS = {
    "whole": lambda directory: None,
    "renamed": rewrite_tensors(lambda name, tensor: (elsewhere(name), tensor)),
    "one_layer_renamed": rewrite_tensors(lambda name, tensor: (name.replace("layers.3.", "layers.43."), tensor)),
    "zeroed_b": rewrite_tensors(lambda name, tensor: (name, tensor * 0 if "lora_B" in name else tensor)),
    "wrong_rank": rewrite_config(r=8),
    "wrong_alpha": rewrite_config(lora_alpha=8.4),
    "one_module_negated": rewrite_tensors(lambda name, tensor: (name, -tensor if ONE_MODULE in name else tensor)),
    "one_module_off": rewrite_tensors(lambda name, tensor: (name, tensor * 1.05 if ONE_MODULE in name else tensor)),
}
CAUGHT_BY = {
    "renamed": ("answers like its base", "40 of 40 tensors are not applied"),
    "one_layer_renamed": ("times the recorded one", "10 of 40 tensors are not applied"),
    "zeroed_b": ("answers like its base", "20 of 40 tensors are not applied"),
    "wrong_rank": ("times the recorded one", "20 tensors are not those of the file"),
    "wrong_alpha": ("times the recorded one", "20 tensors are not those of the file"),
    "one_module_negated": ("off the recorded one", "1 tensors are not those of the file"),
    "one_module_off": ("off the recorded one", "1 tensors are not those of the file"),
    "wrong_base": ("another base model",),
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
    candidates = dict.fromkeys(FAULTS, verify_runs((served_runs[0].root,), base=None, verdict_rule="require")[0])
    candidates["wrong_base"] = verify_runs((other_base_run.root,), base=None, verdict_rule="if_present")[0]
    paths = {name: root / name for name in candidates}
    for name, candidate in candidates.items():
        shutil.copytree(candidate.adapter.directory, paths[name])
        FAULTS.get(name, lambda directory: None)(paths[name])
    base = candidates["whole"].base
    slots = adapter_slots(len(paths), cpu=on_cpu())
    weights = ServedWeights(base, "base", "float32", paths, 8, slots, adapter_runs.TARGETS)
    return attest_each(weights, candidates, free_port())


@pytest.fixture(scope="module")
def attestation_without_a_free_slot(served_runs, adapter_runs, free_port):
    """One adapter in one slot, as vLLM is started by everybody: on a CPU the base has to share that slot."""
    (candidate,) = verify_runs((served_runs[0].root,), base=None, verdict_rule="require")
    paths = {"whole": candidate.adapter.directory}
    weights = ServedWeights(candidate.base, "base", "float32", paths, 8, 1, adapter_runs.TARGETS)
    return attest_each(weights, {"whole": candidate}, free_port())["whole"]


def attest_each(weights, candidates, port):
    """Every candidate's attestation by one server, with all of the server's models generating meanwhile."""
    record, concurrent = server_record(weights), (*weights.adapters, "base")
    served = {name: ServedAdapter(candidate, "base", None) for name, candidate in candidates.items()}
    with running_server(weights, ServeOptions(runs=(), port=port, drain_seconds=1)) as client:
        return {
            name: attest(_As(client, name), served[name], record, concurrent=concurrent, greedy=False)
            for name in served
        }


@contextmanager
def running_server(weights, options):
    secret = secrets.token_hex()
    with (
        private_state(options, secret, None) as state,
        running_vllm(weights, state, options) as child,
        EndpointClient(local_address(options.host, options.port), secret) as client,
    ):
        client.wait_until_listening(seconds=500, still_alive=lambda: _alive(child))
        yield client


class _As:
    """The client of an attestation that asks for the adapter's name, here that of its fault."""

    def __init__(self, client, name):
        self.client, self.name = client, name
        self.context_length, self.stream_greedily = client.context_length, client.stream_greedily

    def log_probabilities(self, model, token_ids):
        return self.client.log_probabilities("base" if model == "base" else self.name, token_ids)

    def applied_tensors(self, model):
        return self.client.applied_tensors(self.name)


def _alive(child):
    assert child.poll() is None


def test_the_undamaged_adapter_is_live_in_the_concurrent_models_of_all_others(attestations):
    whole = attestations["whole"]
    assert whole.outcome == "live", whole.reasons
    assert set(whole.concurrent_models) == {*attestations, "base"}
    assert max(probe.concurrent_difference for probe in whole.probes) < whole.tolerance


@pytest.mark.skipif(not on_cpu(), reason="vLLM's GPU kernels leave requests without an adapter alone")
def test_a_server_that_mixes_up_the_requests_of_a_batch_is_caught_by_concurrent_requests_alone(
    attestation_without_a_free_slot,
):
    attestation = attestation_without_a_free_slot
    assert attestation.outcome == "failed"
    assert len(attestation.reasons) == 1
    assert "while other models generate" in attestation.reasons[0]
    assert max(probe.base_difference for probe in attestation.probes) < attestation.tolerance


@pytest.mark.parametrize("fault", CAUGHT_BY)
def test_the_attestation_alone_catches(attestations, fault):
    attestation = attestations[fault]
    assert attestation.outcome == "failed"
    for sentence in CAUGHT_BY[fault]:
        assert any(sentence in reason for reason in attestation.reasons), (sentence, attestation.reasons)
