"""Leaves the terminal to our own progress bars and tables."""

from __future__ import annotations

import logging
import os
import warnings


def quiet_libraries() -> None:
    """Switches the libraries' bars and notices off; call before any of them is imported."""
    os.environ.setdefault("TQDM_DISABLE", "1")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    # Deprecations inside the libraries are for their authors; an evaluation's reader can do nothing about them.
    for module in ("vllm", "torch", "transformers", "peft", "lm_eval"):
        warnings.filterwarnings("ignore", category=FutureWarning, module=module)
        warnings.filterwarnings("ignore", category=DeprecationWarning, module=module)
