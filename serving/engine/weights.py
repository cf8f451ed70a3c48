"""What vLLM is to load for the runs that were verified: base and adapters, or merged weights."""

from __future__ import annotations

from schemas.errors import UserError
from schemas.serving.serving_attestation import Dtype
from schemas.vllm_ranks import max_lora_rank
from serving.attestation.attest import ServedAdapter
from serving.engine.lora_limits import adapter_slots
from serving.engine.merge import merged_model, vllm_loads_dora
from serving.engine.vllm_process import ServedWeights, on_cpu, vllm_version
from serving.options import ServeOptions, cache_directory
from serving.progress import step
from serving.verify.verify import Candidate

CONTROL_SUFFIX = ".control"


def prepare(
    candidates: tuple[Candidate, ...], options: ServeOptions
) -> tuple[ServedWeights, tuple[ServedAdapter, ...]]:
    """What vLLM loads: base and adapters, or, for a DoRA adapter that it cannot load, merged weights.

    Raises:
        UserError: a DoRA adapter among several, or one that this vLLM cannot serve.
    """
    base_record = candidates[0].adapter.manifest.base
    dtype = options.dtype or base_record.dtype
    dora = [candidate for candidate in candidates if candidate.adapter.manifest.adapter.use_dora]
    if options.merge or (dora and not vllm_loads_dora()):
        return _prepare_merged((dora or candidates)[0], candidates, dtype)
    require_servable_modules(candidates)
    paths = {candidate.name: candidate.stored for candidate in candidates}
    if options.control:
        paths[candidates[1].name + CONTROL_SUFFIX] = paths[candidates[1].name]
    width = max_lora_rank(candidate.adapter.manifest.adapter.rank for candidate in candidates)
    slots = adapter_slots(len(paths), cpu=on_cpu())
    targets = {name for candidate in candidates for name in candidate.adapter.manifest.adapter.target_modules}
    weights = ServedWeights(candidates[0].base, base_record.name, dtype, paths, width, slots, tuple(sorted(targets)))
    return weights, tuple(ServedAdapter(candidate, base_record.name, None) for candidate in candidates)


def require_servable_modules(candidates: tuple[Candidate, ...]) -> None:
    """Refuses adapters of the LM head on vLLM's CPU build, whose engine dies of them at the first mixed request.

    Its kernel `bgmv_shrink` takes one adapter index per request, and prompt log-probabilities bring one row per token.

    Raises:
        UserError: such an adapter, on that build.
    """
    for candidate in candidates:
        if on_cpu() and "lm_head" in candidate.adapter.manifest.adapter.target_modules:
            raise UserError(
                f"{candidate.name} adapts the LM head: with it, prompt log-probabilities among other requests end the "
                f"engine of vLLM {vllm_version()}",
                where=candidate.run.root,
                fix="serve it on a GPU, or train without lm_head in adapter.target_modules",
            )


def _prepare_merged(
    candidate: Candidate, candidates: tuple[Candidate, ...], dtype: Dtype
) -> tuple[ServedWeights, tuple[ServedAdapter, ...]]:
    uses_dora = candidate.adapter.manifest.adapter.use_dora
    if len(candidates) > 1:
        raise UserError(
            f"{candidate.name} is a DoRA adapter, which vLLM {vllm_version()} cannot load: it is served merged, alone",
            where=candidate.run.root,
            fix="start a server of its own for it, on another --port",
        )
    why = f"vLLM {vllm_version()} cannot load DoRA" if uses_dora else "Asked for merged weights"
    with step(f"{why}: merging {candidate.name} into its base in float32"):
        directory, parity = merged_model(candidate, dtype, cache_directory())
    weights = ServedWeights(directory, candidate.name, dtype, {}, 0, 0)
    return weights, (ServedAdapter(candidate, None, parity),)
