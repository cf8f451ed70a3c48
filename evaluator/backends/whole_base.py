"""Refuses a base whose weights are not its architecture's, before any backend loads it."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from schemas.base.base_weights import require_matching


def require_whole_base(directory: Path) -> None:
    """Holds the weight files' headers against the model's modules.

    Raises:
        UserError: tensors are missing, unexpected or of other shapes.
    """
    with torch.device("meta"):
        skeleton = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(directory))
    require_matching(skeleton, directory)
