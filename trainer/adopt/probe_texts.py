"""The texts that an adopted adapter is recorded on: the user's rows, or a few questions with the adapter's own answers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from peft import PeftModel
from transformers import GenerationConfig, PreTrainedTokenizerBase

from schemas.errors import UserError
from schemas.prompt import TEMPLATES, TemplateName
from schemas.training.train_config import DataConfig
from trainer.data.sources import load_sources
from trainer.data.tokenization import Example, make_examples
from trainer.export.reference_logprobs import probe_examples

QUESTIONS = (
    "What is the capital of France?",
    "Write a Python function that reverses a string.",
    "If a train travels 60 km in 45 minutes, what is its average speed in km/h?",
    "Summarise in one sentence: The meeting was moved from Monday to Thursday because the room was taken.",
    "Is the following review positive or negative? The food was cold and the waiter was rude.",
    "Translate into German: Where is the nearest station?",
    "Name three primary colours.",
    "Which is heavier, a kilogram of feathers or a kilogram of iron?",
)
_ANSWER_TOKENS = 16
_LONGEST = 512


def probe_texts(
    adapted: PeftModel,
    tokenizer: PreTrainedTokenizerBase,
    template: TemplateName | None,
    data: Path | None,
    window: int | None,
) -> list[Example]:
    """The texts, each a prompt and an answer.

    Args:
        adapted: the base with the adapter, which answers where no data are given.
        tokenizer: the base's.
        template: how prompts are written; None takes the chat template where the tokenizer has one, else plain text.
        data: rows in the trainer's form, chats for `chat` and records otherwise; None asks QUESTIONS.
        window: tokens that the base can take; None does not ask.

    Raises:
        UserError: the rows cannot be read, or no row is left.
    """
    template = template or ("chat" if tokenizer.chat_template else "plain")
    if data is not None:
        return _of_rows(data, tokenizer, template, window)
    prompts = [_prompt(question, tokenizer, template) for question in QUESTIONS]
    if any(not ids for ids in prompts):
        raise UserError("the chat template writes an empty prompt", where="--template", fix="name another template")
    return [_answered(adapted, ids, tokenizer) for ids in prompts]


def _of_rows(
    data: Path, tokenizer: PreTrainedTokenizerBase, template: TemplateName, window: int | None
) -> list[Example]:
    form = {"format": "messages"} if template == "chat" else {"template": template}
    settings = DataConfig.model_validate({"train": [str(data)], "max_length": _LONGEST, **form})
    kept = make_examples(load_sources(settings), tokenizer, settings, window=window, quiet=True).kept
    return list(probe_examples(kept))


def _prompt(question: str, tokenizer: PreTrainedTokenizerBase, template: TemplateName) -> list[int]:
    if template == "chat":
        text = tokenizer.apply_chat_template(
            [{"role": "user", "content": question}], tokenize=False, add_generation_prompt=True
        )
        chat: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
        return chat
    ids: list[int] = tokenizer(TEMPLATES[template].evaluation_prompt(question))["input_ids"]
    return ids


def _answered(adapted: PeftModel, prompt: Sequence[int], tokenizer: PreTrainedTokenizerBase) -> Example:
    """The prompt with the adapter's greedy answer: what it was trained to write tells it from its base."""
    settings = GenerationConfig(
        max_new_tokens=_ANSWER_TOKENS,
        do_sample=False,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    ids = torch.tensor([list(prompt)], device=adapted.device)
    whole = adapted.generate(
        input_ids=ids, attention_mask=torch.ones_like(ids), generation_config=settings, use_cache=True
    )
    tokens = tuple(whole[0].tolist())
    answers = tuple(position >= len(prompt) for position in range(len(tokens)))
    return Example(tokens, answers, boundary=len(prompt) - 1)
