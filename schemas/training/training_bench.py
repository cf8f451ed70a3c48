"""BenchConfig and BenchReport: what `python -m trainer bench` measures and what it found."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from schemas.document import Count, Document, Fraction, Positive, PositiveFloat, Section
from schemas.training.echo_config import RENAMED_ECHO_KEYS, EchoConfig, RoutingConfig
from schemas.training.train_config import AdapterConfig
from schemas.upgrade import change_at

Arm = Literal[
    "lora", "dora", "echo_lora", "echo_dora", "echo_lora_two_pass", "echo_dora_two_pass", "peft_lora", "peft_dora"
]
TokenRange = tuple[Positive, Positive]


class ModelShape(Section):
    """A Llama with random weights; only its shape matters for speed. The default has 86 million parameters."""

    hidden_size: Positive = 640
    """d."""
    intermediate_size: Positive = 1728
    """Width of the feed-forward layers."""
    layers: Positive = 10
    """Decoder layers."""
    heads: Positive = 10
    """Attention heads."""
    key_value_heads: Positive = 5
    """Key-value heads; fewer than `heads` is grouped-query attention."""
    vocabulary: Positive = 32000
    """Tokens of the vocabulary."""


class Workload(Section):
    """Random samples, the same for all arms."""

    batch_size: Positive = 16
    """Samples of an optimizer step, in one micro-batch."""
    prompt_tokens: TokenRange = (102, 118)
    """Shortest and longest prompt; lengths are uniform between them."""
    answer_tokens: TokenRange = (4, 10)
    """Shortest and longest answer."""

    @model_validator(mode="after")
    def _ranges_ascend(self) -> Self:
        for low, high in (self.prompt_tokens, self.answer_tokens):
            if low > high:
                raise ValueError(f"the range {low} to {high} is empty")
        return self


class Sweep(Section):
    """How the ratios grow with the share of supervised tokens, and with length."""

    supervised_shares: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = (0.02, 0.05, 0.1, 0.2, 0.4, 0.6)
    """Shares of supervised tokens, at the workload's longest sample."""
    lengths: tuple[Annotated[int, Field(ge=32)], ...] = (64, 128, 256, 512)
    """Longest samples in tokens, at the workload's share and number of tokens per step."""
    arms: Annotated[tuple[Arm, ...], Field(min_length=1)] = (
        "lora",
        "dora",
        "echo_lora",
        "echo_dora",
        "echo_lora_two_pass",
    )
    """What is swept; all ratios are over `lora`, which must be among them."""
    rounds: Positive = 2
    """ABBA rounds of each point."""


class BenchConfig(Document):
    """What to measure."""

    title: ClassVar[str] = "bench config"
    upgrades: ClassVar = {"1": lambda data: change_at(data, "echo", RENAMED_ECHO_KEYS)}

    schema_version: Literal["2"] = "2"
    """Version of this schema."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to measure; auto takes a GPU where there is one."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Type of the frozen weights."""
    autocast: Literal["none", "bfloat16"] = "none"
    """Mixed precision of the forward pass, in all arms."""
    gradient_checkpointing: bool = False
    """Recompute activations, in all arms."""
    model: ModelShape = ModelShape()
    """The base model's shape."""
    adapter: AdapterConfig = AdapterConfig()
    """The adapter, in all arms."""
    echo: EchoConfig = EchoConfig(routing=RoutingConfig(start=1.0, end=1.0))
    """The echo path; by default it runs in every step."""
    workload: Workload = Workload()
    """The samples."""
    arms: Annotated[tuple[Arm, ...], Field(min_length=1)] = (
        "lora",
        "echo_lora",
        "dora",
        "echo_dora",
        "echo_lora_two_pass",
        "peft_lora",
        "peft_dora",
    )
    """What is timed: our four methods, the two-pass reference, and PEFT in transformers.Trainer."""
    rounds: Positive = 5
    """ABBA rounds: each visits all arms in this order and then in the opposite one."""
    steps_per_visit: Positive = 2
    """Timed optimizer steps of a visit, after one that is not timed."""
    sweep: Sweep | None = Sweep()
    """The two sweeps; null leaves them out."""
    peak_flops: PositiveFloat | None = None
    """The device's floating-point operations per second for MFU; None takes the data sheet's dense bfloat16 figure of
    a known GPU, and elsewhere measures a large matrix product."""


class MachineFacts(Section):
    """Where it was measured."""

    device: str
    """The GPU's or the processor's name."""
    threads: Count
    """Threads of torch on the CPU."""
    versions: dict[str, str]
    """Of torch, transformers, peft."""
    peak_flops: PositiveFloat
    """What MFU is relative to, in operations per second."""
    peak_source: str
    """Where that figure is from."""
    load_average: float | None
    """Processes competing for the CPU when the measurement began (one-minute load); None where unknown."""


class ArmResult(Section):
    """One arm in the main measurement."""

    arm: Arm
    """Which."""
    seconds: Annotated[tuple[PositiveFloat, ...], Field(min_length=1)]
    """Every timed optimizer step."""
    median_seconds: PositiveFloat
    """Median optimizer step."""
    tokens_per_second: PositiveFloat
    """Real tokens (no padding, no token twice) over the median step."""
    supervised_tokens_per_second: PositiveFloat
    """Tokens under the loss over the median step."""
    mfu: PositiveFloat
    """4 N x tokens_per_second / peak_flops, N the linear parameters of the decoder layers: 2 N for the forward and 2 N for
    the backward through frozen weights; embedding and head are not counted. The same for every method, so it counts an echo
    pass, a recomputation or padding as waste."""
    peak_memory_bytes: Count | None
    """In a process of its own: on a GPU the most allocated, on the CPU the most resident above the imported libraries."""


class Ratio(Section):
    """One arm against another, round by round."""

    arm: Arm
    """Numerator."""
    over: Arm
    """Denominator."""
    quantity: Literal["seconds", "memory"] = "seconds"
    """What is compared."""
    median: PositiveFloat
    """Of the rounds."""
    low: PositiveFloat
    """First quartile of the rounds."""
    high: PositiveFloat
    """Third quartile of the rounds."""
    rounds: tuple[PositiveFloat, ...]
    """Every round's ratio of mean step times."""
    at_most: PositiveFloat | None = None
    """The bar the median must not exceed."""
    at_least: PositiveFloat | None = None
    """The bar the median must reach."""

    @property
    def met(self) -> bool | None:
        """Whether the bar is met; None without one."""
        if self.at_most is None and self.at_least is None:
            return None
        return self.median <= (self.at_most or float("inf")) and self.median >= (self.at_least or 0.0)


class SweepPoint(Section):
    """One arm at one point of a sweep."""

    axis: Literal["supervised_share", "length"]
    """What is varied."""
    value: PositiveFloat
    """Share of the real tokens that are supervised, as realised; or the longest sample in tokens."""
    supervised_share: Fraction
    """Share of supervised tokens, as realised."""
    arm: Arm
    """Which arm, over `lora`."""
    median: PositiveFloat
    """Median ratio of the rounds."""
    low: PositiveFloat
    """First quartile."""
    high: PositiveFloat
    """Third quartile."""


class BenchReport(Document):
    """What was measured."""

    title: ClassVar[str] = "bench report"
    upgrades: ClassVar = {"1": lambda data: change_at(data, "config", BenchConfig.upgraded)}

    schema_version: Literal["2"] = "2"
    """Version of this schema."""
    config: BenchConfig
    """What was asked for."""
    machine: MachineFacts
    """Where."""
    parameters: Positive
    """N, all parameters of the base model."""
    supervised_share: Fraction
    """Share of real tokens under the loss in the main measurement."""
    arms: Annotated[tuple[ArmResult, ...], Field(min_length=1)]
    """The arms, in the config's order."""
    ratios: tuple[Ratio, ...]
    """The comparisons."""
    sweep: tuple[SweepPoint, ...] = ()
    """The sweeps."""
