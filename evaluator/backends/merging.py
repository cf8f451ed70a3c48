"""Base and adapter as one model, for engines that cannot load the adapter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from evaluator.subject import Subject


def write_merged(subject: Subject, directory: Path) -> None:
    """Writes base + adapter: added in float32, cast once to the subject's type."""
    assert subject.adapter is not None
    base = AutoModelForCausalLM.from_pretrained(subject.base.directory, dtype=torch.float32, use_safetensors=True)
    merged: Any = PeftModel.from_pretrained(base, str(subject.adapter.directory)).merge_and_unload(safe_merge=True)
    merged.to(getattr(torch, subject.dtype)).save_pretrained(directory)
    AutoTokenizer.from_pretrained(subject.base.directory).save_pretrained(directory)
