"""What a GGUF file must hold to be a whole Llama: checked from its header before anything is converted.

Shapes are in GGUF's order, the fastest dimension first: a linear layer is [in, out].
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from schemas.errors import UserError

_FIX = "download the file again, or take the base from the hub"
_SHOWN = 5


@dataclass(frozen=True)
class GgufLayout:
    """A file that was found to be a whole Llama."""

    parameters: int
    """Weights, tied ones once."""
    layers: int
    """Decoder layers."""


def require_whole_llama(file: Path) -> GgufLayout:
    """Reads a GGUF file's header and checks it against the architecture that it names.

    Raises:
        UserError: it is no GGUF file, is cut short, is of another architecture, or tensors are missing, too many or of
            another shape.
    """
    reader = _open(file)
    architecture = _field(reader, "general.architecture", file)
    if architecture != "llama":
        raise UserError(
            f"the GGUF file is of architecture {architecture!r}; only llama is converted",
            where=file,
            fix="take the base's safetensors from the hub",
        )
    found = {tensor.name: tuple(int(n) for n in tensor.shape) for tensor in reader.tensors}
    if "rope_freqs.weight" in found:  # transformers drops it, and long prompts would be read by another model
        raise UserError(
            "the GGUF file scales its rotary embedding (rope_freqs.weight), which cannot be carried over",
            where=file,
            fix="take the base's safetensors from the hub",
        )
    expected = expected_tensors(reader, file)
    if "output.weight" not in found:  # tied to the embedding
        del expected["output.weight"]
    _refuse_differences(found, expected, file)
    return GgufLayout(sum(_product(shape) for shape in found.values()), _field(reader, "llama.block_count", file))


def expected_tensors(reader: Any, file: Path) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a Llama with the header's sizes."""

    def size(name: str) -> int:
        return int(_field(reader, f"llama.{name}", file))

    width, hidden = size("embedding_length"), size("feed_forward_length")
    heads, groups = size("attention.head_count"), size("attention.head_count_kv")
    head, vocabulary = width // heads, len(_field(reader, "tokenizer.ggml.tokens", file))
    shapes: dict[str, tuple[int, ...]] = {
        "token_embd.weight": (width, vocabulary),
        "output_norm.weight": (width,),
        "output.weight": (width, vocabulary),
    }
    for layer in range(size("block_count")):
        block = {
            "attn_norm": (width,),
            "attn_q": (width, heads * head),
            "attn_k": (width, groups * head),
            "attn_v": (width, groups * head),
            "attn_output": (heads * head, width),
            "ffn_norm": (width,),
            "ffn_gate": (width, hidden),
            "ffn_up": (width, hidden),
            "ffn_down": (hidden, width),
        }
        shapes |= {f"blk.{layer}.{name}.weight": shape for name, shape in block.items()}
    return shapes


def _open(file: Path) -> Any:
    from gguf import GGUFReader

    if not file.is_file():
        raise UserError("there is no such GGUF file", where=file, fix="name a file, or a known base")
    with file.open("rb") as start:
        if start.read(4) != b"GGUF":
            raise UserError("this is no GGUF file: it does not begin with GGUF", where=file, fix=_FIX)
    try:
        return GGUFReader(file)
    except (ValueError, IndexError, KeyError, OverflowError, UnicodeDecodeError, MemoryError) as error:
        # The reader maps the file and slices it, so the first tensor beyond the end has too few bytes for its shape.
        raise UserError(f"the GGUF file is cut short or damaged: {error}", where=file, fix=_FIX) from None


def _field(reader: Any, name: str, file: Path) -> Any:
    field = reader.get_field(name)
    if field is None:
        raise UserError(f"the GGUF file's header has no {name}", where=file, fix=_FIX)
    return field.contents()


def _refuse_differences(found: dict[str, tuple[int, ...]], expected: dict[str, tuple[int, ...]], file: Path) -> None:
    faults = [
        *(f"missing: {name}" for name in expected if name not in found),
        *(f"unexpected: {name}" for name in found if name not in expected),
        *(
            f"{name} is {list(found[name])}, not {list(shape)}"
            for name, shape in expected.items()
            if name in found and found[name] != shape
        ),
    ]
    if faults:
        more = [f"and {len(faults) - _SHOWN} more"] if len(faults) > _SHOWN else []
        listing = "\n".join(f"  - {fault}" for fault in (*faults[:_SHOWN], *more))
        raise UserError(f"the GGUF file's tensors are not those of its architecture\n{listing}", where=file, fix=_FIX)


def _product(shape: tuple[int, ...]) -> int:
    total = 1
    for size in shape:
        total *= size
    return total
