"""Which items are one observation and not several: what shares a passage, a document or its very words."""

from __future__ import annotations

from collections.abc import Iterable

from schemas.evaluation.eval_report import Sample


def clusters_of(samples: Iterable[Sample]) -> tuple[int, ...]:
    """[N] The number of each item's cluster. Items that share any of their keys, even over a third, stand or fall together.

    The words count whatever the item is called: an item that stands in a file twice is answered twice alike, and says
    no more than once.
    """
    parents: dict[object, object] = {}

    def root(key: object) -> object:
        while (parent := parents.setdefault(key, key)) != key:
            parents[key] = key = parents[parent]  # halves the path, so that long chains stay short
        return key

    keys = [_keys(sample) for sample in samples]
    for first, *others in keys:
        for other in others:
            parents[root(other)] = root(first)
    numbers: dict[object, int] = {}
    return tuple(numbers.setdefault(root(first), len(numbers)) for first, *_ in keys)


def _keys(sample: Sample) -> list[tuple[str, object]]:
    named = [] if sample.cluster is None else [("cluster", sample.cluster)]
    return [("document", sample.document), ("words", " ".join(sample.prompt.split())), *named]
