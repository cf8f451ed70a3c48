"""Proof, from inside, that a container confines what runs in it. A cell that finds a gap gets nothing to run.

Half of it is taken by the cell's first process, the other half by a process as confined as a program will be.
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import socket
from pathlib import Path

from . import namespaces
from .syscalls import AF_INET, AF_INET6

PR_SET_DUMPABLE = 4
UNLIMITED = 2**60  # the kernel's "no limit" is a page-rounded 2^63 in version 1 of control groups, "max" in version 2
FAMILIES = range(64)  # of sockets: more than any kernel knows
_CLONE_NEWUSER = 0x10000000


def become_untouchable() -> None:
    """Closes this process to others of its own user: no ptrace, no /proc/1/mem, no /proc/1/environ, no signal.

    The first process of a container gets no signal from inside it that it has not asked for, not even SIGKILL; Python
    asks for SIGINT, so that is taken back.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)


def gaps() -> list[str]:
    """What is missing of the container's confinement, in words; empty where it is whole."""
    from .child import processor_seconds

    status = dict(line.split(":\t", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":\t" in line)
    interfaces = [line.split(":")[0].strip() for line in Path("/proc/net/dev").read_text().splitlines()[2:]]
    families = _open_families() - {socket.AF_UNIX, AF_INET, AF_INET6}
    checks = {
        "it is not the container's first process": os.getpid() == 1,
        "it runs as root": os.getuid() != 0 and os.geteuid() != 0,
        "it has capabilities": all(int(status[key], 16) == 0 for key in ("CapEff", "CapPrm", "CapInh", "CapBnd")),
        "it may gain privileges": status["NoNewPrivs"].strip() == "1",
        "no system call filter is on": status["Seccomp"].strip() == "2",
        f"it opens sockets beside the network, of families {sorted(families)}": not families,
        "it has a network": interfaces == ["lo"],
        "its root file system is writable": _is_read_only("/"),
        "its processes are not limited": _group_limit("pids", "pids.max", "pids.max") < UNLIMITED,
        "its memory is not limited": _group_limit("memory", "memory.max", "memory.limit_in_bytes") < UNLIMITED,
        "its processor time is not counted": _succeeds(processor_seconds),
        "the container engine's socket is in it": not any(
            map(os.path.exists, ("/var/run/docker.sock", "/run/docker.sock"))
        ),
    }
    return [gap for gap, closed in checks.items() if not closed]


def program_gaps(own_namespaces: bool) -> list[str]:
    """What is missing of the confinement of a program, tried out by a process in its place."""
    families = _open_families() - {AF_INET, AF_INET6}
    checks = {
        "a program has capabilities": not namespaces.has_capabilities(),
        "a program gets namespaces": _refused(lambda libc: libc.unshare(_CLONE_NEWUSER)),
        "a program mounts": _refused(lambda libc: libc.mount(b"none", b"/tmp", b"tmpfs", 0, None)),
        f"a program opens sockets of families {sorted(families)}": not families,
        "a program changes other processes": _refused(lambda libc: libc.setpriority(os.PRIO_PROCESS, 2, 0)),
    }
    if own_namespaces:
        checks |= {
            "a program is not process 1 of its namespace": os.getpid() == 1,
            "a program sees processes": not os.listdir("/proc"),
            "a program sees the evaluator's volume": not os.path.exists("/run/sandbox"),
        }
    return [gap for gap, closed in checks.items() if not closed]


def _open_families() -> set[int]:
    found = set()
    for family in FAMILIES:
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW, socket.SOCK_SEQPACKET):
            try:
                socket.socket(family, kind).close()
                found.add(family)
            except OSError as error:
                # Some families look at the kind first and at what is asked for only then: that was let through too.
                if error.errno in (errno.ESOCKTNOSUPPORT, errno.EPROTONOSUPPORT, errno.EPROTOTYPE):
                    found.add(family)
    return found


def _refused(call: object) -> bool:
    libc = ctypes.CDLL(None, use_errno=True)
    return call(libc) == -1 and ctypes.get_errno() == errno.EPERM  # type: ignore[operator]


def _succeeds(call: object) -> bool:
    try:
        call()  # type: ignore[operator]
    except (OSError, ValueError):
        return False
    return True


def _is_read_only(path: str) -> bool:
    return bool(os.statvfs(path).f_flag & os.ST_RDONLY)


def _group_limit(controller: str, name: str, old_name: str) -> float:
    """A limit of this control group, for both versions of control groups; infinite where none is found."""
    for path in (Path("/sys/fs/cgroup", name), Path("/sys/fs/cgroup", controller, old_name)):
        if path.exists():
            text = path.read_text().strip()
            return float("inf") if text == "max" else float(text)
    return float("inf")
