"""Random samples for the bench, with given lengths of prompt and answer, and their two collations."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import torch

from schemas.training.training_bench import Workload
from trainer.data.tokenization import Example

_STEPS_OF_DATA = 8  # different batches before they repeat


def bench_examples(workload: Workload, vocabulary: int) -> list[Example]:
    """Eight batches of samples; the same for every arm and every run."""
    random_numbers = random.Random(0)  # noqa: S311 not for secrets
    return [_example(workload, vocabulary, random_numbers) for _ in range(_STEPS_OF_DATA * workload.batch_size)]


def _example(workload: Workload, vocabulary: int, random_numbers: random.Random) -> Example:
    prompt, answer = (random_numbers.randint(*tokens) for tokens in (workload.prompt_tokens, workload.answer_tokens))
    ids = tuple(random_numbers.randrange(vocabulary) for _ in range(prompt + answer))
    return Example(ids, (False,) * prompt + (True,) * answer, boundary=prompt - 1)


def supervised_share(examples: Sequence[Example]) -> float:
    """Share of the real tokens that are under the loss."""
    return sum(sum(example.completion_mask) for example in examples) / sum(map(len, examples))


def with_share(workload: Workload, share: float) -> Workload:
    """The workload with another share of supervised tokens and the same longest sample; answers vary by a quarter."""
    length = workload.prompt_tokens[1] + workload.answer_tokens[1]
    longest = max(1, min(length - 2, round(share * length * 8 / 7)))
    shortest = max(1, round(longest * 3 / 4))
    spread = min(workload.prompt_tokens[1] - workload.prompt_tokens[0], length - longest - 2)
    prompts = (length - longest - spread, length - longest)
    return Workload(batch_size=workload.batch_size, prompt_tokens=prompts, answer_tokens=(shortest, longest))


def with_length(workload: Workload, length: int) -> Workload:
    """The workload stretched to another longest sample: the same share, spread and tokens per step."""
    before = workload.prompt_tokens[1] + workload.answer_tokens[1]
    longest = max(1, round(workload.answer_tokens[1] * length / before))
    shortest = max(1, round(workload.answer_tokens[0] * length / before))
    prompts = (max(1, round(workload.prompt_tokens[0] * length / before)), length - longest)
    batch_size = max(1, round(workload.batch_size * before / length))
    return Workload(batch_size=batch_size, prompt_tokens=prompts, answer_tokens=(shortest, longest))


def right_padded(examples: Sequence[Example]) -> dict[str, Any]:
    """The usual collation for transformers.Trainer: right padding, labels -100 outside answers."""
    columns = max(map(len, examples))
    ids, mask = torch.zeros(len(examples), columns, dtype=torch.int64), torch.zeros(len(examples), columns).long()
    labels = torch.full((len(examples), columns), -100)
    for row, example in enumerate(examples):
        tokens, answers = torch.tensor(example.input_ids), torch.tensor(example.completion_mask)
        ids[row, : len(example)], mask[row, : len(example)] = tokens, 1
        labels[row, : len(example)] = torch.where(answers, tokens, -100)
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}
