"""Names and answers that somebody else chose, as text that no terminal, forge or XML reader takes for its own language."""

from __future__ import annotations

import re

_UNSEEN = "\u200b"
_MARKDOWN = {
    "\\": "\\\\", "|": "\\|", "`": "\\`", "*": "\\*", "~": "\\~", "<": "&lt;", ">": "&gt;", "&": "&amp;", "$": "&#36;",
}  # fmt: skip


def one_line(text: str) -> str:
    """The text on one line: line breaks, escape sequences, lone surrogates and marks of direction become spaces."""
    return "".join(character if character.isprintable() else " " for character in text)


class Formatted(str):
    """Markdown of our own making, which may look like Markdown."""

    __slots__ = ()


def markdown(text: str) -> str:
    """One line that Markdown shows as it is: no link, image, mention, formula, HTML or table cell comes of it."""
    if isinstance(text, Formatted):
        return text
    line = "".join(_MARKDOWN.get(character, character) for character in one_line(text))
    line = line.replace("![", "!\\[").replace("](", "]\\(").replace("][", "]\\[")
    line = re.sub(r"(?<![^\W_])_|_(?![^\W_])", r"\\_", line)  # within a word an underscore is only itself
    # Forges look for these after Markdown is done, where no backslash helps.
    return re.sub(r"([@#])(?=\w)|(:)(?=//)|(www)(?=\.)", rf"\g<0>{_UNSEEN}", line)
