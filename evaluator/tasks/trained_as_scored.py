"""Whether an adapter is asked in the words that it was trained with: a score says little where it is not."""

from __future__ import annotations

from evaluator.tasks.load import LoadedTasks
from schemas.evaluation.suite_file import OwnTask, Task
from schemas.prompt import OWN
from schemas.row_text import same_text

_CHATS = "the adapter was trained on chats and is asked raw prompts, without the chat template: its score does not tell how it answers in a chat"  # fmt: skip


def prompt_differences(template: str | None, prompt: str | None, loaded: LoadedTasks) -> tuple[str, ...] | None:
    """What a reader of the report must know of the adapter's prompt; None where its training's is unknown.

    Args:
        template: the prompt template of its training; None without an adapter, or where that is unknown.
        prompt: the same as a Jinja text; None where a chat template made it.
        loaded: what it is scored on.
    """
    if template is None:
        return None
    suite = loaded.suite
    if suite.own is None:
        return () if template == suite.template else (_difference(template, suite.template),)
    other = [name for name in loaded.tasks if not _as_trained(suite.own.tasks[name], template, prompt)]
    if not other:
        return ()
    tasks = "" if len(other) == len(loaded.tasks) else f" (in {', '.join(other)})"
    return (f"{_difference(template, None)}{tasks}",)


def _as_trained(task: Task, template: str, prompt: str | None) -> bool:
    if not isinstance(task, OwnTask):
        return False  # lm-eval's tasks have prompts of their own
    if task.messages is not None:
        return template == "chat"
    return task.as_trained or (prompt is not None and task.prompt is not None and same_text(prompt, task.prompt))


def _difference(trained: str, asked: str | None) -> str:
    if trained == "chat":
        return _CHATS
    words = "a prompt of its own (`data.prompt`)" if trained == OWN else f"the prompt `{trained}`"
    other = f"`{asked}`" if asked else "the suite's own"
    return f"the adapter was trained with {words} and is asked with another, {other}"
