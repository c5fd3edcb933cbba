"""What a result was measured on: machine, kernel, versions, commit."""

import os
import platform
import sqlite3
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

import msgspec

from bench.harness import ROOT

PACKAGES: Final = ("stentor", "uvloop", "h11", "msgspec", "aiosqlite", "structlog", "trio")


class Machine(msgspec.Struct, frozen=True):
    """Stands in every report. ``load`` is the load average before the run: above 0.5, something else was
    running.
    """

    processor: str
    cores: int
    memory_octets: int
    kernel: str
    filesystem: str
    python: str
    sqlite: str
    packages: dict[str, str]
    commit: str
    load: float


def describe_machine() -> Machine:
    """This machine, now."""
    return Machine(
        processor=_processor(),
        cores=len(os.sched_getaffinity(0)),
        memory_octets=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        kernel=f"{platform.system()} {platform.release()}",
        filesystem=_filesystem(ROOT),
        python=f"{platform.python_implementation()} {platform.python_version()}",
        sqlite=sqlite3.sqlite_version,
        packages={name: _version(name) for name in PACKAGES},
        commit=_commit(),
        load=os.getloadavg()[0],
    )


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()


def _filesystem(path: Path) -> str:
    """The type of the file system a path is on; the journal's speed is its speed."""
    best, kind = "", "unknown"
    for line in Path("/proc/mounts").read_text().splitlines():
        _, place, found, *_ = line.split()
        if f"{path}/".startswith(f"{place.rstrip('/')}/") and len(place) >= len(best):
            best, kind = place, found
    return kind


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _commit() -> str:
    """The commit, with a plus when files differ from it; empty outside a repository."""
    try:
        head = subprocess.run(
            ("git", "rev-parse", "--short=12", "HEAD"), cwd=ROOT, capture_output=True, text=True, check=True
        )
        changed = subprocess.run(("git", "diff", "--quiet", "HEAD"), cwd=ROOT, check=False)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return head.stdout.strip() + ("+" if changed.returncode else "")
