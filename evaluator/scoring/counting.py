"""How much an answer counts, 0 to 1, in the way that a suite file names. Metrics are those of the libraries that papers use."""

from __future__ import annotations

import json
import math
import re
import string
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from evaluator.scoring.reading import to_number
from schemas.evaluation.suite_file import Answer, AnyOf, Counts, ExactMatch, NumberAnswer

Scorer = Callable[[str, Sequence[str]], float]
"""From an answer and the right ones to a score."""
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


PROBABILITY = "probability"
"""The metric of `choice_probability`."""


def scorer_of(answer: Answer, counts: Counts) -> Scorer | None:
    """The scorer that a suite file asks for, of several right answers the best counts; None where sandbox or judge decide."""
    if isinstance(answer, NumberAnswer):
        return lambda given, right: float(any(_close(given, one, answer) for one in right))
    if isinstance(counts, (ExactMatch, AnyOf)):
        fold = str.casefold if counts.ignore_case else str
        return lambda given, right: float(fold(given) in map(fold, right))
    measure = _MEASURES.get(counts.kind)
    if measure is None:
        return None
    return lambda given, right: max(measure(given, one) for one in right)


def metric_name(answer: Answer, counts: Counts) -> str:
    """What reports call the metric."""
    if counts.kind == PROBABILITY:
        return PROBABILITY
    return {"number": "number", "choice": "acc"}.get(answer.kind, counts.kind)


def choice_probability(log_likelihoods: Sequence[float], right: int) -> float:
    """The right option's probability among the options."""
    highest = max(log_likelihoods)
    weights = [math.exp(one - highest) for one in log_likelihoods]
    return weights[right] / math.fsum(weights)


def _close(given: str, right: str, answer: NumberAnswer) -> bool:
    one, other = to_number(given), to_number(right)
    assert one is not None, "the answer was read as a number"
    assert other is not None, "targets are checked when a suite is loaded"
    # The tolerance is a decimal and so are the numbers: 0.3 and 0.1 are within 0.2 of each other.
    return abs(one - other) <= max(answer.tolerance, answer.relative * abs(other)) * (1 + 1e-9) + 1e-12 * abs(other)


def token_f1(given: str, right: str) -> float:
    """F1 of the words, as SQuAD counts them: lower case, no articles, no punctuation (Rajpurkar et al. 2016)."""
    ours, theirs = _words(given), _words(right)
    if not ours or not theirs:
        return float(ours == theirs)
    shared = sum((Counter(ours) & Counter(theirs)).values())
    return 2 * shared / (len(ours) + len(theirs))


def rouge_l(given: str, right: str) -> float:
    """ROUGE-L's F measure, without stemming."""
    return float(_rouge().score(right, given)["rougeL"].fmeasure)


def chrf(given: str, right: str) -> float:
    """chrF2 of sacrebleu, as a fraction."""
    return min(1.0, float(_chrf().sentence_score(given, [right]).score) / 100)


def json_equal(given: str, right: str) -> float:
    """1 where both are JSON of the same value."""
    try:
        return float(_plain(json.loads(given)) == _plain(json.loads(right)))
    except ValueError:
        return 0.0


def json_fields(given: str, right: str) -> float:
    """F1 of the fields: the share of paths with their values that both JSON texts have."""
    try:
        ours, theirs = (set(_fields("", json.loads(text))) for text in (given, right))
    except ValueError:
        return 0.0
    return 2 * len(ours & theirs) / (len(ours) + len(theirs)) if ours or theirs else 1.0


_MEASURES: Mapping[str, Callable[[str, str], float]] = {
    "f1": token_f1,
    "rouge_l": rouge_l,
    "chrf": chrf,
    "json_equal": json_equal,
    "json_fields": json_fields,
}


def _words(text: str) -> list[str]:
    return _ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split()


def _fields(path: str, value: Any) -> Iterator[tuple[str, str]]:
    """Every leaf of a JSON value with its path."""
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    if parts is None:
        yield path, json.dumps(value)
        return
    for key, part in parts:
        yield from _fields(f"{path}/{json.dumps(key)}", part)


def _plain(value: Any) -> Any:
    """A value that tells `true` from 1, which Python does not."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return (type(value) is bool, value)


@cache
def _rouge() -> Any:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(["rougeL"])


@cache
def _chrf() -> Any:
    from sacrebleu.metrics.chrf import CHRF

    return CHRF()
