"""Bounds what a client may ask the engine to compile: schemas, regular expressions, grammars and tools.

vLLM checks a grammar on the event loop that answers everybody and compiles it on one or a few threads, without an end in
time: a regular expression of 4,000 bytes keeps xgrammar busy for minutes. These bounds are far above what people write,
and below what takes a second.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

FIELDS = ("structured_outputs", "response_format", "tools")
"""Parts of a request that are compiled."""
VALUES = 2000
"""Objects, lists, keys and scalars in one part; xgrammar's time grows with the square of optional properties."""
DEPTH = 32
"""Objects and lists inside each other."""
CHARACTERS = 8 * 1024
"""Of one text, be it a grammar or a pattern inside a schema."""
QUANTIFIERS = 128
"""Of one pattern or grammar; xgrammar's time grows with their cube."""
REPEATS = 100_000
"""Product of the repetition counts of one pattern or grammar: what nested ones may grow to when they are written out."""

_COUNT = re.compile(r"\{\s*(\d*)\s*,?\s*(\d*)\s*\}")
_PATTERNS = ("regex", "grammar", "pattern", "patternProperties")
_JSON_TEXTS = ("json", "structural_tag")
Named = tuple[str, Any]
"""A value, and the key that it or its list stands under; a key counts as a value under its object's key."""


def grammar_fault(request: Mapping[str, Any]) -> str | None:
    """Why the request's grammars are too large to compile; None where they are not."""
    for field in FIELDS:
        if request.get(field) is not None and (fault := _fault(field, request[field])):
            return f"{field} {fault}"
    return None


def _fault(field: str, part: Any) -> str | None:
    for count, ((name, value), depth) in enumerate(_walk((field, part))):
        if count == VALUES:
            return f"holds more than {VALUES:,} values"
        if depth > DEPTH:
            return f"is nested deeper than {DEPTH} levels"
        if isinstance(value, str) and (fault := _text_fault(name, value)):
            return fault
    return None


def _walk(part: Named) -> Iterator[tuple[Named, int]]:
    """Every value and key with its depth, without recursion; JSON in a text counts as what it says."""
    pending = [(part, 1)]
    while pending:
        named, depth = pending.pop()
        yield named, depth
        pending.extend((child, depth + 1) for child in _children(*named))


def _children(name: str, value: Any) -> list[Named]:
    if isinstance(value, str) and name in _JSON_TEXTS:
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return []  # vLLM's 400
    if isinstance(value, dict):
        return [(name, key) for key in value] + list(value.items())
    return [(name, child) for child in value] if isinstance(value, list) else []


def _text_fault(name: str, text: str) -> str | None:
    if len(text) > CHARACTERS and name not in _JSON_TEXTS:
        return f"has a text of more than {CHARACTERS:,} characters"
    if name not in _PATTERNS:
        return None
    if sum(text.count(sign) for sign in "*+?{|") > QUANTIFIERS:
        return f"has a {name} with more than {QUANTIFIERS} quantifiers and alternatives"
    counts = (max(int(number[:12] or 1) for number in bounds) for bounds in _COUNT.findall(text))
    return f"has a {name} that repeats more than {REPEATS:,} times" if math.prod(counts) > REPEATS else None
