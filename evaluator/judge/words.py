"""What a judge is asked, and how its words are read: a grade, or which of two answers is better.

The form `[[...]]` at the end is that of MT-Bench (Zheng et al. 2023), and so is asking about a pair in both orders: judges
favour a place.
"""

from __future__ import annotations

import re

from schemas.evaluation.suite_file import Judged

_VERDICT = re.compile(r"\[\[\s*([ABC]|[-+]?\d+(?:\.\d+)?)\s*\]\]")
_PAIR = {"A": 1.0, "B": 0.0, "C": 0.5}
"""What the first answer of a pair scores."""


def questions(counts: Judged, rubric: str, asked: str, right: str, answer: str) -> list[str]:
    """What the judge is asked about one answer: one question for a grade, two for a pair.

    Args:
        counts: the scale, or pairs.
        rubric: the rubric, made for this item.
        asked: what the model was asked.
        right: the target; empty where there is none.
        answer: what the model answered.
    """
    if counts.pairs:
        return [_pair(counts, rubric, asked, *order) for order in ((answer, right), (right, answer))]
    reference = _part("Reference answer", right) if right else ""
    return [f"{rubric}\n\n{_part('Question', asked)}{reference}{_part('Answer', answer)}{form(counts)}"]


def _pair(counts: Judged, rubric: str, asked: str, first: str, second: str) -> str:
    return f"{rubric}\n\n{_part('Question', asked)}{_part('Answer A', first)}{_part('Answer B', second)}{form(counts)}"


def _part(title: str, text: str) -> str:
    return f"[Begin of {title}]\n{text}\n[End of {title}]\n\n"


def form(counts: Judged) -> str:
    """How the judge has to end."""
    if counts.pairs:
        return (
            "Which answer is better? Do not let the order of the answers or their length sway you. Say why in a few "
            "sentences, then end with [[A]] if answer A is better, [[B]] if answer B is better, and [[C]] for a tie."
        )
    return (
        f"Grade the answer from {counts.lowest} (worst) to {counts.highest} (best). Say why in a few sentences, then end with "
        f"the grade in double brackets, such as [[{counts.lowest}]]."
    )


def score(counts: Judged, said: str) -> float | None:
    """What the last `[[...]]` counts, 0 to 1, for the (first) answer; None where there is none, or none of this scale."""
    found = _VERDICT.findall(said)
    if not found:
        return None
    if counts.pairs:
        return _PAIR.get(found[-1])
    grade = float(found[-1]) if found[-1] not in _PAIR else float("nan")
    if not counts.lowest <= grade <= counts.highest:
        return None
    return (grade - counts.lowest) / (counts.highest - counts.lowest)


def total(scores: list[float]) -> float:
    """The score of an answer: its grade, or the mean of both orders of its pair, in the second of which it stands last."""
    return scores[0] if len(scores) == 1 else (scores[0] + 1 - scores[1]) / 2
