"""Follows the system calls of a child and all its threads, in the order in which they end: ptrace(2) by ctypes.

Neither strace nor a compiler is needed. The kernel says itself what a call is (PTRACE_GET_SYSCALL_INFO, Linux 5.3),
so that nothing here depends on the layout of registers; only the calls' numbers differ between machines.
"""

import ctypes
import os
import platform
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from signal import SIGKILL, SIGTRAP
from typing import Final

NUMBERS: Final = {
    "x86_64": {
        "write": 1, "open": 2, "close": 3, "pwrite64": 18, "writev": 20, "fsync": 74, "fdatasync": 75, "ftruncate": 77,
        "rename": 82, "unlink": 87, "openat": 257, "unlinkat": 263, "renameat": 264, "pwritev": 296, "renameat2": 316,
    },
    "aarch64": {
        "write": 64, "close": 57, "pwrite64": 68, "writev": 66, "fsync": 82, "fdatasync": 83, "ftruncate": 46,
        "openat": 56, "unlinkat": 35, "renameat": 38, "pwritev": 70, "renameat2": 276,
    },
}  # fmt: skip
"""The calls that are reported, by machine."""

_OCTETS: Final = {"write": (1, 2), "pwrite64": (1, 2)}
"""Where a call's arguments name the address and the length of what it writes."""
_PATHS: Final = {"open": 0, "openat": 1, "unlink": 0, "unlinkat": 1}
"""Where they name a path."""

_SYSCALL, _SEIZE, _INTERRUPT, _SYSCALL_INFO = 24, 0x4206, 0x4207, 0x420E
_TRACESYSGOOD, _TRACECLONE, _EXITKILL = 0x01, 0x08, 0x100000
_WALL: Final = 0x40000000
_SYSCALL_STOP: Final = SIGTRAP | 0x80
_ENTRY, _EXIT = 1, 2
_INFO_OCTETS: Final = 88
_ENTERED: Final = struct.Struct("=24xQ6Q")
_LEFT: Final = struct.Struct("=24xq")
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")

_ptrace = ctypes.CDLL(None, use_errno=True).ptrace
_ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
_ptrace.restype = ctypes.c_long


@dataclass(frozen=True)
class Call:
    """One call that has ended, or a close that begins. ``octets`` is what it wrote, as far as it did, or the path it
    named."""

    name: str
    arguments: tuple[int, ...]
    result: int
    octets: bytes


@dataclass(frozen=True)
class Exited:
    """The child is gone; ``status`` as of wait(2)."""

    status: int


def follow(pid: int, begin: Callable[[], None]) -> Iterator[Call | Exited]:
    """Every reported call of the process from ``begin()`` on, which is called once it is followed.

    The process must wait for that, with one thread, and must be the caller's only child: all of them are waited for.
    Raises PermissionError where ptrace is forbidden, KeyError on a machine whose numbers are not known.
    """
    names = {number: name for name, number in NUMBERS[platform.machine()].items()}
    _request(_SEIZE, pid, _TRACESYSGOOD | _TRACECLONE | _EXITKILL)
    _request(_INTERRUPT, pid)
    os.waitpid(pid, _WALL)
    _request(_SYSCALL, pid)
    begin()
    info = ctypes.create_string_buffer(_INFO_OCTETS)
    entered: dict[int, tuple[str, tuple[int, ...], bytes]] = {}
    memory = os.open(f"/proc/{pid}/mem", os.O_RDONLY | os.O_CLOEXEC)
    try:
        while True:
            thread, status = os.waitpid(-1, _WALL)
            if not os.WIFSTOPPED(status):
                if thread == pid:
                    yield Exited(status)
                    return
                continue
            signal, event = os.WSTOPSIG(status), status >> 16
            if signal == _SYSCALL_STOP:
                _request(_SYSCALL_INFO, thread, _INFO_OCTETS, ctypes.addressof(info))
                if info.raw[0] == _ENTRY:
                    number, *arguments = _ENTERED.unpack_from(info)
                    if number in names:
                        name = names[number]
                        if name == "close":
                            # Its number is free before the call returns: another thread's open may be told of first.
                            yield Call(name, tuple(arguments), 0, b"")
                        else:
                            entered[thread] = name, tuple(arguments), _named(memory, name, arguments)
                elif info.raw[0] == _EXIT and thread in entered:
                    name, given, octets = entered.pop(thread)
                    (result,) = _LEFT.unpack_from(info)
                    yield Call(name, given, result, octets[: max(result, 0)] if name in _OCTETS else octets)
            # A stop of ptrace's own is no signal to hand on.
            _resume(thread, 0 if event or signal in (_SYSCALL_STOP, SIGTRAP) else signal)
    finally:
        os.close(memory)


def end(pid: int) -> None:
    """Kill a process that is followed, and wait until all its threads are gone."""
    try:
        os.kill(pid, SIGKILL)
        while True:
            os.waitpid(-1, _WALL)
    except (ProcessLookupError, ChildProcessError):
        pass  # so it is


def _named(memory: int, name: str, arguments: list[int]) -> bytes:
    if name in _OCTETS:
        address, length = (arguments[index] for index in _OCTETS[name])
        return os.pread(memory, length, address)
    if name in _PATHS:
        return _text(memory, arguments[_PATHS[name]])
    return b""


def _text(memory: int, address: int) -> bytes:
    """A C string, page by page: the page after its end may not exist."""
    found = b""
    while b"\0" not in found:
        found += os.pread(memory, _PAGE - address % _PAGE, address)
        address += _PAGE - address % _PAGE
    return found.partition(b"\0")[0]


def _resume(thread: int, signal: int) -> None:
    try:
        _request(_SYSCALL, thread, signal)
    except ProcessLookupError:
        pass  # another thread has ended the process meanwhile; wait(2) tells


def _request(request: int, pid: int, *numbers: int) -> None:
    # Data comes last; only what asks for something has an address before it.
    address, data = numbers if len(numbers) == 2 else (0, *numbers) if numbers else (0, 0)
    if _ptrace(request, pid, address, data) < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"ptrace: {os.strerror(error)}")
