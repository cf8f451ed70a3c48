"""Log-likelihoods of a prompt's choices out of one generated token per distinct prefix.

lm-eval asks vLLM for the log-probabilities of every token of every prompt with every choice behind it: four passes over
the same prompt for a question with four letters, none of which may use the prefix cache. Here the choices of a prompt
are a tree of tokens; each inner node is one request for the log-probabilities of its children.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from evaluator.backends.context_window import Request

Prefix = tuple[int, ...]
Prediction = tuple[int, Mapping[int, float]]
"""The likeliest token after a prefix, and the log-probabilities that were asked for."""


def inner_nodes(requests: Sequence[Request]) -> dict[Prefix, list[int]]:
    """Every prefix that some continuation goes on from, and with which tokens."""
    nodes: dict[Prefix, dict[int, None]] = {}
    for _, prompt, continuation in requests:
        for prefix, token in _steps(prompt, continuation):
            nodes.setdefault(prefix, {})[token] = None
    return {prefix: list(tokens) for prefix, tokens in nodes.items()}


def score(requests: Sequence[Request], predictions: Mapping[Prefix, Prediction]) -> list[tuple[float, bool]]:
    """Of each request: the log-likelihood of its continuation, and whether greedy decoding would write it.

    Args:
        requests: the requests.
        predictions: what the model says after every inner node.
    """
    scores = []
    for _, prompt, continuation in requests:
        found = [(token, *predictions[prefix]) for prefix, token in _steps(prompt, continuation)]
        scores.append((sum(known[token] for token, _, known in found), all(token == best for token, best, _ in found)))
    return scores


def _steps(prompt: list[int], continuation: list[int]) -> list[tuple[Prefix, int]]:
    return [(tuple(prompt + continuation[:at]), token) for at, token in enumerate(continuation)]
