"""python -m serving export RUN --merged DIR | --gguf FILE: what the command takes."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console

from schemas.errors import OK, UserError
from serving.engine.adapter_cache import place
from serving.engine.merge import merge_apart
from serving.export.gguf_adapter import write_gguf_adapter
from serving.options import VerdictRule
from serving.verify.verify import Candidate, verify_runs

_DESCRIPTION = """\
Writes an adapter for servers other than ours, once it verifies and its gate has passed, as for `python -m serving RUN`.

  python -m serving export runs/mine --merged DIR     the merged model: safetensors that any tool loads, its parity told
  python -m serving export runs/mine --gguf FILE      the adapter for llama.cpp: llama-server -m BASE.gguf --lora FILE
"""


def main(argv: list[str]) -> int:
    """Parses, verifies, writes, prints."""
    arguments = _parser().parse_args(argv)
    target: Path = arguments.merged or arguments.gguf
    if target.exists():
        raise UserError("there is something already", where=target, fix="name what does not exist yet")
    rule: VerdictRule = "if_present" if arguments.ungated else "require"
    [candidate] = verify_runs((arguments.run,), base=arguments.base, verdict_rule=rule)
    written = _merged(candidate, target, arguments.dtype) if arguments.merged else _gguf(candidate, target)
    Console().print(written, highlight=False, soft_wrap=True)
    return OK


def _merged(candidate: Candidate, directory: Path, dtype: str | None) -> str:
    parity = None

    def merge(staged: Path) -> None:
        nonlocal parity
        parity = merge_apart(candidate, staged, dtype or candidate.adapter.manifest.base.dtype)  # type: ignore[arg-type]

    place(directory, merge)
    assert parity is not None, "a target that did not exist was filled"
    return (
        f"{directory}: merged in {parity.dtype}; over the probes, logits move by {parity.logits:.2g} at most, own tokens' "
        f"log-probabilities by {parity.log_probabilities:.2g}, and {parity.argmax_agreement:.1%} of the likeliest tokens stay"
    )


def _gguf(candidate: Candidate, file: Path) -> str:
    tensors = write_gguf_adapter(candidate.stored, candidate.adapter.manifest, candidate.base, file)
    return f"{file}: {tensors} tensors in float32; llama.cpp scales them by alpha / rank as PEFT does"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m serving export", description=_DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="run directory")
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument("--merged", type=Path, metavar="DIR", help="directory of the merged model; must not exist yet")
    target.add_argument("--gguf", type=Path, metavar="FILE", help="GGUF file of the adapter; must not exist yet")
    parser.add_argument("--base", type=Path, help="directory of the base, where it is not as the manifest names it")
    parser.add_argument(
        "--dtype", choices=("float32", "bfloat16", "float16"), help="type of the merged weights (default: the base's)"
    )
    parser.add_argument("--ungated", action="store_true", help="export an adapter that has no verdict")
    return parser
