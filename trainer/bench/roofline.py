"""A roofline of one optimizer step: how long its parts must take on a GPU, and what each change of ours takes off.

Modelled, not measured: every part takes the longer of its operations at the peak rate that products reach and its bytes at
the memory's rate, and no step is shorter than the host needs to launch its kernels. LoRA, no dropout, bfloat16 activations.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from schemas.training.training_bench import BenchConfig
from trainer.bench.workload import bench_examples


@dataclass(frozen=True)
class Gpu:
    """What limits a step. The defaults are an H100 SXM's, from its data sheet, and two shares that are usual on it."""

    operations: float = 989e12
    """Dense bfloat16 operations a second."""
    bytes: float = 3.35e12
    """Memory traffic a second."""
    reached: float = 0.75
    """Share of the operations that large products reach."""
    streamed: float = 0.85
    """Share of the traffic that elementwise kernels reach."""
    launch: float = 5e-6
    """Seconds of the host per kernel launch."""


@dataclass(frozen=True)
class Ways:
    """How the step is written; each True is one of the changes, in the order in which they are counted."""

    packed: bool = False
    """No padding is computed."""
    no_mask: bool = False
    """Attention is causal without a mask: half of the products, and no copies of shared keys and values."""
    no_casts: bool = False
    """PEFT's casts of an adapter's inputs are off under autocast."""
    addmm: bool = False
    """LoRA's product is added by the product itself, forward and backward."""
    fused: bool = False
    """Elementwise chains (norms, rotary positions, SiLU, residuals) are one kernel each."""
    last_rows: bool = False
    """The last layer computes its queries, output and feed-forward on supervised rows only."""


CHANGES = {
    "packed": "no padding",
    "no_mask": "no attention mask",
    "no_casts": "adapter casts off",
    "addmm": "LoRA as addmm",
    "fused": "elementwise kernels fused",
    "last_rows": "last layer on supervised rows",
}


@dataclass(frozen=True)
class Part:
    """One part of a step."""

    operations: float
    """Multiplications and additions."""
    bytes: float
    """Read and written."""
    launches: int
    """Kernels."""

    def seconds(self, gpu: Gpu) -> float:
        """The longer of computing and moving."""
        return max(self.operations / (gpu.operations * gpu.reached), self.bytes / (gpu.bytes * gpu.streamed))


@dataclass(frozen=True)
class Sizes:
    """A step's numbers."""

    tokens: float
    """Real tokens."""
    columns: float
    """Tokens with padding."""
    length: float
    """Mean length of a sample, padding included."""
    supervised: float
    """Rows under the loss."""


def step_seconds(bench: BenchConfig, ways: Ways, gpu: Gpu = Gpu()) -> float:
    """Seconds of one LoRA step of the bench's model, adapter and workload."""
    parts = list(_parts(bench, _sizes(bench, packed=ways.packed), ways))
    return max(sum(part.seconds(gpu) for part in parts), sum(part.launches for part in parts) * gpu.launch)


def mfu(bench: BenchConfig, seconds: float, gpu: Gpu = Gpu()) -> float:
    """Share of the peak: forward and input gradients of the decoder layers on real tokens, without embedding and head."""
    return 4 * decoder_parameters(bench) * _sizes(bench, packed=True).tokens / seconds / gpu.operations


def changes(bench: BenchConfig, gpu: Gpu = Gpu()) -> list[tuple[str, float, float]]:
    """Before, and after each change in turn: what it is, seconds a step, MFU."""
    ways, found = Ways(), [("before", step_seconds(bench, Ways(), gpu))]
    for name, what in CHANGES.items():
        ways = replace(ways, **{name: True})
        found.append((what, step_seconds(bench, ways, gpu)))
    return [(what, seconds, mfu(bench, seconds, gpu)) for what, seconds in found]


def table(bench: BenchConfig, gpu: Gpu = Gpu()) -> str:
    """The changes as rows of Markdown."""
    rows = changes(bench, gpu)
    before = [rows[0][1], *(seconds for _, seconds, _ in rows)]
    lines = [
        f"| {what} | {1000 * seconds:.0f} ms | {(seconds - was) / rows[0][1]:+.1%} | {share:.0%} |"
        for (what, seconds, share), was in zip(rows, before, strict=False)
    ]
    return "\n".join(["| after | step | share of the first | MFU |", "|---|---|---|---|", *lines])


def decoder_parameters(bench: BenchConfig) -> int:
    """Values of the linear modules of the decoder layers."""
    return bench.model.layers * sum(inputs * outputs for inputs, outputs in _modules(bench).values())


def _modules(bench: BenchConfig) -> dict[str, tuple[int, int]]:
    """Inputs and outputs of a decoder layer's linear modules."""
    model = bench.model
    wide, shared = model.hidden_size, model.hidden_size // model.heads * model.key_value_heads
    feed = model.intermediate_size
    return {
        "q_proj": (wide, wide), "k_proj": (wide, shared), "v_proj": (wide, shared), "o_proj": (wide, wide),
        "gate_proj": (wide, feed), "up_proj": (wide, feed), "down_proj": (feed, wide),
    }  # fmt: skip


def _sizes(bench: BenchConfig, *, packed: bool) -> Sizes:
    """Means over the bench's own batches."""
    examples, size = bench_examples(bench.workload, bench.model.vocabulary), bench.workload.batch_size
    batches = [examples[start : start + size] for start in range(0, len(examples), size)]
    tokens = sum(map(len, examples)) / len(batches)
    columns = tokens if packed else sum(max(map(len, batch)) * size for batch in batches) / len(batches)
    supervised = sum(sum(example.completion_mask) for example in examples) / len(batches)
    return Sizes(tokens, columns, columns / size, supervised)


def _parts(bench: BenchConfig, sizes: Sizes, ways: Ways) -> Iterator[Part]:
    """All parts of forward and backward, and the optimizer's."""
    model, rank = bench.model, bench.adapter.rank
    for layer in range(model.layers):
        last = ways.last_rows and layer == model.layers - 1
        for name, (inputs, outputs) in _modules(bench).items():
            rows = sizes.supervised if last and name not in ("k_proj", "v_proj") else sizes.columns
            # Forward and the gradient of the inputs; frozen weights have none of their own.
            yield Part(4 * rows * inputs * outputs, 2 * (2 * inputs * outputs + 2 * rows * (inputs + outputs)), 2)
            if name in bench.adapter.target_modules:
                yield from _adapter(rows, inputs, outputs, rank, ways)
        yield _attention(bench, sizes, ways)
        yield from _elementwise(bench, sizes.supervised if last else sizes.columns, ways)
    head = 4 * sizes.supervised * model.hidden_size * model.vocabulary
    logits = sizes.supervised * model.vocabulary
    yield Part(head, 2 * 2 * model.hidden_size * model.vocabulary + 20 * logits, 12)
    trained = sum(rank * sum(ends) for name, ends in _modules(bench).items() if name in bench.adapter.target_modules)
    yield Part(0, 28 * model.layers * trained, 4)  # fused AdamW in float32: reads four values, writes three


def _adapter(rows: float, inputs: int, outputs: int, rank: int, ways: Ways) -> Iterator[Part]:
    """One module's LoRA: products forward and backward, which move far more than they compute."""
    operations = 6 * rows * rank * (inputs + outputs)
    reads = 2 * rows * (2 * inputs + 2 * outputs + 4 * rank) + 2 * rows * (inputs + outputs)
    yield Part(operations, reads, 6)
    if not ways.addmm:  # scaling and adding as kernels of their own: on the outputs forward, on the inputs backward
        yield Part(0, 2 * rows * (4 * outputs + 2 * rank) + 2 * rows * 2 * inputs, 5)
    if not ways.no_casts:  # to float32 and, under autocast, back
        yield Part(0, rows * inputs * 2 * (2 + 4 + 4 + 2), 4)


def _attention(bench: BenchConfig, sizes: Sizes, ways: Ways) -> Part:
    """Forward two products of each token with the tokens before it, backward five."""
    model = bench.model
    seen = sizes.length / 2 if ways.no_mask else sizes.length
    shared = 2 * model.hidden_size // model.heads * model.key_value_heads
    moved = 2 * sizes.columns * (8 * model.hidden_size + 4 * shared)
    copied = 0 if ways.no_mask else 2 * sizes.columns * 3 * 2 * model.hidden_size
    return Part(14 * sizes.columns * seen * model.hidden_size, moved + copied, 4 if ways.no_mask else 10)


def _elementwise(bench: BenchConfig, rows: float, ways: Ways) -> Iterator[Part]:
    """Bytes per value, forward and backward, of two norms, rotary positions, SiLU's product and two residuals."""
    model = bench.model
    rotated = model.hidden_size + model.hidden_size // model.heads * model.key_value_heads
    norms, rotary, gated, residual = (12, 8, 16, 8) if ways.fused else (70, 32, 28, 12)
    yield Part(0, 2 * norms * rows * model.hidden_size, 4 if ways.fused else 34)
    yield Part(0, rotary * rows * rotated, 2 if ways.fused else 20)
    yield Part(0, gated * rows * model.intermediate_size, 2 if ways.fused else 5)
    yield Part(0, 2 * residual * rows * model.hidden_size, 2 if ways.fused else 4)
