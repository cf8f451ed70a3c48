"""A fresh set of namespaces for each order: processes, files, network, IPC and users of its own, gone with its end.

What a container is to a host, this is to the container. The program is process 1 of its world: it can name no other
process, sees neither /proc nor the evaluator's socket, has a /tmp of its own, and whatever it leaves running is killed
by the kernel when it ends.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
from pathlib import Path

NEW = 0x00020000 | 0x04000000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000
"""CLONE_NEWNS, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET."""
HIDDEN = ("/proc", "/sys", "/run", "/dev/shm", "/dev/mqueue")  # noqa: S108
TEMPORARY = "size=16m,nr_inodes=1024,mode=1777"
_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_NOEXEC, _MS_REC, _MS_PRIVATE = 1, 2, 4, 8, 0x4000, 0x40000
_INERT = _MS_NOSUID | _MS_NODEV | _MS_NOEXEC
_PR_SET_DUMPABLE, _PR_CAPBSET_READ, _PR_CAPBSET_DROP, _SIOCSIFFLAGS, _IFF_UP = 4, 23, 24, 0x8914, 1
_CAPABILITY_HEADER = struct.pack("=Ii", 0x20080522, 0)  # version 3, this process
_libc = ctypes.CDLL(None, use_errno=True)


def enter() -> None:
    """Goes on as process 1 of new namespaces, without any capability. Raises OSError."""
    user, group = os.getuid(), os.getgid()
    _check(_libc.unshare(NEW))
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    _mount("none", "/", None, _MS_REC | _MS_PRIVATE, None)
    _mount("tmpfs", "/tmp", "tmpfs", _INERT, TEMPORARY)  # noqa: S108
    for path in filter(os.path.isdir, HIDDEN):
        _mount("tmpfs", path, "tmpfs", _INERT | _MS_RDONLY, "size=4k,mode=555")
    _start_loopback()
    _drop_capabilities()
    if os.fork():
        os._exit(0)  # the new process 1 has become a child of the container's


def become_visible() -> None:
    """Gives this process's own files in /proc to its user, as `enter` needs them."""
    _libc.prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)


def has_capabilities() -> bool:
    """Whether this process has any, or could come by one."""
    found = ctypes.create_string_buffer(24)
    _check(_libc.capget(_CAPABILITY_HEADER, found))
    return any(found.raw) or any(_libc.prctl(_PR_CAPBSET_READ, number, 0, 0, 0) == 1 for number in range(64))


def _drop_capabilities() -> None:
    for capability in range(64):
        _libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)  # fails for numbers that this kernel does not know
    _check(_libc.capset(_CAPABILITY_HEADER, bytes(24)))


def _mount(source: str, target: str, kind: str | None, flags: int, options: str | None) -> None:
    texts = [None if text is None else text.encode() for text in (source, target, kind, options)]
    _check(_libc.mount(texts[0], texts[1], texts[2], ctypes.c_ulong(flags), texts[3]))


def _start_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as device:
        fcntl.ioctl(device, _SIOCSIFFLAGS, struct.pack("16sh", b"lo", _IFF_UP) + bytes(22))


def _check(result: int) -> None:
    if result:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
