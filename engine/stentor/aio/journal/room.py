"""Room for the journal: a look at its disk once a second, and a ballast file to give up when the disk is full.

While the disk is short of room new messages are refused, before SQLite fails. When a write has failed for want of room
the ballast goes, so that results, receipts and inbound messages can be written; new messages are taken again once the
ballast could be made anew and there is room besides. All of it runs on the loop but the making of the ballast.
"""

import asyncio
import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

from stentor.driver import Log
from stentor.journal.space import MIB, Space, judge

BALLAST_NAME: Final = "ballast"
BALLAST_OCTETS: Final = 32 * MIB
REMAKE_S: Final = 30.0
"""How long after a vain attempt the ballast is tried to be made again, while the disk is not full."""
_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class DiskUsage(Protocol):
    """What statvfs(3) tells of a file system."""

    @property
    def f_frsize(self) -> int: ...

    @property
    def f_blocks(self) -> int: ...

    @property
    def f_bavail(self) -> int: ...


class Ballast:
    """A file that takes up room, and does nothing else."""

    def __init__(self, path: Path, octets: int = BALLAST_OCTETS) -> None:
        self.path = path
        self.octets = octets

    @property
    def is_there(self) -> bool:
        try:
            return self.path.stat().st_size == self.octets
        except FileNotFoundError:
            return False

    def make(self) -> None:
        """Raises OSError, and leaves nothing, if there is no room for it."""
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, self.octets)
        except OSError:
            self.drop()
            raise
        finally:
            os.close(descriptor)

    def drop(self) -> None:
        self.path.unlink(missing_ok=True)


class Room:
    """Watches over the folder of the journal. ``statvfs`` is os.statvfs, or a test's."""

    def __init__(
        self,
        folder: Path,
        log: Log,
        statvfs: Callable[[Path], DiskUsage] = os.statvfs,
        ballast_octets: int = BALLAST_OCTETS,
    ) -> None:
        self.space = Space.ROOMY
        self.free_octets = 0
        self.ballast = Ballast(folder / BALLAST_NAME, ballast_octets)
        self._folder = folder
        self._log = log
        self._statvfs = statvfs
        self._is_full = False
        self._times_full = 0
        self._remake_at = 0.0

    @property
    def shortage(self) -> str | None:
        """Why no new messages are stored; None when they are."""
        if self.space is not Space.SHORT:
            return None
        return f"the journal's disk has no room for new messages: {self.free_octets // MIB} MiB are free"

    def full(self) -> None:
        """A write failed for want of room: give up the ballast, take nothing new."""
        if not self._is_full:
            freed = self.ballast.octets if self.ballast.is_there else 0
            self._log.warning("disk is full, the ballast is given up", octets=freed)
        self.ballast.drop()
        self._is_full = True
        self._times_full += 1
        self.space = Space.SHORT

    async def look(self, now: float) -> None:
        """Judge anew; to be called about once a second, ``now`` in monotonic seconds."""
        try:
            usage = self._statvfs(self._folder)
        except OSError as error:
            self._log.warning("free space is unknown", reason=f"{self._folder}: {error.strerror}")
            return
        self.free_octets = usage.f_bavail * usage.f_frsize
        # What is free now and will be the ballast is no room for anything else.
        free = self.free_octets - (self.ballast.octets if self._is_full else 0)
        found = judge(self.space, free, usage.f_blocks * usage.f_frsize)
        times_full = self._times_full
        if found is not Space.SHORT and not await self._have_ballast(now) and self._is_full:
            found = Space.SHORT
        if times_full != self._times_full:
            return  # it filled up meanwhile
        if found is not Space.SHORT:
            self._is_full = False
        self._become(found)

    async def _have_ballast(self, now: float) -> bool:
        if self.ballast.is_there:
            return True
        if now < self._remake_at and not self._is_full:
            return False
        self._remake_at = now + REMAKE_S
        try:
            await asyncio.to_thread(self.ballast.make)
        except OSError as error:
            if error.errno not in _NO_ROOM:
                self._log.warning(
                    "no ballast", reason=f"{self.ballast.path} cannot be made: {error.strerror}"
                )
            return False
        return True

    def _become(self, found: Space) -> None:
        before, self.space = self.space, found
        if found is before:
            return
        free_mib = self.free_octets // MIB
        match found:
            case Space.ROOMY:
                self._log.info("disk has room again", free_mib=free_mib)
            case Space.LOW:
                self._log.warning("disk space is low", free_mib=free_mib, each_time=True)
            case Space.SHORT:
                self._log.warning(
                    "disk is short of room, new messages are refused", free_mib=free_mib, each_time=True
                )
