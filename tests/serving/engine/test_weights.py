"""What vLLM is given to load, and which adapters it is not given."""

from dataclasses import replace

import pytest

from schemas.errors import UserError
from serving.engine.vllm_process import on_cpu
from serving.engine.weights import prepare
from serving.options import ServeOptions
from serving.verify.verify import verify_runs

pytestmark = pytest.mark.vllm  # vLLM itself is asked what it can load


@pytest.fixture
def candidates(tmp_path, tiny_base, adapter_runs, monkeypatch):
    """Verifies runs of the given shapes, named after them."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def make(**shapes):
        runs = [adapter_runs.write_adapter_run(tmp_path / name, tiny_base, shape) for name, shape in shapes.items()]
        return verify_runs(tuple(run.root for run in runs), base=None, verdict_rule="ignore")

    return make


def test_adapters_lie_under_their_hashes_in_slots_as_wide_as_the_widest(candidates, adapter_runs):
    shape = adapter_runs.AdapterShape
    two = candidates(narrow=shape(), wide=shape(rank=20, targets=("o_proj",)))
    weights, served = prepare(two, ServeOptions(runs=()))
    assert [path.name for path in weights.adapters.values()] == [one.adapter.manifest_sha256 for one in two]
    assert (weights.max_lora_rank, weights.max_loras) == (32, 2 + on_cpu())
    assert set(weights.target_modules) == {*adapter_runs.TARGETS, "o_proj"}
    assert [one.parity for one in served] == [None, None]


def test_a_dora_adapter_among_others_is_refused(candidates, adapter_runs):
    shape = adapter_runs.AdapterShape
    with pytest.raises(UserError, match="it is served merged, alone"):
        prepare(candidates(dora=shape(method="dora"), lora=shape()), ServeOptions(runs=()))


@pytest.mark.skipif(not on_cpu(), reason="the fault is that of vLLM's CPU kernels")
def test_an_adapter_of_the_lm_head_is_refused_where_it_would_end_the_engine(candidates, adapter_runs):
    (candidate,) = candidates(head=adapter_runs.AdapterShape())
    manifest = candidate.adapter.manifest
    shape = manifest.adapter.model_copy(update={"target_modules": (*manifest.adapter.target_modules, "lm_head")})
    adapter = replace(candidate.adapter, manifest=manifest.model_copy(update={"adapter": shape}))
    with pytest.raises(UserError, match="adapts the LM head"):
        prepare((replace(candidate, adapter=adapter),), ServeOptions(runs=()))
