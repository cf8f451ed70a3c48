"""The language model that lm-eval sees: answers from the store, asks the real model for the rest, chunk by chunk.

The real model is opened only if something is missing, so a base that was scored before costs nothing.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

from rich.progress import Progress

from evaluator.scoring.response_cache import Answer, ResponseStore, request_key
from schemas.errors import UserError


class RecordingModel:
    """Has the attributes and methods of lm_eval.api.model.LM that `lm_eval.evaluator.evaluate` uses."""

    rank = 0
    world_size = 1

    def __init__(
        self, open_model: Callable[[], Any], store: ResponseStore, chunk: int, progress: Progress, label: str
    ) -> None:
        self._open_model, self._store, self._chunk = open_model, store, chunk
        self._progress, self._label = progress, label
        self._model: Any = None
        self.asked, self.seconds = 0, 0.0
        """Requests that the real model answered, and the wall time of its answering (its opening left out)."""

    def generate_until(self, requests: list[Any]) -> list[Answer]:
        """Texts, one per request."""
        return self._answers("generate_until", requests)

    def loglikelihood(self, requests: list[Any]) -> list[Answer]:
        """Log-likelihoods of continuations, one per request."""
        return self._answers("loglikelihood", requests)

    def _answers(self, kind: str, requests: list[Any]) -> list[Answer]:
        keys = _keys(kind, requests)
        missing = {key: request for key, request in zip(keys, requests, strict=True) if self._store.get(key) is None}
        distinct = len(set(keys))
        bar = self._progress.add_task(self._label, total=distinct, completed=distinct - len(missing))
        if missing and self._model is None:
            self._progress.update(bar, description=f"{self._label} (opening the model)")
            self._model = self._open_model()
            self._progress.update(bar, description=self._label)
        for chunk in _chunks(missing, self._chunk):
            self._ask(kind, chunk)
            self._progress.advance(bar, len(chunk))
        answers = [self._store.get(key) for key in keys]
        assert None not in answers
        return answers  # type: ignore[return-value]

    def _ask(self, kind: str, chunk: dict[str, Any]) -> None:
        started = time.monotonic()
        given = getattr(self._model, kind)(_seeded(chunk, self._model), disable_tqdm=True)
        self.seconds += time.monotonic() - started
        self.asked += len(chunk)
        answers = dict(zip(chunk, given, strict=True))
        if kind == "loglikelihood" and not all(math.isfinite(value) for value, _ in answers.values()):
            raise UserError(
                "the model gave a log-likelihood that is not a finite number; such an evaluation means nothing",
                fix="check the weights, or score in another type: --dtype float32",
            )
        self._store.add(answers)


def _seeded(chunk: dict[str, Any], model: Any) -> list[Any]:
    """Gives sampled requests a seed made from their key, so that a resumed evaluation draws what it would have drawn.

    transformers seeds a whole batch, so there the chunk's first key serves all of it.
    """
    requests: list[Any] = []
    for key, request in chunk.items():
        if len(request.args) == 2 and isinstance(request.args[1], dict) and request.args[1].get("do_sample"):
            source = next(iter(chunk)) if model.one_seed_per_batch else key
            settings = {**request.args[1], "seed": int(source[:8], 16) % 2**31}
            requests.append(SimpleNamespace(args=(request.args[0], settings)))
        else:
            requests.append(request)
    return requests


def _keys(kind: str, requests: list[Any]) -> list[str]:
    """One key per request; equal greedy requests share theirs, whatever their task, and sampled ones do not."""
    seen: Counter[str] = Counter()
    keys = []
    for request in requests:
        sampled = kind == "generate_until" and request.args[1].get("do_sample")
        key = request_key(request.task_name if sampled else "", kind, request.args, 0)
        if sampled:
            seen[key] += 1
            key = request_key(request.task_name, kind, request.args, seen[key])
        keys.append(key)
    return keys


def _chunks(missing: dict[str, Any], size: int) -> Iterator[dict[str, Any]]:
    """Chunks of `size` prompts, longest first; the choices of one prompt stay together, as lm-eval scores them in one pass."""
    ordered = sorted(missing.items(), key=lambda item: (-len(item[1].args[0]), item[1].args[0]))
    chunk: dict[str, Any] = {}
    prompts: set[str] = set()
    for key, request in ordered:
        if len(prompts) == size and request.args[0] not in prompts:
            yield chunk
            chunk, prompts = {}, set()
        chunk[key] = request
        prompts.add(request.args[0])
    if chunk:
        yield chunk
