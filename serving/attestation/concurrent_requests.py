"""Generations of other models that run while a probe is read, so that what is attested is a batch of many models.

vLLM computes the requests of all its models in one batch. A server that gives one of them another's adapter answers
everything right that is asked of it alone; vLLM 0.32's CPU kernels did that (`serving.engine.lora_limits`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from threading import Event
from typing import TypeVar

from schemas.errors import UserError
from serving.engine.client import EndpointClient
from serving.engine.vllm_process import ServedWeights
from serving.options import ServeOptions

Answer = TypeVar("Answer")
ATTEMPTS = 20


def concurrent_models_of(weights: ServedWeights, options: ServeOptions) -> tuple[str, ...]:
    """Every model of a server with adapters, these first; no more than vLLM computes together with a probe."""
    names = (*weights.adapters, weights.name) if weights.adapters else ()
    together = options.passed_on("--max-num-seqs")
    return names if together is None else names[: int(together) - 1]


def read_with_concurrent_requests(
    client: EndpointClient, names: Sequence[str], prompt: Sequence[int], read: Callable[[], Answer]
) -> Answer:
    """What `read` returns where each named model was generating before it was called, and still is after it.

    Args:
        prompt: token ids that the generations start from.

    Raises:
        UserError: the generations ended before `read` did, in every attempt; whatever `read` raises.
    """
    tokens = client.context_length() - len(prompt)
    for _ in range(ATTEMPTS):
        with generations(client, names, prompt, tokens) as still_running:
            answer = read()
            if still_running():
                return answer
    raise UserError(
        f"in {ATTEMPTS} attempts, generations of {tokens} tokens ended before one probe was read beside them",
        where=client.address,
        fix="give the server a longer --max-model-len, or more --max-num-seqs",
    )


@contextmanager
def generations(
    client: EndpointClient, names: Sequence[str], prompt: Sequence[int], tokens: int
) -> Iterator[Callable[[], bool]]:
    """One generation per name, each past its first token; yields whether all still run. Leaving cancels them."""
    leave, begun = Event(), [Event() for _ in names]

    def generate(name: str, has_begun: Event) -> None:
        with closing(client.stream_greedily(name, prompt, tokens)) as pieces:
            for _ in pieces:
                has_begun.set()
                if leave.is_set():
                    return

    with ThreadPoolExecutor(len(names)) as pool:
        running = [pool.submit(generate, name, event) for name, event in zip(names, begun, strict=True)]
        try:
            for generation, event in zip(running, begun, strict=True):
                while not event.wait(0.02) and not generation.done():
                    pass
                if generation.done():
                    generation.result()  # raises what it ended with
            yield lambda: not any(generation.done() for generation in running)
        finally:
            leave.set()
