"""The order of measuring: every round visits each variant twice, there and back, so that drift cancels in each pair."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import httpx

from schemas.serving.overhead_report import Metric
from serving.bench.load import BlockSpeed, random_prompts, run_block

METRICS: tuple[Metric, ...] = ("time_to_first_token", "inter_token_latency", "seconds_per_token")


@dataclass(frozen=True)
class Plan:
    """What every block asks."""

    variants: Mapping[str, str]
    """Model name on the server, by variant."""
    concurrency: tuple[int, ...]
    """Requests of a wave; each number is measured."""
    waves: int
    """Per block."""
    prompt_tokens: int
    """Of each prompt."""
    output_tokens: int
    """Of each answer."""
    vocabulary: tuple[int, ...]
    """Token ids that prompts are made of."""
    seed: int
    """Of the prompts and of the variants' order."""


@dataclass
class Measurements:
    """Blocks by concurrency, variant and round; two blocks (there and back) per round."""

    blocks: dict[tuple[int, str], list[tuple[BlockSpeed, BlockSpeed]]] = field(default_factory=dict)

    def log_ratios(self, variant: str, baseline: str, metric: Metric, concurrency: int) -> list[float]:
        """One per round: mean log of the variant's two blocks minus that of the baseline's two."""
        pairs = zip(self.blocks[concurrency, variant], self.blocks[concurrency, baseline], strict=True)
        return [_mean_log(ours, metric) - _mean_log(theirs, metric) for ours, theirs in pairs]

    def values(self, variant: str, metric: Metric, concurrency: int) -> list[float]:
        """Every block's value."""
        return [getattr(block, metric) for pair in self.blocks[concurrency, variant] for block in pair]


def palindrome(variants: Sequence[str], seed: int) -> list[str]:
    """The variants in random order and back: A B C C B A. Any two of them form an A/B/B/A design."""
    there = list(variants)
    random.Random(seed).shuffle(there)  # noqa: S311  (reproducible, not secret)
    return there + there[::-1]


async def measure_round(address: str, headers: Mapping[str, str], plan: Plan, number: int, into: Measurements) -> None:
    """One round at every concurrency; all its blocks send the same prompts, which no other round sends."""
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(
        base_url=address, headers=headers, timeout=600, trust_env=False, limits=limits
    ) as client:
        for concurrency in plan.concurrency:
            seed = plan.seed + 1000 * number + concurrency
            prompts = random_prompts(plan.waves * concurrency, plan.prompt_tokens, plan.vocabulary, seed)
            seen: dict[str, list[BlockSpeed]] = {variant: [] for variant in plan.variants}
            for variant in palindrome(tuple(plan.variants), seed):
                block = await run_block(client, plan.variants[variant], prompts, plan.output_tokens, concurrency)
                seen[variant].append(block)
            for variant, (there, back) in seen.items():
                into.blocks.setdefault((concurrency, variant), []).append((there, back))


def run_round(address: str, headers: Mapping[str, str], plan: Plan, number: int, into: Measurements) -> None:
    """`measure_round` for callers without an event loop."""
    asyncio.run(measure_round(address, headers, plan, number, into))


def _mean_log(pair: tuple[BlockSpeed, BlockSpeed], metric: Metric) -> float:
    return sum(math.log(getattr(block, metric)) for block in pair) / 2
