"""The base model is the control: an adapter that changes no answer was not applied, and its scores are the base's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evaluator.scoring.samples import raw_answers
from schemas.errors import UserError
from schemas.evaluation.eval_report import Variant

_FEWEST = 8  # on fewer items, an adapter that acts may still agree with its base everywhere


def require_that_the_adapter_acts(logged: Mapping[Variant, Mapping[str, Sequence[Mapping[str, Any]]]]) -> None:
    """Compares every raw answer (texts, log-likelihoods) of the two variants; nothing to do where one variant is missing.

    Raises:
        UserError: all answers are equal, on enough items, and not just empty.
    """
    if len(logged) < 2:
        return
    base, adapter = (
        {task: raw_answers(rows) for task, rows in logged[variant].items()} for variant in ("base", "adapter")
    )
    items = [row for rows in base.values() for row in rows]
    said_something = any(answer not in ("", None) for _, answers in items for group in answers for answer in group)
    if base == adapter and said_something and len(items) >= _FEWEST:
        raise UserError(
            f"the adapter's answers equal the base's on all {len(items)} items: it was not applied, or it does nothing",
            fix="check that training changed it (metrics.jsonl), and that this backend supports it; no report was written",
        )
