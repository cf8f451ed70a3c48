"""Reads an answer out of a model's text, in the way that a suite file names."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from typing import Any

from schemas.evaluation.suite_file import AfterMarker, Answer, JsonField, NumberAnswer, RegexAnswer

Reader = Callable[[str], str | None]
"""From a text to the answer in it; None where there is none."""
_NUMBER = re.compile(r"[-+]?(?:(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d+)?")


def reader_of(answer: Answer) -> Reader:
    """The reader that a suite file asks for."""
    if isinstance(answer, RegexAnswer):
        return lambda text: _found(answer, text)
    if isinstance(answer, AfterMarker):
        return lambda text: _after(answer.marker, text)
    if isinstance(answer, JsonField):
        return lambda text: _json_field(answer.field, text)
    if isinstance(answer, NumberAnswer):
        return _last_number
    return lambda text: text.strip() or None


def to_number(text: str) -> float | None:
    """The last number in a text, thousands' commas allowed; None where there is none."""
    found = _last_number(text)
    number = math.nan if found is None else float(found.replace(",", ""))
    return number if math.isfinite(number) else None


def _last_number(text: str) -> str | None:
    found = _NUMBER.findall(text)
    return str(found[-1]) if found and math.isfinite(float(found[-1].replace(",", ""))) else None


def _found(answer: RegexAnswer, text: str) -> str | None:
    matches = list(re.finditer(answer.pattern, text))
    if not matches:
        return None
    match = matches[-1 if answer.last else 0]
    group = answer.group if answer.group is not None else min(1, match.re.groups)
    given: str | None = match[group]
    return given.strip() if given is not None else None


def _after(marker: str, text: str) -> str | None:
    _, found, rest = text.rpartition(marker)
    line = rest.strip().partition("\n")[0].strip()
    return line or None if found else None


def _json_field(field: str | None, text: str) -> str | None:
    value = _first_json(text)
    for key in field.split(".") if field else ():
        value = value.get(key) if isinstance(value, dict) else None
    if value is None:
        return None
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _first_json(text: str) -> Any:
    """The first object or list in a text, whatever stands around it."""
    decoder = json.JSONDecoder()
    for start in (match.start() for match in re.finditer(r"[{\[]", text)):
        try:
            return decoder.raw_decode(text, start)[0]
        except ValueError:
            continue
    return None
