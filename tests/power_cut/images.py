"""A disk's files while a trace is replayed, and what may be found on it when the power fails.

The model. What was written reaches the disk at its file's next sync, with the file's size. Until then each sector of
512 octets may hold what was synced, or what any later write left in it, independently of all others; a truncation may
have happened or not. A file that was created is there for certain once it was synced itself or its folder was; one
that was deleted is gone for certain once the folder was synced, or a new file of that name. Until then both may be.
Files that one transaction of a journalling file system would order are not ordered here: the model is the harsher one.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from random import Random

from tests.power_cut.trace import (
    Action,
    Created,
    FolderSynced,
    Reported,
    Synced,
    Truncated,
    Unlinked,
    Written,
)

SECTOR = 512
HALF = (0.5,)
UNEVEN = (0.0, 0.5, 0.9, 0.99, 1.0)
"""One file may be far ahead of the other, and often only a sector or two are missing."""

Image = dict[str, bytes]
"""What each file holds, by suffix; a file that is not there has no entry."""


@dataclass
class _Epoch:
    """What happened to a file from one truncation to the next: the states each sector went through."""

    truncated_to: int | None = None
    sectors: dict[int, list[bytes]] = field(default_factory=dict)


@dataclass
class _File:
    """One file: what it holds, what of that is on the disk for certain, and what lies between the two."""

    now: bytearray = field(default_factory=bytearray)
    synced: bytes = b""
    unsynced: list[_Epoch] = field(default_factory=lambda: [_Epoch()])

    def write(self, offset: int, octets: bytes) -> None:
        end = offset + len(octets)
        if len(self.now) < end:
            self.now.extend(bytes(end - len(self.now)))
        self.now[offset:end] = octets
        sectors = self.unsynced[-1].sectors
        for number in range(offset // SECTOR, (end - 1) // SECTOR + 1):
            start = number * SECTOR
            sectors.setdefault(number, []).append(bytes(self.now[start : start + SECTOR]))

    def truncate(self, size: int) -> None:
        self.now = self.now[:size].ljust(size, b"\0")
        self.unsynced.append(_Epoch(size))

    def sync(self) -> None:
        self.synced = bytes(self.now)
        self.unsynced = [_Epoch()]

    def torn(self, random: Random, share: float) -> bytes:
        """What is synced and about this share of the rest."""
        found = bytearray(self.synced)
        for epoch in self.unsynced:
            if epoch.truncated_to is not None and random.random() < share:
                found = found[: epoch.truncated_to].ljust(epoch.truncated_to, b"\0")
            for number, states in epoch.sectors.items():
                if random.random() < share:
                    start = number * SECTOR
                    octets = states[0] if len(states) == 1 else random.choice(states)
                    if len(found) < start:
                        found.extend(bytes(start - len(found)))
                    found[start : start + len(octets)] = octets
        return bytes(found)


@dataclass
class Disk:
    """The files of a journal after the actions of a trace that were applied so far."""

    files: dict[int, _File] = field(default_factory=dict)
    linked: dict[str, int] = field(default_factory=dict)
    durable: dict[str, int] = field(default_factory=dict)

    def apply(self, action: Action) -> None:
        match action:
            case Created(name, file):
                self.files[file] = _File()
                self.linked[name] = file
            case Written(file, offset, octets):
                self.files[file].write(offset, octets)
            case Truncated(file, size):
                self.files[file].truncate(size)
            case Synced(file):
                self.files[file].sync()
                self.durable |= {name: linked for name, linked in self.linked.items() if linked == file}
            case Unlinked(name):
                del self.linked[name]
            case FolderSynced():
                self.durable = dict(self.linked)
            case Reported():
                pass

    def everything(self) -> Image:
        """All that was written: what is left of a process that was killed."""
        return {name: bytes(self.files[file].now) for name, file in self.linked.items()}

    def synced(self) -> Image:
        """Nothing but what is certain."""
        return {name: self.files[file].synced for name, file in self.durable.items()}

    def torn(self, random: Random, shares: Sequence[float]) -> Image:
        """What is certain and a random part of the rest: of each file one of the ``shares``, drawn by itself."""
        image = {}
        for name in sorted(self.linked.keys() | self.durable.keys()):
            names = self.linked if random.getrandbits(1) else self.durable
            if name in names:
                image[name] = self.files[names[name]].torn(random, random.choice(shares))
        return image


def power_cuts(disk: Disk, random: Random, variants: int) -> Iterator[tuple[str, Image]]:
    """What may be found after a cut at this moment, each under the name of its kind; ``variants`` of them are torn."""
    yield "killed", disk.everything()
    yield "synced", disk.synced()
    for number in range(variants):
        yield "torn", disk.torn(random, UNEVEN if number % 2 else HALF)
