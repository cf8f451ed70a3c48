"""The order of measuring: every round visits each arm twice, there and back, so that drift cancels in each pair."""

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
    """What every block asks.

    Attributes:
        arms: model name on the server, by arm.
        vocabulary: token ids that prompts are made of.
    """

    arms: Mapping[str, str]
    concurrency: tuple[int, ...]
    waves: int
    prompt_tokens: int
    output_tokens: int
    vocabulary: tuple[int, ...]
    seed: int


@dataclass
class Measurements:
    """Blocks by concurrency, arm and round; two blocks (there and back) per round."""

    blocks: dict[tuple[int, str], list[tuple[BlockSpeed, BlockSpeed]]] = field(default_factory=dict)

    def log_ratios(self, arm: str, opponent: str, metric: Metric, concurrency: int) -> list[float]:
        """One per round: mean log of the arm's two blocks minus that of the opponent's two."""
        pairs = zip(self.blocks[concurrency, arm], self.blocks[concurrency, opponent], strict=True)
        return [_mean_log(ours, metric) - _mean_log(theirs, metric) for ours, theirs in pairs]

    def values(self, arm: str, metric: Metric, concurrency: int) -> list[float]:
        """Every block's value."""
        return [getattr(block, metric) for pair in self.blocks[concurrency, arm] for block in pair]


def palindrome(arms: Sequence[str], seed: int) -> list[str]:
    """The arms in random order and back: A B C C B A. Any two of them form an A/B/B/A design."""
    there = list(arms)
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
            seen: dict[str, list[BlockSpeed]] = {arm: [] for arm in plan.arms}
            for arm in palindrome(tuple(plan.arms), seed):
                block = await run_block(client, plan.arms[arm], prompts, plan.output_tokens, concurrency)
                seen[arm].append(block)
            for arm, (there, back) in seen.items():
                into.blocks.setdefault((concurrency, arm), []).append((there, back))


def run_round(address: str, headers: Mapping[str, str], plan: Plan, number: int, into: Measurements) -> None:
    """`measure_round` for callers without an event loop."""
    asyncio.run(measure_round(address, headers, plan, number, into))


def _mean_log(pair: tuple[BlockSpeed, BlockSpeed], metric: Metric) -> float:
    return sum(math.log(getattr(block, metric)) for block in pair) / 2
