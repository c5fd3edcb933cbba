"""What a process did to a journal's files, in order, together with what it reported: the trace of one run.

Owns the meaning of the system calls. Files are numbered as they are created, so that a file that was deleted and
another one made under its name are two. The -shm file is left out: SQLite rebuilds it, nothing durable stands there.
"""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGKILL

from tests.power_cut.ptrace import Call, Exited, end, follow
from tests.support.source import ROOT

SUFFIXES = ("", "-wal", "-journal")
REPORTS = 1
"""The descriptor the process reports on: each write(2) there is one number."""
READY = b"ready\n"


@dataclass(frozen=True)
class Created:
    name: str
    file: int


@dataclass(frozen=True)
class Written:
    file: int
    offset: int
    octets: bytes


@dataclass(frozen=True)
class Truncated:
    file: int
    size: int


@dataclass(frozen=True)
class Synced:
    file: int


@dataclass(frozen=True)
class Unlinked:
    name: str


@dataclass(frozen=True)
class FolderSynced:
    """The folder's entries are durable."""


@dataclass(frozen=True)
class Reported:
    """The process had been told that this commit is durable."""

    commit: int


Action = Created | Written | Truncated | Synced | Unlinked | FolderSynced | Reported


def record(module: str, arguments: Sequence[str], path: Path) -> list[Action]:
    """Run ``python -m module path arguments`` and tell what it did to ``path``; it says ``READY`` and waits for a line.

    Raises PermissionError where ptrace is forbidden, AssertionError if the process fails.
    """
    command = [sys.executable, "-m", module, str(path), *arguments]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        # Only a process that says it is ready has done its imports, which nobody wants to see.
        assert process.stdout.readline() == READY, f"{' '.join(command)} did not come up"
        actions: list[Action] = []
        files = _Files(path)

        def begin() -> None:
            process.stdin.write(b"\n")
            process.stdin.flush()

        for call in follow(process.pid, begin):
            if isinstance(call, Exited):
                process.returncode = os.waitstatus_to_exitcode(call.status)
                break
            if call.result >= 0:
                actions += files.meaning(call)
    finally:
        if process.returncode is None:
            end(process.pid)
            process.returncode = -SIGKILL
        process.stdin.close()
        process.stdout.close()
    assert process.returncode == 0, f"{' '.join(command)} ended with {process.returncode}"
    return actions


@dataclass
class _Files:
    """Which descriptor is which file."""

    path: Path
    names: dict[str, int] = field(default_factory=dict)
    open: dict[int, int] = field(default_factory=dict)
    folders: set[int] = field(default_factory=set)
    count: int = 0

    def meaning(self, call: Call) -> Iterator[Action]:
        """What a call that succeeded did to the journal's files."""
        descriptor = call.arguments[0]
        file = self.open.get(descriptor)
        match call.name:
            case "open" | "openat":
                flags = call.arguments[1 if call.name == "open" else 2]
                yield from self._opened(call.octets.decode(), flags, call.result)
            case "unlink" | "unlinkat":
                name = self._name(call.octets.decode())
                if self.names.pop(name, None) is not None:
                    yield Unlinked(name)
            case "close":
                self.open.pop(descriptor, None)
                self.folders.discard(descriptor)
            case "write" if descriptor == REPORTS:
                yield Reported(int(call.octets))
            case "fsync" | "fdatasync" if descriptor in self.folders:
                yield FolderSynced()
            case _ if file is None:
                return
            case "pwrite64":
                yield Written(file, call.arguments[3], call.octets)
            case "ftruncate":
                yield Truncated(file, call.arguments[1])
            case "fsync" | "fdatasync":
                yield Synced(file)
            case _:
                raise AssertionError(f"{call.name} on a journal's file is not understood")

    def _opened(self, text: str, flags: int, descriptor: int) -> Iterator[Action]:
        if Path(text) == self.path.parent:
            self.folders.add(descriptor)
            return
        name = self._name(text)
        if name not in SUFFIXES:
            return
        if name not in self.names:
            self.count += 1
            self.names[name] = self.count
            yield Created(name, self.count)
        elif flags & os.O_TRUNC:
            yield Truncated(self.names[name], 0)
        self.open[descriptor] = self.names[name]

    def _name(self, text: str) -> str:
        """The suffix of one of the journal's files; anything else for another path."""
        start = str(self.path)
        return text[len(start) :] if text.startswith(start) else text
