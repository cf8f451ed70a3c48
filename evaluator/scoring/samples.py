"""Turns lm-eval's logged samples into lines of samples.jsonl: prompt, output, the answer read, and how it counts."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from evaluator.scoring.counting import PROBABILITY, choice_probability
from evaluator.tasks.suites import Counting
from schemas.errors import UserError
from schemas.evaluation.eval_report import Outcome, Sample, Variant

UNPARSED = "[invalid]"  # what lm-eval's regex filter returns where nothing fits
Logged = Mapping[str, Any]


def read_samples(counting: Counting, task: Any, logged: Sequence[Logged], variant: Variant) -> list[Sample]:
    """The samples of one task and variant, in the order of the items.

    Args:
        counting: names the metric and the filter that count, or reads and scores itself.
        task: the lm-eval task object.
        logged: lm-eval's samples of this task, all filters.
        variant: who answered.
    """
    chosen = sorted(
        (entry for entry in logged if entry["filter"] == counting.filter), key=lambda entry: entry["doc_id"]
    )
    read = _ranked if task.OUTPUT_TYPE != "generate_until" else _scored if counting.scorer else _generated
    return [read(counting, task, entry, variant) for entry in chosen]


def _generated(counting: Counting, task: Any, entry: Logged, variant: Variant) -> Sample:
    """Read by lm-eval's filter, scored by its metric."""
    parsed = str(entry["filtered_resps"][0])
    answer = parsed if parsed != UNPARSED else None
    return made_sample(task, entry, variant, str(entry["target"]), entry["resps"][0][0], answer, entry[counting.metric])


def _scored(counting: Counting, task: Any, entry: Logged, variant: Variant) -> Sample:
    """Read and scored as a suite file says."""
    assert counting.reader is not None
    assert counting.scorer is not None
    text = str(entry["resps"][0][0])
    answer = counting.reader(text)
    score = 0.0 if answer is None else counting.scorer(answer, entry["doc"]["accepted"])
    return made_sample(task, entry, variant, entry["doc"]["right"], text, answer, score)


def _ranked(counting: Counting, task: Any, entry: Logged, variant: Variant) -> Sample:
    """Of equally likely choices the first counts, as in lm-eval."""
    choices = [str(choice) for choice in task.doc_to_choice(entry["doc"])]
    likelihoods = [float(response[0]) for response in entry["filtered_resps"]]
    picked = choices[max(range(len(choices)), key=lambda index: (likelihoods[index], -index))].strip()
    gold = task.doc_to_text(entry["doc"]) if task.multiple_input else entry["target"]
    target = choices[gold] if isinstance(gold, int) else str(gold)
    likely = counting.metric == PROBABILITY
    score = choice_probability(likelihoods, choices.index(target)) if likely else entry[counting.metric]
    return made_sample(task, entry, variant, target.strip(), picked, picked, score)


def made_sample(
    task: Any, entry: Logged, variant: Variant, target: str, output: str, answer: str | None, score: Any
) -> Sample:
    """One sample: from an item's answer and its score, 0 to 1, how it counts.

    Raises:
        UserError: the score is no number from 0 to 1.
    """
    outcome, value = _outcome(task, score, answer)
    return Sample(
        task=task.task_name,
        document=entry["doc_id"],
        variant=variant,
        prompt=entry["arguments"][0][0],
        target=target,
        output=output,
        parsed=answer,
        outcome=outcome,
        score=value,
        cluster=entry["doc"].get("cluster") if isinstance(entry["doc"], Mapping) else None,
    )


def _outcome(task: Any, score: Any, answer: str | None) -> tuple[Outcome, float | None]:
    """How an item counts, and the score of a partial one."""
    value = float(score) if isinstance(score, (int, float)) else math.nan  # lm-eval's corpus metrics give no number
    if not 0 <= value <= 1:
        raise UserError(
            f"task {task.task_name}: an item's score is {score!r}, expected a number from 0 to 1",
            fix="name a metric that scores each item by itself",
        )
    if value == 1:
        return "correct", None
    if value > 0:
        return "partial", value
    return ("wrong" if answer is not None else "unparsed"), None


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


def generation_sha256(counting: Counting, task: Any) -> str:
    """Hash over the settings and the definition of a task, its functions' source included, its data's place left out."""
    if counting.definition is not None:
        return _hash(counting.definition)
    config = task.config.to_dict()
    for key in ("dataset_path", "dataset_name", "dataset_kwargs", "custom_dataset", "task_alias", "fewshot_config"):
        config.pop(key, None)
    config["metadata"] = {"version": task.VERSION}
    config["counts"] = [counting.metric, counting.filter]
    return _hash(config)


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()
