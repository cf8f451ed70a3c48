"""Reads and writes YAML: the one dialect of every file that people write for this product.

It is plain data in UTF-8. No key stands twice in a mapping, 1e-4 is a number, a date or 12:30 is text, and anchors may save
typing but not write a bomb.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any

import yaml

from schemas.errors import UserError
from schemas.storage.plain_file import read_bounded

MOST_BYTES = 1 << 16
MOST_NODES = 5_000  # as written out, each alias counted as what it stands for
MOST_LEVELS = 40
_TAG = "tag:yaml.org,2002:"
_FLOAT = re.compile(
    r"[-+]?(?:\d[\d_]*\.[\d_]*(?:[eE][-+]?\d+)?|\.\d[\d_]*(?:[eE][-+]?\d+)?|\d+[eE][-+]?\d+|\.(?:inf|Inf|INF))|\.(?:nan|NaN|NAN)"
)
_INT = re.compile(r"[-+]?(?:0|[1-9][\d_]*|0b[01][01_]*|0x[\da-fA-F][\da-fA-F_]*)")


def read_yaml(path: Path, title: str, *, fix: str | None = None, text_tags: Sequence[str] = ()) -> dict[str, Any]:
    """A YAML file's mapping.

    Args:
        path: the file.
        title: what the file should be, for errors.
        fix: what to do where it is missing.
        text_tags: tags, such as `!function`, whose values are read as their text.

    Raises:
        UserError: it is missing, no mapping, too large, repeats a key, or is not plain YAML.
    """
    return parse_yaml(read_bounded(path, title, limit=MOST_BYTES, fix=fix), title, where=path, text_tags=text_tags)


def parse_yaml(raw: bytes, title: str, *, where: object, text_tags: Sequence[str] = ()) -> dict[str, Any]:
    """The mapping that UTF-8 YAML text holds.

    Raises:
        UserError: see `read_yaml`.
    """
    try:
        loader = _Loader(raw.decode("utf-8-sig"))
        loader.text_tags = tuple(text_tags)
        data = loader.get_single_data()
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        fault = str(error.problem or error.context)[:200]
        raise UserError(f"the {title} is not YAML: {line}{fault}", where=where) from None
    except (yaml.YAMLError, ValueError) as error:  # ValueError: not UTF-8, or a number of thousands of digits
        raise UserError(f"the {title} is not YAML: {' '.join(str(error).split())[:200]}", where=where) from None
    if not isinstance(data, dict):
        raise UserError(f"the {title} is not a mapping of keys to values", where=where)
    return data


def to_yaml(data: Any) -> str:
    """Plain data as YAML text that `parse_yaml` reads back equal, keys in their order."""
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


class _Loader(yaml.SafeLoader):
    """SafeLoader that refuses what is no plain data, repeated keys and bombs, and knows which numbers are numbers."""

    text_tags: tuple[str, ...] = ()
    _level = 0
    _nodes = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Composes a node, counting as it goes: the text is refused at the place where it becomes too much."""
        self._level, self._nodes = self._level + 1, self._nodes + 1
        if self._level > MOST_LEVELS:
            raise _fault(f"more than {MOST_LEVELS} levels", self.get_mark())
        if self._nodes > MOST_NODES:
            raise _fault(f"more than {MOST_NODES:,} values", self.get_mark())
        node = super().compose_node(parent, index)
        self._level -= 1
        return node

    def get_single_node(self) -> yaml.Node | None:
        """The document's root, once its aliases, written out, are bounded too."""
        root = super().get_single_node()
        if root is not None:
            _extent(root, {})
        return root

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """The node's value; only plain data have one."""
        if node.tag in self.text_tags and isinstance(node, yaml.ScalarNode):
            return node.value
        if node.tag not in self._plain_tags(node):
            kind = node.tag.removeprefix(_TAG)
            found = f"{node.value!r} is no {kind}" if isinstance(node, yaml.ScalarNode) else f"{kind} is no plain data"
            raise _fault(found, node.start_mark)
        return super().construct_object(node, deep)

    def _plain_tags(self, node: yaml.Node) -> tuple[str, ...]:
        """Text may be called text; everything else is what it looks like, whatever an explicit tag says."""
        if isinstance(node, yaml.ScalarNode):
            return _TAG + "str", self.resolve(yaml.ScalarNode, node.value, (True, False))  # type: ignore[no-untyped-call]
        return (_TAG + ("map" if isinstance(node, yaml.MappingNode) else "seq"),)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """A mapping whose keys are words or numbers, each once; merged keys (`<<`) give way to the mapping's own."""
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _fault("a key is a list or a mapping", key.start_mark)
            if key.value in seen:
                raise _fault(f"key {key.value!r} is given twice", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    """SafeDumper that quotes what `_Loader` would take for a number, and writes every value out."""

    def ignore_aliases(self, data: Any) -> bool:
        """Always: a value that stands twice is written twice."""
        return True


def _fault(problem: str, mark: yaml.Mark | None) -> yaml.MarkedYAMLError:
    return yaml.constructor.ConstructorError(None, None, problem, mark)


def _extent(node: yaml.Node, known: dict[int, tuple[int, int] | None]) -> tuple[int, int]:
    """Nodes and levels from this node down, each alias written out; `known` holds those of every node so far."""
    if id(node) in known:
        extent = known[id(node)]
        if extent is None:  # still being counted
            raise _fault("an anchor contains itself", node.start_mark)
        return extent
    known[id(node)] = None
    nodes, levels = 1, 0
    for part in _parts(node):
        more, depth = _extent(part, known)
        nodes, levels = nodes + more, max(levels, depth)
        if nodes > MOST_NODES or levels >= MOST_LEVELS:
            raise _fault("too many values or levels with the aliases written out", part.start_mark)
    known[id(node)] = extent = nodes, levels + 1
    return extent


def _parts(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []


for _kind in (_Loader, _Dumper):
    # Inherited from YAML 1.1: dates, 12:30 as 750, 1e-4 as text, `=` as a value of its own.
    _kind.yaml_implicit_resolvers = {
        first: [(tag, form) for tag, form in forms if tag in (_TAG + "bool", _TAG + "null", _TAG + "merge")]
        for first, forms in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    _kind.add_implicit_resolver(_TAG + "float", re.compile(f"(?:{_FLOAT.pattern})$"), list("-+.0123456789"))
    _kind.add_implicit_resolver(_TAG + "int", re.compile(f"(?:{_INT.pattern})$"), list("-+0123456789"))
