"""The served adapter, over its OpenAI completions API, with the official client.

Prompts travel as token ids, so the server adds and removes nothing. Before the first item, the endpoint must show that it
serves this adapter: its log-probabilities of the manifest's probes must be nearer to the adapter's than to the base's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from lm_eval.api.model import TemplateLM
from openai import APIConnectionError, APIStatusError, AuthenticationError, OpenAI, PermissionDeniedError
from transformers import AutoTokenizer

from evaluator.backends.context_window import DEFAULT_NEW_TOKENS, Request, context_window, left_truncated
from evaluator.subject import Subject
from schemas.errors import UserError
from schemas.evaluation.eval_report import Variant
from schemas.storage.key_file import read_key

_CONCURRENT = 16
_SECONDS = 300.0
_RETRIES = 4


class EndpointBackend:
    """Asks one endpoint for both variants, by the names under which it lists them."""

    notes: tuple[str, ...] = ()

    def __init__(self, subject: Subject, url: str, key_file: Path | None) -> None:
        self._subject, self._url = subject, url
        key = read_key(key_file) if key_file else "none"
        self._client = OpenAI(base_url=url, api_key=key, max_retries=_RETRIES, timeout=_SECONDS)

    def open(self, variant: Variant) -> EndpointModel:
        """The variant's model at the endpoint.

        Raises:
            UserError: the endpoint does not answer, does not list the model, or serves something else under its name.
        """
        model = EndpointModel(self._client, self._listed(variant), self._subject.base.directory)
        if variant == "adapter":
            self._require_this_adapter(model)
        return model

    def close(self) -> None:
        """Ends the connections; the endpoint itself is not ours to stop."""
        self._client.close()

    def _listed(self, variant: Variant) -> str:
        models = _guarded(self._url, lambda: list(self._client.models.list()))
        parents: dict[str, str | None] = {model.id: (model.model_extra or {}).get("parent") for model in models}
        if variant == "adapter" and self._subject.name in parents:
            return self._subject.name
        bases = [name for name, parent in parents.items() if not parent and name != self._subject.name]
        if variant == "base" and len(bases) == 1:
            return bases[0]
        wanted = (
            f"the adapter {self._subject.name}" if variant == "adapter" else "a base model (leave it out: --no-base)"
        )
        raise UserError(
            f"the endpoint does not serve {wanted}; it lists {', '.join(parents) or 'nothing'}",
            where=self._url,
            fix="serve this run: python -m serving RUN",
        )

    def _require_this_adapter(self, model: EndpointModel) -> None:
        assert self._subject.adapter is not None
        for probe in self._subject.adapter.manifest.probes:
            served = model.log_probabilities(probe.token_ids)
            to_adapter, to_base = _distance(served, probe.adapter), _distance(served, probe.base)
            if to_adapter >= to_base:
                raise UserError(
                    f"what the endpoint serves as {model.name} is not this adapter: its log-probabilities are "
                    f"{to_adapter:.4f} from the adapter's and {to_base:.4f} from the base's",
                    where=self._url,
                    fix="serve this run's adapter: python -m serving RUN",
                )


class EndpointModel(TemplateLM):  # type: ignore[misc]
    """One listed model as an lm-eval language model, several requests at a time."""

    one_seed_per_batch = False

    def __init__(self, client: OpenAI, name: str, directory: Path) -> None:
        super().__init__()
        self.name, self._client = name, client
        self.tokenizer = AutoTokenizer.from_pretrained(directory)
        self._window = context_window(directory)

    @property
    def eot_token_id(self) -> int:
        """The token that ends a text."""
        return int(self.tokenizer.eos_token_id)

    @property
    def prefix_token_id(self) -> int:
        """What stands before an empty context."""
        return int(self.tokenizer.bos_token_id or self.eot_token_id)

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **_: object) -> list[int]:
        """Token ids, with the special tokens that the tokenizer adds unless told otherwise."""
        return list(self.tokenizer.encode(string, add_special_tokens=add_special_tokens is not False))

    def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[str]:
        """Texts, one per request."""
        return self._side_by_side(self._generate, [request.args for request in requests])

    def loglikelihood_rolling(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[float]:
        """lm-eval's base class wants it; it is for perplexities, which no suite here asks for."""
        raise NotImplementedError("perplexity tasks need the hf or the vllm backend")

    def log_probabilities(self, token_ids: Sequence[int]) -> list[float]:
        """Log-probability of every token after the first, given those before it."""
        return [value for value, _ in self._score(token_ids)]

    def _loglikelihood_tokens(self, requests: Sequence[Request], **_: object) -> list[tuple[float, bool]]:
        truncated = requests if self._window is None else left_truncated(requests, self._window)
        # One by one: prompt log-probabilities of two sequences at once end vLLM 0.32's engine where it serves adapters on a CPU.
        return _guarded(self._client.base_url, lambda: [self._continuation(request) for request in truncated])

    def _generate(self, arguments: tuple[str, dict[str, Any]]) -> str:
        prompt, settings = arguments
        new_tokens = settings.get("max_gen_toks", DEFAULT_NEW_TOKENS)
        stop = [text for text in settings.get("until", []) if text]
        answer = self._client.completions.create(
            model=self.name,
            prompt=self._left_truncated(self.tok_encode(prompt), new_tokens),
            max_tokens=new_tokens,
            temperature=settings.get("temperature", 0.0) if settings.get("do_sample") else 0.0,
            top_p=settings.get("top_p", 1.0),
            seed=settings.get("seed"),
            stop=stop or None,
        )
        text = answer.choices[0].text
        return min((text.split(end)[0] for end in stop), key=len, default=text)

    def _continuation(self, request: Request) -> tuple[float, bool]:
        _, context, continuation = request
        scored = self._score(context + continuation)[-len(continuation) :]
        return sum(value for value, _ in scored), all(value >= max(top.values()) for value, top in scored)

    def _score(self, token_ids: Sequence[int]) -> list[tuple[float, dict[str, float]]]:
        answer = self._client.completions.create(
            model=self.name, prompt=list(token_ids), max_tokens=1, echo=True, logprobs=1, temperature=0.0
        )
        given = answer.choices[0].logprobs
        assert given is not None
        assert given.token_logprobs is not None
        assert given.top_logprobs is not None
        return list(zip(given.token_logprobs, given.top_logprobs, strict=True))[1 : len(token_ids)]

    def _left_truncated(self, token_ids: list[int], new_tokens: int) -> list[int]:
        """The end of what does not fit beside the new tokens, as the other backends cut it."""
        return token_ids if self._window is None else token_ids[-(self._window - new_tokens) :]

    def _side_by_side(self, ask: Callable[[Any], Any], requests: Sequence[Any]) -> list[Any]:
        with ThreadPoolExecutor(_CONCURRENT) as pool:
            return _guarded(self._client.base_url, lambda: list(pool.map(ask, requests)))


def _guarded(url: object, ask: Callable[[], list[Any]]) -> list[Any]:
    """Turns the client's errors, once its own retries are used up, into the user's."""
    try:
        return ask()
    except (AuthenticationError, PermissionDeniedError):
        raise UserError(
            "the endpoint refuses the API key", where=url, fix="name the file that holds it: --api-key-file"
        ) from None
    except APIConnectionError as error:
        raise UserError(
            f"the endpoint does not answer: {error}",
            where=url,
            fix="start it (python -m serving RUN) or name it (--url); answers given so far are kept",
        ) from None
    except APIStatusError as error:
        raise UserError(f"the endpoint answers {error.status_code}: {error.message}", where=url) from None


def _distance(served: Sequence[float], recorded: Sequence[float]) -> float:
    """Mean absolute difference, in nats."""
    return sum(abs(a - b) for a, b in zip(served, recorded, strict=True)) / len(recorded)
