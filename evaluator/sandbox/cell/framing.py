"""Messages on a stream: a letter for the kind, the length in four bytes, the body. Nothing in a body can end it."""

from __future__ import annotations

import struct

HEADER = struct.Struct(">cI")
LONGEST = 32 * 2**20
"""Bytes of one body. A longer one is refused when its header arrives, before any of it is kept."""

ORDER = b"O"  # evaluator -> cell: what to run, as JSON
MESSAGE = b"M"  # either way: between the process in the cell and its counterpart
END = b"E"  # evaluator -> cell: stop this order; cell -> evaluator: nothing of it is left
HELLO = b"H"  # cell -> evaluator: who it is and what it proves, as JSON
GONE = b"G"  # cell -> evaluator: the process gave no answer, and why
READY = b"R"  # process -> evaluator: the program is loaded
FAILED = b"F"  # process -> evaluator: it is not, and why
VERDICT = b"V"  # the tests' process -> evaluator
NOT_CONFINED = b"X"  # process -> cell: it was never as confined as it must be, and ran nothing

FROM_A_PROCESS = frozenset({MESSAGE, READY, FAILED, VERDICT})
"""All that the process in a cell may say: the rest is the cell's own."""


class BadFrame(ValueError):
    """The bytes announce a message of no known form or beyond all length."""


def frame(kind: bytes, body: bytes = b"") -> bytes:
    """A message as bytes. Raises BadFrame where it is too long."""
    if len(body) > LONGEST:
        raise BadFrame(f"a message of {len(body):,} bytes")
    return HEADER.pack(kind, len(body)) + body


class Frames:
    """Cuts the bytes of one stream into messages."""

    def __init__(self) -> None:
        self._unread = bytearray()

    def feed(self, data: bytes) -> None:
        """Adds bytes in the order of their arrival."""
        self._unread += data

    def take(self) -> tuple[bytes, bytes] | None:
        """The next whole message as (kind, body), or None. Raises BadFrame."""
        if len(self._unread) < HEADER.size:
            return None
        kind, length = HEADER.unpack_from(self._unread)
        if length > LONGEST:
            raise BadFrame(f"a message of {length:,} bytes")
        end = HEADER.size + length
        if len(self._unread) < end:
            return None
        body = bytes(self._unread[HEADER.size : end])
        del self._unread[:end]
        return kind, body
