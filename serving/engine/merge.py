"""Merges a DoRA adapter into its base: float32 arithmetic by PEFT, one cast, and the parity of before and after.

Runs as a process of its own (`python -m serving.engine.merge ADAPTER BASE TARGET DTYPE`), so that the server's supervisor
never holds torch, or a model, in memory.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from schemas.base.base_model import weights_fingerprint
from schemas.document import write_atomically
from schemas.errors import UserError
from schemas.serving.serving_attestation import Dtype, MergeParity
from schemas.training.adapter_manifest import AdapterManifest
from serving.engine.adapter_cache import place
from serving.verify.verify import Candidate

if TYPE_CHECKING:
    import torch

PARITY_FILE = "merge_parity.json"


def vllm_loads_dora() -> bool:
    """Asks the installed vLLM, by the check it makes itself when an adapter is loaded."""
    question = (
        "from vllm.lora.peft_helper import PEFTHelper\n"
        "helper = PEFTHelper(r=8, lora_alpha=8, target_modules=['q_proj'], use_dora=True)\n"
        "print('ANSWER', not any('DoRA' in fault for fault in helper._validate_features()))"
    )
    answer = subprocess.run([sys.executable, "-c", question], capture_output=True, text=True)
    return "ANSWER True" in answer.stdout


def merged_model(candidate: Candidate, dtype: Dtype, cache: Path) -> tuple[Path, MergeParity]:
    """Directory of the merged model under the hash of all that determines it, made if it is not there yet.

    Raises:
        UserError: merging failed, or stored weights are not those that were merged.
    """
    base = candidate.base_identity.model_dump_json()
    identity = "\0".join((candidate.adapter.manifest_sha256, base, dtype, "merge 2"))
    target = cache / "merged" / hashlib.sha256(identity.encode()).hexdigest()

    def merge(staged: Path) -> None:
        merge_apart(candidate, staged, dtype)

    place(target, merge)
    parity = MergeParity.model_validate_json((target / PARITY_FILE).read_bytes())
    if weights_fingerprint(target) != parity.weights_sha256:
        raise UserError("the stored merged weights were changed", where=target, fix="delete that directory")
    return target, parity


def merge_apart(candidate: Candidate, directory: Path, dtype: Dtype) -> MergeParity:
    """Merges in a process of its own, into a directory that is there and empty.

    Raises:
        UserError: merging failed.
    """
    manifest = candidate.adapter.manifest
    line = [sys.executable, "-m", "serving.engine.merge", str(candidate.stored.resolve()), str(candidate.base)]
    finished = subprocess.run([*line, str(directory), dtype], capture_output=True, text=True)
    if finished.returncode:
        raise UserError(
            f"merging {manifest.name} failed:\n{finished.stderr[-2000:]}",
            where=candidate.adapter.directory,
            fix="merging in float32 needs 4 bytes of memory per parameter of the base; free some, or report the error",
        )
    return MergeParity.model_validate_json((directory / PARITY_FILE).read_bytes())


def merge_into(adapter: Path, base: Path, target: Path, dtype: Dtype) -> MergeParity:
    """Writes the merged model, its tokenizer and its parity into `target`. Memory: the base twice in float32."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    manifest = AdapterManifest.read(adapter / "manifest.json")
    probes = [torch.tensor([probe.token_ids]) for probe in manifest.probes]
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    adapted = PeftModel.from_pretrained(model, str(adapter)).eval()
    before = list(_logits(adapted, probes))
    merged = adapted.merge_and_unload(safe_merge=True)
    for parameter in merged.parameters():  # the one cast; buffers such as rotary frequencies stay as they are
        parameter.data = parameter.data.to(getattr(torch, dtype))
    merged.config.dtype = dtype
    merged.save_pretrained(target)
    del model, adapted, merged
    # What is on the disk is what is measured, in float32 arithmetic, so that only the cast shows.
    after = list(_logits(AutoModelForCausalLM.from_pretrained(target, dtype=torch.float32).eval(), probes))
    AutoTokenizer.from_pretrained(base).save_pretrained(target)
    parity = MergeParity(dtype=dtype, weights_sha256=weights_fingerprint(target), **_distance(before, after, probes))
    write_atomically(target / PARITY_FILE, parity.model_dump_json(indent=2).encode())
    return parity


def _logits(model: torch.nn.Module, probes: list[torch.Tensor]) -> Iterator[torch.Tensor]:
    import torch

    with torch.inference_mode():
        for token_ids in probes:
            yield model(input_ids=token_ids).logits[0].float()


def _distance(before: list[torch.Tensor], after: list[torch.Tensor], probes: list[torch.Tensor]) -> dict[str, float]:
    """The three figures of MergeParity; each list holds [tokens, vocabulary] per probe."""
    import torch

    own = []
    for logits, other, ids in zip(before, after, probes, strict=True):
        change = logits.log_softmax(-1)[:-1] - other.log_softmax(-1)[:-1]
        own.append(change.gather(-1, ids[0, 1:, None]).abs().max())
    agree = torch.cat([x.argmax(-1) == y.argmax(-1) for x, y in zip(before, after, strict=True)])
    return {
        "logits": max(float((x - y).abs().max()) for x, y in zip(before, after, strict=True)),
        "log_probabilities": float(torch.stack(own).max()),
        "argmax_agreement": float(agree.float().mean()),
    }


if __name__ == "__main__":
    adapter_argument, base_argument, target_argument, dtype_argument = sys.argv[1:]
    merge_into(Path(adapter_argument), Path(base_argument), Path(target_argument), dtype_argument)  # type: ignore[arg-type]
