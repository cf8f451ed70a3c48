"""Turns lm-eval's logged samples into lines of samples.jsonl: prompt, output, the answer read, and how it counts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from evaluator.tasks.suites import Suite
from schemas.errors import UserError
from schemas.evaluation.eval_report import Outcome, Sample, Variant

UNPARSED = "[invalid]"  # what lm-eval's regex filter returns where nothing fits
Logged = Mapping[str, Any]


def read_samples(suite: Suite, task: Any, logged: Sequence[Logged], variant: Variant) -> list[Sample]:
    """The samples of one task and variant, in the order of the items.

    Args:
        suite: names the metric and the filter that count.
        task: the lm-eval task object.
        logged: lm-eval's samples of this task, all filters.
        variant: who answered.
    """
    chosen = sorted((entry for entry in logged if entry["filter"] == suite.filter), key=lambda entry: entry["doc_id"])
    read = _generated if task.OUTPUT_TYPE == "generate_until" else _ranked
    return [read(suite, task, entry, variant) for entry in chosen]


def _generated(suite: Suite, task: Any, entry: Logged, variant: Variant) -> Sample:
    parsed = str(entry["filtered_resps"][0])
    is_parsed = parsed != UNPARSED
    return Sample(
        task=task.task_name,
        document=entry["doc_id"],
        variant=variant,
        prompt=entry["arguments"][0][0],
        target=str(entry["target"]),
        output=entry["resps"][0][0],
        parsed=parsed if is_parsed else None,
        outcome=_outcome(entry[suite.metric], is_parsed),
    )


def _ranked(suite: Suite, task: Any, entry: Logged, variant: Variant) -> Sample:
    """Of equally likely choices the first counts, as in lm-eval."""
    choices = [str(choice) for choice in task.doc_to_choice(entry["doc"])]
    likelihoods = [float(response[0]) for response in entry["filtered_resps"]]
    picked = choices[max(range(len(choices)), key=lambda index: (likelihoods[index], -index))]
    gold = task.doc_to_text(entry["doc"]) if task.multiple_input else entry["target"]
    return Sample(
        task=task.task_name,
        document=entry["doc_id"],
        variant=variant,
        prompt=entry["arguments"][0][0],
        target=choices[gold] if isinstance(gold, int) else str(gold),
        output=picked,
        parsed=picked,
        outcome=_outcome(entry[suite.metric], is_parsed=True),
    )


def _outcome(value: Any, is_parsed: bool) -> Outcome:
    score = float(value)
    if score not in (0.0, 1.0):
        raise UserError(f"an item's score is {score}, expected 0 or 1")
    if score == 1.0:
        return "correct"
    return "wrong" if is_parsed else "unparsed"


def to_jsonl(samples: Iterable[Sample]) -> bytes:
    """The bytes of samples.jsonl."""
    return b"".join(sample.model_dump_json().encode() + b"\n" for sample in samples)


def raw_answers(logged: Sequence[Logged]) -> list[Any]:
    """Every answer as the model gave it, in order: texts, or log-likelihoods."""
    return [[entry["doc_id"], entry["resps"]] for entry in sorted(logged, key=lambda e: (e["filter"], e["doc_id"]))]


def documents_sha256(logged: Sequence[Logged]) -> str:
    """Hash over the items, in order."""
    return _hash({entry["doc_id"]: entry["doc"] for entry in logged})


def prompts_sha256(logged: Sequence[Logged]) -> str:
    """Hash over the requests' texts (prompts, and continuations of ranked choices), in order."""
    texts = {
        entry["doc_id"]: [[part for part in request if isinstance(part, str)] for request in entry["arguments"]]
        for entry in logged
    }
    return _hash(texts)


def generation_sha256(suite: Suite, task: Any) -> str:
    """Hash over the settings and the definition of a task, its functions' source included, its data's place left out."""
    config = task.config.to_dict()
    for key in ("dataset_path", "dataset_name", "dataset_kwargs", "custom_dataset", "task_alias", "fewshot_config"):
        config.pop(key, None)
    config["metadata"] = {"version": task.VERSION}
    config["counts"] = [suite.metric, suite.filter]
    return _hash(config)


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()
