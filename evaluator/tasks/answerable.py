"""Holds every item against its own answer: what is read as wrong even then, no model can answer right."""

from __future__ import annotations

from typing import Any

from schemas.errors import UserError

_NAMED = 5


def require_answerable(task: Any, metric: str, reading: str, where: str) -> None:
    """Gives each item's target back as the model's answer, through the task's own filters and metric.

    Args:
        task: an lm-eval task that generates.
        metric: lm-eval's name of the primary metric.
        reading: lm-eval's name of the filter that reads the primary answer.
        where: the task's file, or its name.

    Raises:
        UserError: an item's own answer does not count as right; the rows are named.
    """
    items = list(task.eval_docs)
    instances = [_answered(task, item, number) for number, item in enumerate(items)]
    for ensemble in task._filters:
        ensemble.apply(instances)
    wrong = [
        number
        for number, (item, instance) in enumerate(zip(items, instances, strict=True), start=1)
        if not task.process_results(item, [instance.filtered_resps[reading]])[metric]
    ]
    if wrong:
        rows = ", ".join(map(str, wrong[:_NAMED])) + (" ..." if len(wrong) > _NAMED else "")
        raise UserError(
            f"{len(wrong)} of {len(items)} items of {task.config.task} cannot be answered right: their own answer is read as wrong",
            where=f"{where}, row {rows}",
            fix=f"mend or remove them; an answer reads like {task.doc_to_target(items[0])!r:.60}"
            if 1 not in wrong
            else "mend or remove them",
        )


def _answered(task: Any, item: Any, number: int) -> Any:
    from lm_eval.api.instance import Instance

    instance = Instance(request_type="generate_until", doc=item, arguments=("", {}), idx=0)
    instance.doc_id = number
    instance.resps = [str(task.doc_to_target(item))]
    return instance
