"""Room on the journal's disk: the ballast, when it goes and comes, and when new messages are refused."""

import asyncio
import errno
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from stentor.aio.journal.room import REMAKE_S, Room
from stentor.journal.space import MIB, Space

BALLAST = 256 * 1024
TOTAL = 1000 * MIB


class Usage(NamedTuple):
    f_frsize: int
    f_blocks: int
    f_bavail: int


class Said(list[str]):
    """A log that keeps the levels and events."""

    def info(self, event: str, **values: object) -> None:
        self.append(f"info: {event}")

    def warning(self, event: str, **values: object) -> None:
        self.append(f"warning: {event}")

    debug = error = info


class Disk:
    """A folder on a disk whose room a test decides on."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.free = 500 * MIB
        self.has_room_for_files = True
        self.made = 0
        self.log = Said()
        self.room = Room(folder, self.log, self.usage, BALLAST)  # type: ignore[arg-type]  # says what a Log says
        self.now = 0.0
        real = os.posix_fallocate

        def fallocate(descriptor: int, start: int, octets: int) -> None:
            if not self.has_room_for_files:
                os.write(descriptor, b"a part of it")
                raise OSError(errno.ENOSPC, "no space left")
            self.made += 1
            real(descriptor, start, octets)

        monkeypatch.setattr(os, "posix_fallocate", fallocate)

    def usage(self, _: Path) -> Usage:
        return Usage(4096, TOTAL // 4096, self.free // 4096)

    async def look(self, free: int | None = None) -> Space:
        self.free = self.free if free is None else free
        self.now += 1.0
        await self.room.look(self.now)
        return self.room.space


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(tmp_path, monkeypatch)


def run(work: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(work())  # type: ignore[arg-type]  # a coroutine function's


def test_the_ballast_takes_up_room_from_the_first_look_on(disk: Disk, tmp_path: Path) -> None:
    async def work() -> None:
        assert await disk.look() is Space.ROOMY
        found = (tmp_path / "ballast").stat()
        assert (found.st_size, found.st_mode & 0o777) == (BALLAST, 0o600)
        assert found.st_blocks * 512 >= BALLAST
        await disk.look()
        assert disk.made == 1

    run(work)


def test_new_messages_are_refused_before_the_disk_is_full_and_taken_when_there_is_room_again(
    disk: Disk,
) -> None:
    async def work() -> None:
        assert await disk.look(40 * MIB) is Space.LOW
        assert disk.room.shortage is None
        assert await disk.look(19 * MIB) is Space.SHORT
        assert disk.room.shortage is not None
        assert "19 MiB" in disk.room.shortage
        assert disk.room.ballast.is_there
        assert await disk.look(21 * MIB) is Space.SHORT
        assert await disk.look(31 * MIB) is Space.LOW
        assert disk.room.shortage is None
        assert await disk.look(80 * MIB) is Space.ROOMY
        assert disk.log == [
            "warning: disk space is low",
            "warning: disk is short of room, new messages are refused",
            "warning: disk space is low",
            "info: disk has room again",
        ]

    run(work)


def test_a_full_disk_costs_the_ballast_and_it_comes_back_with_the_room(disk: Disk) -> None:
    async def work() -> None:
        await disk.look()
        disk.room.full()
        assert not disk.room.ballast.is_there
        assert disk.room.shortage is not None
        disk.room.full()
        assert await disk.look(BALLAST) is Space.SHORT
        assert not disk.room.ballast.is_there
        assert await disk.look(100 * MIB) is Space.ROOMY
        assert disk.room.ballast.is_there
        assert disk.log == ["warning: disk is full, the ballast is given up", "info: disk has room again"]

    run(work)


def test_after_a_full_disk_there_is_no_room_until_the_ballast_can_be_made(disk: Disk, tmp_path: Path) -> None:
    """A quota may be used up on a disk that has plenty."""

    async def work() -> None:
        await disk.look()
        disk.has_room_for_files = False
        disk.room.full()
        for _ in range(3):
            assert await disk.look() is Space.SHORT
            assert not (tmp_path / "ballast").exists()
        disk.has_room_for_files = True
        assert await disk.look() is Space.ROOMY

    run(work)


def test_a_disk_that_never_had_room_for_the_ballast_is_used_without(disk: Disk) -> None:
    async def work() -> None:
        disk.has_room_for_files = False
        assert await disk.look() is Space.ROOMY
        disk.has_room_for_files = True
        assert await disk.look() is Space.ROOMY
        assert disk.made == 0
        disk.now += REMAKE_S
        await disk.look()
        assert disk.made == 1

    run(work)


def test_a_disk_that_fills_up_while_the_ballast_is_made_is_full(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work() -> None:
        make = disk.room.ballast.make

        def slowly() -> None:
            make()
            loop.call_soon_threadsafe(disk.room.full)

        loop = asyncio.get_running_loop()
        disk.room.full()
        monkeypatch.setattr(disk.room.ballast, "make", slowly)
        assert await disk.look() is Space.SHORT
        assert not disk.room.ballast.is_there
        monkeypatch.undo()
        assert await disk.look() is Space.ROOMY

    run(work)


def test_a_ballast_of_another_size_is_made_anew(disk: Disk, tmp_path: Path) -> None:
    async def work() -> None:
        (tmp_path / "ballast").write_bytes(b"cut short")
        await disk.look()
        assert (tmp_path / "ballast").stat().st_size == BALLAST

    run(work)


def test_a_disk_that_cannot_be_asked_leaves_the_judgement_as_it_was(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work() -> None:
        await disk.look(10 * MIB)

        def fails(_: Path) -> Usage:
            raise OSError(errno.EIO, "input/output error")

        monkeypatch.setattr(disk.room, "_statvfs", fails)
        assert await disk.look() is Space.SHORT
        assert disk.log[-1] == "warning: free space is unknown"

    run(work)
