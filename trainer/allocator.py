"""The allocator of a CPU's memory keeps what a step frees, since the next step needs as much again.

By itself glibc gives large freed blocks back to the kernel, and the next step touches each of their pages anew: up to
80,000 page faults in a step of `python -m trainer bench`, some 4 % of its time.
"""

from __future__ import annotations

import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # of <malloc.h>
_NEVER = 2**31 - 1


def keep_freed_memory() -> None:
    """Lets this process keep what it frees. Without effect where the C library has no such switch."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_MAX, 0)  # large blocks come from the heap, which keeps them,
        mallopt(_M_TRIM_THRESHOLD, _NEVER)  # and whose free end is not given back either
