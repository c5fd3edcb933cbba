"""Tables of prefixes of E.164 numbers, where the longest that fits counts.

A table is a dictionary and, for each beginning of two digits, the lengths of prefixes that occur behind it, longest
first: a look-up is one probe for each such length, whatever the number of prefixes. A table never changes.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Generic, TypeVar

T = TypeVar("T")

_HEAD = 3  # the plus and two digits


class PrefixTable(Generic[T]):
    """``entries`` by prefix: ``+`` and digits, or "" for every number. Values are not None."""

    __slots__ = ("_by_prefix", "_lengths", "_short")

    def __init__(self, entries: Mapping[str, T]) -> None:
        self._by_prefix = dict(entries)
        short: set[int] = set()
        lengths: dict[str, set[int]] = {}
        for prefix in self._by_prefix:
            if len(prefix) < _HEAD:
                short.add(len(prefix))
            else:
                lengths.setdefault(prefix[:_HEAD], set()).add(len(prefix))
        self._short = tuple(sorted(short, reverse=True))
        self._lengths = {
            head: (*sorted(found, reverse=True), *self._short) for head, found in lengths.items()
        }

    def __len__(self) -> int:
        return len(self._by_prefix)

    def items(self) -> Iterable[tuple[str, T]]:
        """Every prefix with its value."""
        return self._by_prefix.items()

    def find(self, number: str) -> T | None:
        """The value of the longest prefix of ``number``, or None."""
        get = self._by_prefix.get
        for length in self._lengths.get(number[:_HEAD], self._short):
            value = get(number[:length])
            if value is not None:
                return value
        return None

    def longest(self, number: str) -> str:
        """The longest prefix of ``number`` itself; "" also when there is none."""
        return next(self.matches(number), ("", None))[0]

    def matches(self, number: str) -> Iterator[tuple[str, T]]:
        """Every prefix of ``number`` with its value, longest first."""
        get = self._by_prefix.get
        for length in self._lengths.get(number[:_HEAD], self._short):
            value = get(number[:length])
            if value is not None and length <= len(number):
                yield number[:length], value
