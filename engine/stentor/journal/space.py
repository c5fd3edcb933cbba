"""Whether there is room on the journal's disk, judged by what is free of it.

The share of the disk says it, up to a bound: two per cent of a large disk are room for days. A disk that was short of
room must have half as much again before it is not, so that the judgement does not go to and fro.
"""

import enum
from typing import Final

import msgspec

MIB: Final = 1024 * 1024


class Space(enum.IntEnum):
    """ROOMY; LOW: somebody should know; SHORT: no new messages, what there is left is for those under way."""

    ROOMY = 0
    LOW = 1
    SHORT = 2

    @property
    def word(self) -> str:
        return self.name.lower()


class Threshold(msgspec.Struct, frozen=True, gc=False):
    """Less than ``share`` of the disk is free, and less than ``octets``."""

    share: float
    octets: int

    def of(self, total: int) -> float:
        return min(self.share * total, self.octets)


LOW: Final = Threshold(0.05, 2048 * MIB)
SHORT: Final = Threshold(0.02, 512 * MIB)
MARGIN: Final = 1.5


def judge(before: Space, free: int, total: int) -> Space:
    """How it is with ``free`` of ``total`` octets, after it was judged ``before``."""
    if free < SHORT.of(total) * (MARGIN if before is Space.SHORT else 1.0):
        return Space.SHORT
    if free < LOW.of(total) * (MARGIN if before is not Space.ROOMY else 1.0):
        return Space.LOW
    return Space.ROOMY
