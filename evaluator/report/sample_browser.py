"""The items that the sample browser shows, as compact JSON inside the page."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from evaluator.comparison.summary import Summary
from evaluator.tasks.names import short_names
from schemas.evaluation.eval_report import Sample


def browser_data(results: Sequence[Summary], most: int) -> dict[str, Any]:
    """At most `most` items: first those on which groups differ or whose answer is unparsed, then the rest, in order.

    Of a group with several seeds, the first run answers.
    """
    items = [item for result in results for item in _items(result)]
    interesting = [item for item in items if _is_interesting(item)]
    plain = [item for item in items if not _is_interesting(item)]
    groups = list(dict.fromkeys(row.group.label for result in results for row in result.rows))
    return {"groups": groups, "items": [*interesting, *plain][:most], "total": len(items)}


def to_script(data: dict[str, Any]) -> Markup:
    """JSON that no text inside can end: `<` is written as an escape."""
    return Markup(json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c"))  # noqa: S704


def _items(result: Summary) -> list[dict[str, Any]]:
    first = [(row.group.label, row.group.runs[0]) for row in result.rows]
    tasks = list(result.rows[0].tasks)
    names = short_names(tasks)
    listed = []
    for task in tasks:
        answers = {label: one.samples(task) for label, one in first}
        for key, sample in answers[first[0][0]].items():
            listed.append(
                {
                    "suite": result.suite,
                    "task": names[task],
                    "item": sample.document,
                    "prompt": sample.prompt,
                    "target": sample.target,
                    "answers": {label: _answer(samples[key]) for label, samples in answers.items()},
                }
            )
    return listed


def _answer(sample: Sample) -> list[str | float | None]:
    return [sample.outcome, sample.output, sample.parsed, round(sample.value, 4)]


def _is_interesting(item: dict[str, Any]) -> bool:
    outcomes = {answer[0] for answer in item["answers"].values()}
    return len(outcomes) > 1 or "unparsed" in outcomes
