"""The allocator of a CPU's memory keeps what a step frees, since the next step needs as much again.

By itself glibc gives large freed blocks back to the kernel, and the next step touches each of their pages anew: up to
80,000 page faults in a step of `python -m trainer bench`, some 4 % of its time.
"""

from __future__ import annotations

import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of <malloc.h>
_LARGEST_THRESHOLD = 32 * 2**20  # bytes; glibc takes no more on 64 bits
_NEVER = 2**31 - 1


def keep_freed_memory() -> None:
    """Lets this process keep what it frees. Without effect where the C library has no such switch.

    Blocks above 32 MiB still come from the kernel and go back to it: on the heap, aligned blocks of that size leave
    gaps that the next ones do not fit, and the process would grow with each.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGEST_THRESHOLD)  # blocks come from the heap, which keeps them,
        mallopt(_M_TRIM_THRESHOLD, _NEVER)  # and whose free end is not given back either
