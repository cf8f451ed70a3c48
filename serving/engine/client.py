"""Asks the running server what it computes, through the same OpenAI API that clients use."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from typing import Any, Self

import httpx

from schemas.errors import UserError
from serving.engine.worker_extension import WorkerTensors
from serving.gateway.settings import APPLIED_PATH, ATTESTOR_HEADER

_BEFORE_CLIENTS = {"priority": -1}
"""The supervisor's requests are computed before those that wait, or a full server would look like a hung one."""


class EndpointClient:
    """The supervisor's way in: its secret lets it pass while the server is not ready for anybody else."""

    def __init__(self, address: str, secret: str, *, timeout: float = 300.0) -> None:
        self.address, self.secret = address, secret
        self.answered: Callable[[], None] = lambda: None
        # The address is this machine's own: a proxy from the environment must not see it.
        self._http = httpx.Client(
            base_url=address,
            headers={ATTESTOR_HEADER: secret},
            timeout=timeout,
            trust_env=False,
            limits=httpx.Limits(max_connections=None),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._http.close()

    def wait_until_listening(self, *, seconds: float, still_alive: Callable[[], None]) -> None:
        """Returns once the server answers; vLLM listens only after its engine has loaded.

        Raises:
            UserError: the time is over. Whatever `still_alive` raises.
        """
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            still_alive()
            try:
                if self._http.get("/v1/models", timeout=10).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.5)
        raise UserError(
            f"vLLM did not answer within {seconds:.0f} seconds", where=self.address, fix="give it --start-timeout more"
        )

    def context_length(self) -> int:
        """Longest prompt and answer, in tokens; the base's entry tells it."""
        return int(max(entry.get("max_model_len") or 0 for entry in self._get("/v1/models")["data"]))

    def log_probabilities(self, model: str, token_ids: Sequence[int]) -> list[float]:
        """Log-probability of each token after the first, given those before it."""
        answer = self._complete(model, token_ids, max_tokens=1, prompt_logprobs=0)
        entries = answer["choices"][0]["prompt_logprobs"]
        return [entry[str(token)]["logprob"] for entry, token in zip(entries[1:], token_ids[1:], strict=True)]

    def continue_greedily(self, model: str, prompts: Sequence[Sequence[int]], tokens: int) -> list[list[int]]:
        """Token ids of each prompt's greedy continuation, end-of-sequence ignored; the prompts go as one batch."""
        answer = self._complete(model, prompts, max_tokens=tokens, ignore_eos=True, return_token_ids=True)
        choices = sorted(answer["choices"], key=lambda choice: choice["index"])
        return [list(choice["token_ids"]) for choice in choices]

    def stream_greedily(self, model: str, prompt: Sequence[int], tokens: int) -> Generator[str]:
        """A greedy continuation piece by piece, end-of-sequence ignored; closing the iterator cancels it on the server."""
        body = {"model": model, "prompt": prompt, "temperature": 0, "max_tokens": tokens, "ignore_eos": True}
        body |= _BEFORE_CLIENTS
        # Pieces of single tokens keep the server's front end busier than its engine, and what is asked meanwhile waits.
        pieces = {"stream": True, "stream_interval": 16}
        with self._http.stream("POST", "/v1/completions", json=body | pieces) as answer:
            if answer.status_code != 200:
                answer.read()
                self._read(answer)
            yield from answer.iter_lines()

    def applied_tensors(self, model: str) -> list[WorkerTensors]:
        """What each worker holds (`serving.engine.worker_extension`)."""
        return list(self._get(APPLIED_PATH + model)["workers"])

    def _complete(self, model: str, prompt: Sequence[Any], **parameters: Any) -> Any:
        body = {"model": model, "prompt": prompt, "temperature": 0, **_BEFORE_CLIENTS, **parameters}
        return self._read(self._http.post("/v1/completions", json=body))

    def _get(self, path: str) -> Any:
        return self._read(self._http.get(path))

    def _read(self, response: httpx.Response) -> Any:
        if response.status_code != 200:
            raise UserError(
                f"the server answered {response.status_code}: {response.text[:500]}", where=str(response.url)
            )
        self.answered()
        return response.json()


def local_address(host: str, port: int) -> str:
    """The address from this machine; a server on all interfaces is asked on loopback."""
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, host)  # noqa: S104
    return f"http://{host}:{port}"
