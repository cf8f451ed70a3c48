"""Log-likelihoods of choices in one pass per prompt: the prefix's keys and values are computed once, then every row holds the
rest of a prompt and behind it all its choices, each of which sees the prompt and itself.

Only the columns that predict a choice's token get logits. `huggingface.TransformersModel`, which scores every prompt and
choice whole as lm-eval does, is the reference.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from evaluator.backends.prefix_cache import PrefixCache
from evaluator.backends.shared_prefix import Group, Row

Score = tuple[float, bool]


class ChoiceScorer:
    """Scores groups of prompts with one model."""

    def __init__(self, model: Any, prefix: PrefixCache, tokens: int) -> None:
        self._model, self._prefix, self._tokens = model, prefix, tokens

    @torch.inference_mode()
    def score(self, group: Group) -> dict[int, Score]:
        """By request: log-likelihood of its continuation in nats, and whether greedy decoding would write it."""
        self._prefix.extend_to(group.shared)
        scores: dict[int, Score] = {}
        for batch in group.batches(self._tokens):
            scores |= self._score(batch, len(group.shared))
        return scores

    def _score(self, rows: Sequence[Row], shared: int) -> dict[int, Score]:
        ids, segments, start = _columns(rows, shared)
        device = self._model.device
        logits = self._model(
            input_ids=ids.to(device),
            attention_mask=_mask(segments, shared).to(device),
            position_ids=_positions(segments, shared).to(device),
            past_key_values=self._prefix.seen(),
            use_cache=bool(shared),
            logits_to_keep=ids.shape[1] - start,
        ).logits
        return _read(rows, logits.float().log_softmax(-1))


def _columns(rows: Sequence[Row], shared: int) -> tuple[torch.Tensor, torch.Tensor, int]:
    """Token ids and segments [B, W]: -1 padding, 0 prompt, 1, 2, ... its choices; prompts end at one column, the third result."""
    end = max(len(row.prompt) for row in rows) - shared
    tails = [[token for tokens in row.continuations for token in tokens[:-1]] for row in rows]
    ids = torch.zeros(len(rows), end + max(map(len, tails)), dtype=torch.long)
    segments = torch.full_like(ids, -1)
    for at, (row, tail) in enumerate(zip(rows, tails, strict=True)):
        start = end - len(row.prompt) + shared
        ids[at, start : end + len(tail)] = torch.tensor(row.prompt[shared:] + tail)
        segments[at, start:end] = 0
        whose = [number for number, tokens in enumerate(row.continuations, start=1) for _ in tokens[:-1]]
        segments[at, end : end + len(tail)] = torch.tensor(whose, dtype=torch.long)
    return ids, segments, end - 1


def _mask(segments: torch.Tensor, shared: int) -> torch.Tensor:
    """Who sees whom [B, 1, W, prefix + W]: a column sees the prefix, the prompt before it and its own choice.

    Padding sees padding, so that no row of the softmax is empty.
    """
    looking, seen = segments[:, :, None], segments[:, None, :]
    own = ((looking == seen) | ((seen == 0) & (looking > 0))).tril()
    return torch.cat([own.new_ones(*own.shape[:2], shared), own], dim=-1)[:, None]


def _positions(segments: torch.Tensor, shared: int) -> torch.Tensor:
    """Positions [B, W]: every choice goes on where its prompt ends."""
    at_or_before = (segments[:, :, None] == segments[:, None, :]).tril().sum(-1)
    prompt = (segments == 0).sum(-1, keepdim=True)
    return (shared + at_or_before - 1 + prompt * (segments > 0)).where(segments >= 0, 0)


def _read(rows: Sequence[Row], log_probabilities: torch.Tensor) -> dict[int, Score]:
    """The rows' scores out of log-probabilities [B, 1 + choices' tokens, vocabulary], fetched at once."""
    wanted = [step for at, row in enumerate(rows) for step in _steps(at, row)]
    whose, row, column, token = torch.tensor(wanted, device=log_probabilities.device).unbind(1)
    values = log_probabilities[row, column, token].tolist()
    greedy = (log_probabilities.argmax(-1)[row, column] == token).tolist()
    scores: dict[int, Score] = {}
    for place, value, best in zip(whose.tolist(), values, greedy, strict=True):
        total, all_best = scores.get(place, (0.0, True))
        scores[place] = (total + value, all_best and best)
    return scores


def _steps(at: int, row: Row) -> Iterator[tuple[int, int, int, int]]:
    """Of every token of every continuation: the request, the row, the column that predicts it, the token."""
    behind = 1
    for place, tokens in zip(row.requests, row.continuations, strict=True):
        for column, token in zip([0, *range(behind, behind + len(tokens) - 1)], tokens, strict=True):
            yield place, at, column, token
        behind += len(tokens) - 1
