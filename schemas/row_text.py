"""Jinja texts over the fields of a row, in a sandbox, where a name that is not there is an error and not an empty text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jinja2 import StrictUndefined, Template, TemplateError, TemplateSyntaxError, UndefinedError, meta
from jinja2.sandbox import ImmutableSandboxedEnvironment

from schemas.errors import UserError

_ENVIRONMENT = ImmutableSandboxedEnvironment(undefined=StrictUndefined, keep_trailing_newline=True)


def same_text(one: str, other: str) -> bool:
    """Whether two Jinja texts are the same, but for white space inside their tags."""
    first, second = ([part for part in _ENVIRONMENT.lex(text) if part[1] != "whitespace"] for text in (one, other))
    return [part[1:] for part in first] == [part[1:] for part in second]


class RowText:
    """One text of a task, such as its prompt."""

    def __init__(self, source: str, name: str, where: object) -> None:
        """Compiles the text.

        Args:
            source: the Jinja text.
            name: what it is in the suite file, such as `tasks.capitals.prompt`.
            where: the suite file.

        Raises:
            UserError: it is no Jinja.
        """
        self._name, self._where = name, where
        try:
            self._template: Template = _ENVIRONMENT.from_string(source)
            self.fields = frozenset(meta.find_undeclared_variables(_ENVIRONMENT.parse(source)))
        except TemplateSyntaxError as error:
            raise UserError(f"{name} is no Jinja text: {error.message}, line {error.lineno}", where=where) from None

    def __call__(self, row: Mapping[str, Any], place: str) -> str:
        """The text of one row.

        Args:
            row: its fields.
            place: where it is, for errors.

        Raises:
            UserError: the row lacks a field that the text uses, or the text cannot be made of it.
        """
        try:
            return self._template.render(row)
        except UndefinedError as error:
            missing = sorted(self.fields - row.keys())
            if missing:
                raise UserError(
                    f"{self._name} uses {missing[0]!r}, which this row does not have", where=place, fix=_fields(row)
                ) from None
            raise UserError(f"{self._name}: {error.message}", where=place) from None
        except (TemplateError, TypeError, ValueError, ArithmeticError) as error:  # a filter met a value it cannot take
            raise UserError(f"{self._name} cannot be made of this row: {error}", where=place) from None


def field_of(row: Mapping[str, Any], field: str, name: str, place: str) -> Any:
    """A field's value.

    Raises:
        UserError: the row does not have it.
    """
    if field not in row:
        raise UserError(
            f"{name} names the field {field!r}, which this row does not have", where=place, fix=_fields(row)
        )
    return row[field]


def _fields(row: Mapping[str, Any]) -> str:
    return f"it has {', '.join(map(str, row)) or 'no fields'}"
