"""Pools of originators: which number, short code or name a message that names none is sent from.

The choice follows from the destination alone, so a destination hears from the same originator each time, whatever
process answers it and however often that restarts. An originator added at the end of a list takes over its fair share
of the destinations and no other changes hands (jump consistent hash, Lamping and Veach 2014).
"""

from collections.abc import Mapping, Sequence
from typing import Final
from zlib import crc32

import msgspec

from stentor.address import OriginatorKind, parse_originator
from stentor.numbers.countries import country_of

_MULTIPLIER: Final = 2862933555777941757
_MASK: Final = (1 << 64) - 1


class Pool(msgspec.Struct, frozen=True):
    """One ``[[pools]]``. ``by_country`` replaces ``originators`` in a country; in those of ``no_names`` names are left
    out of either."""

    name: str
    originators: tuple[str, ...]
    by_country: Mapping[str, tuple[str, ...]] = {}
    no_names: frozenset[str] = frozenset()


class PoolChooser:
    """A pool ready to choose from."""

    __slots__ = ("_by_country", "_rest", "pool")

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self._rest = pool.originators
        self._by_country = {
            country: candidates(pool, country) for country in {*pool.by_country, *pool.no_names}
        }

    def candidates(self, destination: str) -> tuple[str, ...]:
        """The originators a destination may hear from, never none: the configuration has seen to that."""
        by_country = self._by_country
        return by_country.get(country_of(destination), self._rest) if by_country else self._rest

    def choose(self, destination: str) -> str:
        """The originator of a destination."""
        found = self.candidates(destination)
        return found[jump(crc32(destination.encode()), len(found))] if len(found) > 1 else found[0]


def candidates(pool: Pool, country: str) -> tuple[str, ...]:
    """What a pool offers in a country."""
    found: Sequence[str] = pool.by_country.get(country, pool.originators)
    if country in pool.no_names:
        found = [text for text in found if parse_originator(text).kind is not OriginatorKind.NAME]
    return tuple(found)


def jump(key: int, buckets: int) -> int:
    """The bucket of a key, 0 to ``buckets - 1``; with one bucket more, only what goes into it moves."""
    bucket, following = 0, 0
    while following < buckets:
        bucket = following
        key = (key * _MULTIPLIER + 1) & _MASK
        following = int((bucket + 1) * ((1 << 31) / ((key >> 33) + 1)))
    return bucket
