"""Whether an adapter is asked in the words that it was trained with: a score says little where it is not."""

from __future__ import annotations

from evaluator.tasks.suites import Suite


def prompt_notes(trained: str | None, suite: Suite) -> tuple[str, ...]:
    """What a reader of the report must know of the adapter's prompt.

    Args:
        trained: the prompt template of its training; None without an adapter.
        suite: what it is scored on.
    """
    if trained is None or trained == suite.template:
        return ()
    if trained == "chat":
        return ("the adapter was trained on chats and is asked raw prompts, without the chat template: its score does not tell how it answers in a chat",)  # fmt: skip
    asked = f"`{suite.template}`" if suite.template else "the suite's own"
    return (f"the adapter was trained with the prompt `{trained}` and is asked with another, {asked}",)
