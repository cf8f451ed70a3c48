"""Asks the judge over its OpenAI-compatible API; what it said once is kept and not asked again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openai import APIConnectionError, APIError, APIStatusError, AuthenticationError, OpenAI, PermissionDeniedError

from evaluator.scoring.response_cache import ResponseStore, request_key
from schemas.errors import UserError
from schemas.evaluation.suite_file import Judge
from schemas.storage.key_file import read_key

Messages = tuple[tuple[str, str], ...]
"""The turns of a conversation with the judge, each a role and a text."""
_CONCURRENT = 8
_RETRIES = 3
_SECONDS = 120.0


@dataclass(frozen=True)
class Judgement:
    """One answer of the judge."""

    text: str
    """What it said."""
    model: str
    """Its name, as the API gives it back."""


class JudgeEndpoint:
    """One judge with its kept answers."""

    def __init__(self, judge: Judge, answers: Path, key_file: Path | None = None) -> None:
        """Opens the store; nothing is sent yet.

        Args:
            judge: who is asked.
            answers: directory of the stored answers.
            key_file: holds the API key; None sends none. The suite file does not name it: whoever writes one would decide
                which secret goes to which address.

        Raises:
            UserError: the file holds no key.
        """
        self._judge, self._store = judge, ResponseStore(answers / "judgements.jsonl")
        self._client = OpenAI(
            base_url=judge.url,
            api_key=read_key(key_file) if key_file else "none",
            max_retries=_RETRIES,
            timeout=_SECONDS,
        )

    def require_an_answer(self) -> None:
        """Looks whether the judge is there, before hours are spent on what it should judge; a store is enough to go on.

        Raises:
            UserError: it does not answer, or refuses the key.
        """
        if len(self._store):
            return
        try:
            self._guarded(lambda: self._client.with_options(max_retries=1).models.list())
        except UserError as error:
            if not isinstance(error.__cause__, APIStatusError) or isinstance(error.__cause__, _REFUSED):
                raise  # an API without a list of models is one all the same

    def ask(self, conversations: Iterable[Messages], on_answer: Callable[[], object]) -> dict[Messages, Judgement]:
        """The judge's answer to each conversation.

        Raises:
            UserError: it does not answer, or not as such an API does. What it said until then is kept.
        """
        asked = list(dict.fromkeys(conversations))
        missing = [one for one in asked if self._store.get(self._id(one)) is None]
        for _ in range(len(asked) - len(missing)):
            on_answer()
        pool = ThreadPoolExecutor(_CONCURRENT)
        try:
            waiting = {pool.submit(self._ask, one): one for one in missing}
            for done in as_completed(waiting):
                self._store.add({self._id(waiting[done]): json.dumps(vars(done.result()))})
                on_answer()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
        return {one: Judgement(**json.loads(str(self._store.get(self._id(one))))) for one in asked}

    def _ask(self, messages: Messages) -> Judgement:
        turns: Any = [{"role": role, "content": text} for role, text in messages]
        answer = self._guarded(
            lambda: self._client.chat.completions.create(
                model=self._judge.model, messages=turns, max_tokens=self._judge.max_new_tokens, temperature=0.0
            )
        )
        try:
            return Judgement(str(answer.choices[0].message.content or ""), str(answer.model or self._judge.model))
        except (AttributeError, IndexError, TypeError):
            raise self._nonsense(answer) from None

    def _id(self, messages: Messages) -> str:
        settings = (self._judge.url, self._judge.model, self._judge.max_new_tokens)
        return request_key("judge", "chat", (*settings, messages), 0)

    def _guarded(self, ask: Callable[[], Any]) -> Any:
        """Turns the client's errors, once its own retries are used up, into the user's."""
        url = self._judge.url
        kept = "answers given so far are kept, and the same command goes on from there"
        try:
            return ask()
        except _REFUSED as error:
            raise UserError("the judge refuses the API key", where=url, fix="--judge-key-file FILE") from error
        except APIConnectionError as error:
            raise UserError(f"the judge does not answer: {error}", where=url, fix=f"start it, or mend judge.url; {kept}") from error  # fmt: skip
        except APIStatusError as error:
            raise UserError(f"the judge answers {error.status_code}: {error.message:.300}", where=url, fix=f"check judge.url and judge.model; {kept}") from error  # fmt: skip
        except (APIError, ValueError) as error:
            raise self._nonsense(error) from error

    def _nonsense(self, found: object) -> UserError:
        return UserError(
            f"what answers is no OpenAI-compatible API: {found!s:.200}", where=self._judge.url, fix="mend judge.url"
        )


_REFUSED = (AuthenticationError, PermissionDeniedError)
