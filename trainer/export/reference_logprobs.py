"""Reference log-probabilities of a few real texts: what any server of the adapter must reproduce.

They are computed on the exported files, read back through PEFT's own loader, so that the export itself is proven.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from peft import PeftModel
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from schemas.training.adapter_manifest import Probe
from trainer.data.tokenization import Example

# So many tokens tell an adapter with 5 % of its scale missing from rounding in bfloat16 (docs/serving.md).
PROBE_TOKENS = 1024
FEWEST_PROBES, MOST_PROBES = 8, 64


def probe_examples(examples: Sequence[Example]) -> Sequence[Example]:
    """The first examples that hold PROBE_TOKENS tokens together, between FEWEST_PROBES and MOST_PROBES of them."""
    tokens = 0
    for count, example in enumerate(examples[:MOST_PROBES], start=1):
        tokens += len(example.input_ids)
        if tokens >= PROBE_TOKENS and count >= FEWEST_PROBES:
            return examples[:count]
    return examples[:MOST_PROBES]


def prove_export(
    model: PeftModel,
    directory: Path,
    examples: Sequence[Example],
    tokenizer: PreTrainedTokenizerBase,
    unquantised: Callable[[], PreTrainedModel] | None = None,
) -> tuple[Probe, ...]:
    """Probes of base and exported adapter, after checking that the exported adapter is the trained one, bit for bit.

    Args:
        model: the trained model. Its adapter is taken off: do not use it afterwards.
        directory: holds the exported adapter_config.json and adapter_model.safetensors.
        examples: the texts.
        tokenizer: writes them for people.
        unquantised: loads the base that will serve, where it was trained on 4 bits: nobody serves those.
    """
    texts = [torch.tensor([example.input_ids], device=model.device) for example in examples]
    model.eval()
    trained = [logits_of(model, text) for text in texts]
    base = model.unload()
    before = [logits_of(base, text) for text in texts]
    exported = PeftModel.from_pretrained(base, directory).eval()
    after = [logits_of(exported, text) for text in texts]
    for ours, theirs in zip(trained, after, strict=True):
        assert torch.equal(ours, theirs), "the exported adapter's logits differ from the trained model's plain path"
    if unquantised is not None:
        served = unquantised().eval()
        texts = [text.to(served.device) for text in texts]
        before = [logits_of(served, text) for text in texts]
        adapted = PeftModel.from_pretrained(served, directory).eval()
        after = [logits_of(adapted, text) for text in texts]
    return as_probes(examples, tokenizer, before, after)


def as_probes(
    examples: Sequence[Example],
    tokenizer: PreTrainedTokenizerBase,
    before: Sequence[torch.Tensor],
    after: Sequence[torch.Tensor],
) -> tuple[Probe, ...]:
    """The manifest's record of texts, from their logits [1, tokens, vocabulary] without and with the adapter."""
    return tuple(
        Probe(
            prompt=tokenizer.decode(example.input_ids[: example.boundary + 1]),
            token_ids=example.input_ids,
            prompt_tokens=example.boundary + 1,
            base=_log_probabilities(without, example),
            adapter=_log_probabilities(with_adapter, example),
        )
        for example, without, with_adapter in zip(examples, before, after, strict=True)
    )


@torch.no_grad()
def logits_of(model: nn.Module, text: torch.Tensor) -> torch.Tensor:
    """[1, tokens, vocabulary] of a text [1, tokens], no gradient kept."""
    logits: torch.Tensor = model(input_ids=text, attention_mask=torch.ones_like(text)).logits
    return logits


def _log_probabilities(logits: torch.Tensor, text: Example) -> tuple[float, ...]:
    """Of each token after the first, given those before it."""
    log_probabilities = logits[0, :-1].float().log_softmax(dim=-1)
    later = torch.tensor(text.input_ids[1:], device=logits.device)
    return tuple(log_probabilities.gather(1, later[:, None])[:, 0].tolist())
