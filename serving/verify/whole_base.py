"""Refuses a base whose weights are not its architecture's, before vLLM takes a minute to start on it.

Runs as a process of its own (`python -m serving.verify.whole_base BASE`), so that the server's own holds no torch.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from schemas.base.base_weights import require_matching
from schemas.errors import OK, USER_ERROR, UserError, run_command


def require_whole_base(directory: Path) -> None:
    """Holds the weight files' headers against the model's modules.

    Raises:
        UserError: tensors are missing, unexpected or of other shapes, or transformers does not understand config.json.
    """
    line = [sys.executable, "-W", "ignore", "-m", "serving.verify.whole_base", str(directory)]
    finished = subprocess.run(line, capture_output=True, text=True)
    if finished.returncode != OK:
        lines = finished.stderr.strip().splitlines() or ["the check was killed"]
        told = lines if finished.returncode == USER_ERROR else lines[-1:]
        raise UserError("\n".join(told).removeprefix("error: "))


def main(argv: list[str]) -> int:
    """Builds the model without weights and holds the files against it."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    directory = Path(argv[0])
    try:
        with torch.device("meta"):
            skeleton = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(directory))
    except Exception as error:  # each architecture checks its own keys in its own way
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(f"the base's config.json is not understood: {reason}", where=directory) from None
    require_matching(skeleton, directory)
    return OK


if __name__ == "__main__":
    run_command(main)
