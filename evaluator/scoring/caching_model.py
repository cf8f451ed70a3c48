"""The language model that lm-eval sees: answers from the store, asks the real model for the rest, chunk by chunk.

The real model is opened only if something is missing, so a base that was scored before costs nothing.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from rich.progress import Progress

from evaluator.scoring.readable import until_first_label
from evaluator.scoring.response_cache import Answer, ResponseStore, request_key
from schemas.errors import UserError


class RecordingModel:
    """Has the attributes and methods of lm_eval.api.model.LM that `lm_eval.evaluator.evaluate` uses."""

    rank = 0
    world_size = 1

    def __init__(
        self,
        open_model: Callable[[], Any],
        store: ResponseStore,
        chunk: int,
        progress: Progress,
        label: str,
        labels: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        """The recording model; `labels` has, by task, those of which the first ends an answer (`scoring.readable`)."""
        self._open_model, self._store, self._chunk = open_model, store, chunk
        self._progress, self._label, self._labels = progress, label, labels or {}
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
        for chunk in self._chunks(kind, missing):
            for answers in self._ask(kind, chunk):
                self._keep(kind, answers)
                self._progress.advance(bar, len(answers))
        return [self._read(key, request) for key, request in zip(keys, requests, strict=True)]

    def _chunks(self, kind: str, missing: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """All at once to a model that schedules requests itself and gives each answer as soon as it has it."""
        at_once = missing and hasattr(self._model, f"stream_{kind}")
        return iter([missing]) if at_once else _chunks(kind, missing, self._chunk)

    def _ask(self, kind: str, chunk: dict[str, Any]) -> Iterator[dict[str, Answer]]:
        """The model's answers, as they come."""
        keys, requests = list(chunk), self._prepared(chunk)
        stream = getattr(self._model, f"stream_{kind}", None)
        started = time.monotonic()
        if stream is None:
            given = getattr(self._model, kind)(requests, disable_tqdm=True)
            self.seconds += time.monotonic() - started
            yield dict(zip(keys, given, strict=True))
            return
        for some in stream(requests):
            self.seconds += time.monotonic() - started
            yield {keys[place]: answer for place, answer in some.items()}
            started = time.monotonic()

    def _prepared(self, chunk: dict[str, Any]) -> list[Any]:
        """The requests, with what is no part of their keys: seeds, and the labels at which a model may stop."""
        return [
            SimpleNamespace(args=(request.args[0], {**request.args[1], "labels": list(labels)}))
            if isinstance(request.args[1], dict) and (labels := self._labels.get(original.task_name))
            else request
            for original, request in zip(chunk.values(), _seeded(chunk, self._model), strict=True)
        ]

    def _read(self, key: str, request: Any) -> Answer:
        answer = self._store.get(key)
        assert answer is not None
        # Backends stop at different tokens after a label, and older answers went on: what is read ends where it counts.
        return until_first_label(answer, self._labels.get(request.task_name, ())) if isinstance(answer, str) else answer

    def _keep(self, kind: str, answers: dict[str, Answer]) -> None:
        self.asked += len(answers)
        if not all(isinstance(answer, str) or math.isfinite(answer[0]) for answer in answers.values()):
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


def _chunks(kind: str, missing: dict[str, Any], size: int) -> Iterator[dict[str, Any]]:
    """Chunks of `size` prompts, the choices of one prompt together.

    Generation takes prompts with like settings and of like length together, the longest first; ranking takes them in the
    order of their texts, so that prompts that begin alike meet.
    """

    def order(item: tuple[str, Any]) -> tuple[Any, ...]:
        prompt, settings = item[1].args
        generates = kind == "generate_until"
        return (item[1].task_name, repr(settings), -len(prompt), prompt) if generates else (prompt,)

    ordered = sorted(missing.items(), key=order)
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
