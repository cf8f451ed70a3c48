"""Writes chats with the tokenizer's own template, and refuses where the template would leave something out."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from transformers import PreTrainedTokenizerBase

from schemas.errors import UserError
from trainer.data.messages import Chat

_TODAY = datetime(2024, 7, 26)
_OPENED = re.compile(r"<think>\s*$")
_FIX = "set a chat template that writes it, or take it out of the data"
_MEANINGFUL = ("tool_calls", "reasoning_content", "thinking", "refusal")


@dataclass(frozen=True)
class Turn:
    """An answer as the model will have to generate it."""

    prompt: str
    """Everything up to where generation starts."""
    answer: str
    """What is generated, its end marker included."""
    closed: bool
    """Whether the template itself ended the answer with the end-of-sequence."""


class ChatTemplate:
    """The template of one tokenizer.

    Args:
        tokenizer: has a chat template.
        where: names the row in errors.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, where: str) -> None:
        if not tokenizer.chat_template:
            raise UserError(
                "the base model's tokenizer has no chat template",
                where="data.format: messages",
                fix="use `format: records`",
            )
        self._tokenizer, self._where = tokenizer, where

    def turn(self, chat: Chat, index: int) -> Turn:
        """The answer at `index`, after the turns before it.

        Raises:
            UserError: the template fails, or begins an answered turn in another way than a generation.
        """
        message = chat.messages[index]
        prompt = self._render(chat.messages[:index], chat.tools, generation=True)
        whole = self._render(chat.messages[: index + 1], chat.tools, generation=False)
        if not str(message["content"]).strip() and "tool_calls" not in message:
            return Turn(prompt, "", closed=False)  # kept empty, so that it can be counted
        if whole.startswith(prompt):
            answer = whole[len(prompt) :]
            own = answer.replace(message["content"].strip(), "", 1) if message["content"].strip() else answer
            return Turn(prompt, answer, closed=str(self._tokenizer.eos_token) in own)
        return self._after_an_opened_thought(prompt, whole, message)

    def _after_an_opened_thought(self, prompt: str, whole: str, message: Mapping[str, Any]) -> Turn:
        """The answer to a prompt that ends in an opened thought, where the template cuts thoughts off answered turns."""
        opening = _OPENED.search(prompt)
        visible = message["content"].rpartition("</think>")[2].strip()
        if opening is None or not whole.startswith(prompt[: opening.start()]) or visible not in whole:
            raise UserError(
                "the chat template begins an answered turn in another way than a generation, so it is not defined where answers start",
                where=self._where,
                fix="set a chat template whose generation prompt is the beginning of an answered turn",
            )
        end = whole[whole.rfind(visible) + len(visible) :]
        answer = _thought_and_answer(message, opening.group())
        return Turn(prompt, answer + end, closed=str(self._tokenizer.eos_token) in end)

    def require_nothing_left_out(self, chat: Chat, last: int) -> None:
        """Compares what the template writes with and without each thing that a template may not know.

        Raises:
            UserError: tools, calls, a kept thought or a whole turn would vanish.
        """
        messages = chat.messages[: last + 1]
        whole = self._render(messages, chat.tools, generation=False)
        if chat.tools and self._render(messages, None, generation=False) == whole:
            raise UserError("the tokenizer's chat template leaves the row's tools out", where=self._where, fix=_FIX)
        for number, message in enumerate(messages):
            for key in self._meaningful(message, chat):
                bare = {name: value for name, value in message.items() if name != key}
                if self._last_turn(chat, number, bare) == self._last_turn(chat, number, message):
                    raise UserError(
                        f"the tokenizer's chat template leaves {key} out",
                        where=f"{self._where}, message {number + 1}",
                        fix=_FIX,
                    )
            if message["role"] != "assistant" and message["content"].strip() not in whole:
                other = {**message, "content": f"{message['content']} ..."}
                if (
                    self._render([*messages[:number], other, *messages[number + 1 :]], chat.tools, generation=False)
                    == whole
                ):
                    raise UserError(
                        f"the tokenizer's chat template leaves a turn of role {message['role']} out",
                        where=f"{self._where}, message {number + 1}",
                        fix=_FIX,
                    )

    def _meaningful(self, message: Mapping[str, Any], chat: Chat) -> list[str]:
        """Keys besides role and content that must show; a thought does in any case where the template opens one."""
        opened = "reasoning_content" in message and _OPENED.search(
            self._render(chat.messages[:1], chat.tools, generation=True)
        )
        return [key for key in _MEANINGFUL if key in message and not (opened and key == "reasoning_content")]

    def _last_turn(self, chat: Chat, number: int, message: Mapping[str, Any]) -> str | None:
        """The chat up to a turn; None where the template does not accept that."""
        try:
            return self._render([*chat.messages[:number], message], chat.tools, generation=False)
        except UserError:
            return None

    def _render(
        self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] | None, *, generation: bool
    ) -> str:
        try:
            text: str = self._tokenizer.apply_chat_template(
                list(messages),
                tools=list(tools) if tools else None,
                tokenize=False,
                add_generation_prompt=generation,
                strftime_now=_TODAY.strftime,
            )
        except Exception as error:  # a template is a program: it raises what it likes
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise UserError(f"the tokenizer's chat template refuses a chat: {reason}", where=self._where) from None
        return text


def _thought_and_answer(message: Mapping[str, Any], opening: str) -> str:
    """What follows an opened thought; an answer without one closes it empty, as Qwen3 and DeepSeek write that."""
    content = message["content"]
    if "</think>" in content:
        thought, _, visible = content.rpartition("</think>")
        thought = thought.lstrip().removeprefix("<think>")
        thought = thought.removeprefix("\n") if opening.endswith("\n") else thought
        return f"{thought}</think>{visible.rstrip()}"
    thought = str(message.get("reasoning_content", "")).strip("\n")
    return f"{thought}\n</think>\n\n{content.strip()}"
