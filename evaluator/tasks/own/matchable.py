"""Can a regular expression match anything at all? Builds texts that it should match, and tries them."""

from __future__ import annotations

import re
from itertools import islice, product
from re import _compiler as compiler  # type: ignore[attr-defined]
from re import _constants as c  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

_LETTERS = [chr(code) for code in range(32, 127)] + ["\n", "\t", "\u00e9", "\u4e2d", "\U0001f600", "\x00"]
_MOST_TRIES = 2_000
_AROUND = {c.ASSERT, c.ASSERT_NOT, c.GROUPREF_EXISTS}


def can_match(pattern: str) -> bool:
    """Whether some text matches. False only where that is sure enough: what looks around itself gets the doubt's benefit.

    Args:
        pattern: a regular expression that compiles.
    """
    expression, tree = re.compile(pattern), parser.parse(pattern)
    texts = islice(_texts(list(tree), {}), _MOST_TRIES)
    if any(expression.search(text) for text in texts):
        return True
    return _looks_around(tree) and not _forbids_everything(tree)


def _texts(nodes: list[Any], groups: dict[int, str]) -> Any:
    """Texts for a sequence of nodes, the plainest first."""
    parts = [list(islice(_node_texts(node, groups), 6)) for node in nodes]
    for chosen in product(*parts):
        yield "".join(chosen)


def _node_texts(node: Any, groups: dict[int, str]) -> Any:
    kind, value = node
    if kind is c.LITERAL:
        yield chr(value)
    elif kind in (c.NOT_LITERAL, c.IN, c.ANY, c.CATEGORY):
        yield from _letters(node)
    elif kind in (c.MAX_REPEAT, c.MIN_REPEAT, c.POSSESSIVE_REPEAT):
        least, most, inner = value
        for text in islice(_texts(list(inner), groups), 3):
            yield from (text * count for count in dict.fromkeys((least, min(most, least + 1))))
    elif kind is c.SUBPATTERN:
        for text in _texts(list(value[-1]), groups):
            groups[value[0]] = text
            yield text
    elif kind is c.ATOMIC_GROUP:
        yield from _texts(list(value), groups)
    elif kind is c.BRANCH:
        for branch in value[1]:
            yield from islice(_texts(list(branch), groups), 2)
    elif kind is c.GROUPREF:
        yield groups.get(value, "")
    else:  # positions and looks around take no letter themselves
        yield ""


def _letters(node: Any) -> Any:
    """Letters that a set of letters takes."""
    alone = parser.SubPattern(parser.State(), [node])
    alone.state.str = ""
    taken = compiler.compile(alone)
    yield from islice((letter for letter in _LETTERS if taken.fullmatch(letter)), 4)


def _looks_around(tree: Any) -> bool:
    return any(node[0] in _AROUND or any(map(_looks_around, _inner(node))) for node in tree)


def _forbids_everything(tree: Any) -> bool:
    """Whether an empty `(?!)` stands where every match must pass."""
    return any(node[0] is c.ASSERT_NOT and not list(node[1][1]) for node in tree)


def _inner(node: Any) -> list[Any]:
    kind, value = node
    if kind in (c.MAX_REPEAT, c.MIN_REPEAT, c.POSSESSIVE_REPEAT):
        return [value[2]]
    if kind is c.SUBPATTERN:
        return [value[-1]]
    return list(value[1]) if kind is c.BRANCH else []
