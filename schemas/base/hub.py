"""Asks once whether the model hub can be reached, so that a machine without network fails in seconds, not minutes."""

from __future__ import annotations

import sys


def go_offline_if_unreachable() -> bool:
    """Switches the hub's libraries to what is cached on this machine if the hub does not answer; says whether it did."""
    import huggingface_hub.constants  # by itself the package does not load it

    if huggingface_hub.constants.HF_HUB_OFFLINE:
        return True
    try:
        huggingface_hub.get_session().head(huggingface_hub.constants.ENDPOINT, timeout=5)
    except Exception:  # whatever the HTTP library in use calls "no network"
        huggingface_hub.constants.HF_HUB_OFFLINE = True
        if datasets := sys.modules.get("datasets"):  # imported later, it takes the hub's setting over by itself
            datasets.config.HF_HUB_OFFLINE = True
    return bool(huggingface_hub.constants.HF_HUB_OFFLINE)
