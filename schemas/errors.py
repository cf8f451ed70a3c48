"""Errors a user can mend, and the exit codes every command shares."""

from __future__ import annotations

import errno
import signal
import sys
from collections.abc import Callable
from types import FrameType

OK = 0
USER_ERROR = 2  # bad config, missing file, corrupt artifact: one clear message, no traceback
REJECTED = 3  # the gate's or the overhead proof's "no"
INCONCLUSIVE = 4  # the measurement cannot tell
DIVERGED = 5  # training's loss or gradient is no finite number
INTERRUPTED = 130  # Ctrl-C: 128 + SIGINT
TERMINATED = 143  # 128 + SIGTERM


class UserError(Exception):
    """Something outside the program is wrong: says what, where, and what to do next.

    Args:
        what: the fault in one sentence.
        where: the file, key or address it was found at.
        fix: what the user can do about it.
    """

    exit_code = USER_ERROR
    """What a command that ends with it exits with."""

    def __init__(self, what: str, *, where: object = None, fix: str | None = None) -> None:
        self.what, self.where, self.fix = what, where, fix
        super().__init__(what)

    def __str__(self) -> str:
        lines = [self.what]
        if self.where is not None:
            lines.append(f"  where: {self.where}")
        if self.fix:
            lines.append(f"  fix:   {self.fix}")
        return "\n".join(lines)


class Diverged(UserError):
    """Training's loss or its gradient is not finite: a finding about the config, which a study counts as one."""

    exit_code = DIVERGED


class Interrupted(KeyboardInterrupt):
    """Ctrl-C or SIGTERM, with what was kept and how to go on."""

    def __init__(self, kept: str, *, exit_code: int = INTERRUPTED) -> None:
        self.kept, self.exit_code = kept, exit_code
        super().__init__(kept)


_ROOM = "free some space and run the same command again; nothing half-written was kept"
_RIGHTS = "give this user the right to it, or choose another place"
_MENDED_BY_USERS = {
    errno.ENOSPC: _ROOM,
    errno.EDQUOT: _ROOM,
    errno.EROFS: "choose a place that can be written",
    errno.EACCES: _RIGHTS,
    errno.EPERM: _RIGHTS,
    errno.EIO: "the device or the network behind it fails; check it, and run the same command again",
    errno.ESTALE: "the device or the network behind it fails; check it, and run the same command again",
}


def _terminate(signum: int, frame: FrameType | None) -> None:
    raise Interrupted("terminated", exit_code=TERMINATED)


def run_command(main: Callable[[list[str]], int], argv: list[str] | None = None) -> None:
    """Runs a stage's `main` and leaves the process with the documented exit code.

    A UserError prints its message and exits 2 (a Diverged 5), Ctrl-C exits 130, SIGTERM 143, a file
    system that is full, read-only, forbidden or failing 2. Any other exception is
    a bug and keeps its traceback (Python's exit code 1).
    """
    signal.signal(signal.SIGTERM, _terminate)
    try:
        code = main(sys.argv[1:] if argv is None else argv)
    except UserError as error:
        code = _complain(f"error: {error}", error.exit_code)
    except KeyboardInterrupt as error:
        kept = (
            error.kept
            if isinstance(error, Interrupted)
            else "interrupted; finished artifacts are whole, run the same command again"
        )
        code = _complain(kept, error.exit_code if isinstance(error, Interrupted) else INTERRUPTED)
    except OSError as error:
        fix = _MENDED_BY_USERS.get(error.errno or 0)
        if fix is None:
            raise
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        reason = "no space left on the device" if full else str(error.strerror).lower()
        code = _complain(f"error: {reason}\n  where: {error.filename}\n  fix:   {fix}", USER_ERROR)
    sys.stdout.flush()
    sys.exit(code)


def _complain(message: str, code: int) -> int:
    print(message, file=sys.stderr, flush=True)
    return code
