"""The system calls that a program loses on top of the container's own filter (seccomp.json), before its first line runs.

The container's filter must leave the supervisor what it needs: namespaces, mounts, a UNIX socket to the evaluator.
This one takes these away for good, and every way to change another process's priority, limits or processors.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
import sys

AF_INET, AF_INET6, SOCK_DGRAM = 2, 10, 2
_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 22, 2
_LOAD, _EQUAL, _AT_LEAST, _AND, _RETURN = 0x20, 0x15, 0x35, 0x54, 0x06  # classic BPF
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16  # offsets in struct seccomp_data; both machines are little-endian
_X32 = 0x40000000  # x86-64's second numbering of the same calls

_MACHINES: dict[str, tuple[int, dict[str, int]]] = {
    "x86_64": (0xC000003E, {
        "socket": 41, "socketpair": 53, "setpriority": 141, "sched_setparam": 142, "sched_setscheduler": 144, "mount": 165,
        "sched_setaffinity": 203, "ioprio_set": 251, "unshare": 272, "prlimit64": 302, "sched_setattr": 314,
    }),
    "aarch64": (0xC00000B7, {
        "ioprio_set": 30, "mount": 40, "unshare": 97, "sched_setparam": 118, "sched_setscheduler": 119,
        "sched_setaffinity": 122, "setpriority": 140, "socket": 198, "socketpair": 199, "prlimit64": 261, "sched_setattr": 274,
    }),
}  # fmt: skip
_REFUSED = ("mount", "unshare")
_ON_ITSELF_ONLY = {  # the argument that names a process, where 0 is the caller
    "prlimit64": 0, "sched_setaffinity": 0, "sched_setattr": 0, "sched_setparam": 0, "sched_setscheduler": 0,
    "setpriority": 1, "ioprio_set": 1,
}  # fmt: skip

Instruction = tuple[int, int, int, int]
"""Operation, jump if true, jump if false, operand."""


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]


def lose() -> None:
    """Takes the calls away from this process and all that it starts. Raises OSError; KeyError on an unknown machine."""
    code = b"".join(struct.pack("<HBBI", *instruction) for instruction in _filter(os.uname().machine))
    program = _Program(len(code) // 8, code)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0):
        raise OSError(ctypes.get_errno(), "a system call filter")


def _filter(machine: str) -> list[Instruction]:
    assert sys.byteorder == "little"
    architecture, numbers = _MACHINES[machine]
    code: list[Instruction] = [
        (_LOAD, 0, 0, _ARCHITECTURE), (_EQUAL, 1, 0, architecture), (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER), (_AT_LEAST, 0, 1, _X32), (_RETURN, 0, 0, _KILL),
    ]  # fmt: skip
    for name in _REFUSED:
        code += _for(numbers[name], [_error(errno.EPERM)])
    for name, index in _ON_ITSELF_ONLY.items():
        code += _for(numbers[name], [_argument(index), (_EQUAL, 1, 0, 0), _error(errno.EPERM), _ALLOWED])
    code += _for(numbers["socket"], [
        _argument(0), (_EQUAL, 2, 0, AF_INET), (_EQUAL, 1, 0, AF_INET6), _error(errno.EAFNOSUPPORT), _ALLOWED,
    ])  # fmt: skip
    code += _for(numbers["socketpair"], [  # one of datagrams could be connected to another path afterwards
        _argument(1), (_AND, 0, 0, 0xF), (_EQUAL, 0, 1, SOCK_DGRAM), _error(errno.EPERM), _ALLOWED,
    ])  # fmt: skip
    return [*code, _ALLOWED]


_ALLOWED: Instruction = (_RETURN, 0, 0, _ALLOW)


def _error(number: int) -> Instruction:
    return (_RETURN, 0, 0, _ERRNO | number)


def _argument(index: int) -> Instruction:
    return (_LOAD, 0, 0, _ARGUMENTS + 8 * index)  # the lower half: these arguments are ints


def _for(number: int, code: list[Instruction]) -> list[Instruction]:
    """`code`, which returns in every case, for one system call; the number stays loaded for the others."""
    return [(_EQUAL, 0, len(code), number), *code]
