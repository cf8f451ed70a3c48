"""Greedy agreement with transformers: every token the server chose must be the reference's most likely one too.

The reference reads the server's continuations in one forward pass each, so a near tie that rounding decides is told
from a real difference by its gap. Runs as a process of its own (`python -m serving.attestation.greedy_check ADAPTER BASE`).
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from schemas.errors import UserError
from schemas.serving.serving_attestation import GreedyCheck
from schemas.training.adapter_manifest import AdapterManifest

PROMPTS = 50
TOKENS = 16


def greedy_prompts(manifest: AdapterManifest) -> list[list[int]]:
    """At least PROMPTS prompts: those of the probes, then seeded random texts out of the probes' own tokens."""
    prompts = [list(probe.token_ids[: probe.prompt_tokens]) for probe in manifest.probes]
    known = sorted({token for prompt in prompts for token in prompt})
    draw = random.Random(0)  # noqa: S311  (reproducible, not secret)
    while len(prompts) < PROMPTS:
        prompts.append(prompts[0][:1] + draw.choices(known, k=draw.randint(4, 24)))
    return prompts


def read_greedily(
    adapter: Path, base: Path, prompts: Sequence[Sequence[int]], answers: Sequence[Sequence[int]], tolerance: float
) -> GreedyCheck:
    """Has transformers (base and adapter through PEFT, float32) judge every token of the answers.

    Raises:
        UserError: the reference could not be computed.
    """
    line = [sys.executable, "-m", "serving.attestation.greedy_check", str(adapter.resolve()), str(base)]
    pairs = [[list(prompt), list(answer)] for prompt, answer in zip(prompts, answers, strict=True)]
    finished = subprocess.run(line, input=json.dumps(pairs), capture_output=True, text=True)
    if finished.returncode:
        raise UserError(f"transformers could not judge the answers:\n{finished.stderr[-2000:]}", where=adapter)
    gaps = [gap for row in json.loads(finished.stdout.splitlines()[-1]) for gap in row]
    return GreedyCheck(
        prompts=len(pairs),
        tokens=len(gaps),
        agreeing=sum(gap == 0 for gap in gaps),
        ties=sum(0 < gap <= tolerance for gap in gaps),
        worst_gap=max(gaps),
    )


def token_gaps(adapter: Path, base: Path, pairs: Sequence[Sequence[Sequence[int]]]) -> list[list[float]]:
    """For each answer token: how far its log-probability lies below the most likely token's, in nats."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    base_model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    model = PeftModel.from_pretrained(base_model, str(adapter)).eval()
    gaps = []
    with torch.inference_mode():
        for prompt, answer in pairs:
            logits = model(input_ids=torch.tensor([[*prompt, *answer]])).logits[0, len(prompt) - 1 : -1].float()
            chosen = logits.gather(-1, torch.tensor(answer)[:, None])[:, 0]
            gaps.append((logits.max(-1).values - chosen).tolist())
    return gaps


if __name__ == "__main__":
    print(json.dumps(token_gaps(Path(sys.argv[1]), Path(sys.argv[2]), json.load(sys.stdin))))
