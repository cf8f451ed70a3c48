"""The records of a task set, made once for all tests."""

from functools import cache

from studies.synthetic.tasks import TASK_SETS, Split, make_records
from studies.synthetic.world import make_world


@cache
def records(task: str, split: Split, task_set: str = "quickstart") -> list[dict[str, str]]:
    return make_records(make_world(), task, split, items=TASK_SETS[task_set].items)
