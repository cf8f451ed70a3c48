"""Steps from one schema version to the next, on plain data: change what is at a path, rename a key."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Change = Callable[[Any], Any]


def change_at(data: Any, path: str, change: Change) -> Any:
    """A copy of the data with `change` applied at every place that the path names; what is not there is left alone.

    Args:
        data: plain data, of whatever form a file may have.
        path: keys with dots between; `*` stands for every key of a mapping and every item of a list.
        change: what to do with the value there.
    """
    head, _, rest = path.partition(".")
    inner: Change = (lambda value: change_at(value, rest, change)) if rest else change
    if isinstance(data, dict):
        return {key: inner(value) if head in ("*", key) else value for key, value in data.items()}
    return [inner(value) for value in data] if isinstance(data, list) and head == "*" else data


def rename(names: Mapping[str, str]) -> Change:
    """Renames keys, old to new. A key whose new name is taken stays, for the schema to refuse: nothing is lost in silence."""

    def renamed(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {key if names.get(key, key) in value else names[key]: one for key, one in value.items()}

    return renamed
