"""Which destinations may be sent to at all: lists of prefixes and countries that are allowed or denied.

The most specific entry decides: the longest prefix, a country counting as the beginning that tells it. Without one that
fits, everything is allowed, unless there is a list of what is.
"""

import re
from collections.abc import Iterable
from typing import Final

from stentor.numbers.countries import COUNTRIES, country_of, country_prefix
from stentor.numbers.prefixes import PrefixTable

_prefix: Final = re.compile(r"\+[1-9][0-9]{0,14}", re.ASCII).fullmatch


class Destinations:
    """``allow`` and ``deny`` hold prefixes with ``+`` and countries by two letters; nothing is in both."""

    __slots__ = ("_by_country", "_by_prefix", "_is_open")

    def __init__(self, allow: Iterable[str] = (), deny: Iterable[str] = ()) -> None:
        verdicts = dict.fromkeys(allow, True)
        self._is_open = not verdicts
        verdicts |= dict.fromkeys(deny, False)
        self._by_prefix = PrefixTable({place: said for place, said in verdicts.items() if place[0] == "+"})
        self._by_country = {place: said for place, said in verdicts.items() if place[0] != "+"}

    def verdict(self, number: str) -> tuple[bool, str]:
        """Whether the number is allowed, and the entry that says so, "" when none fits."""
        prefix, allowed = next(self._by_prefix.matches(number), ("", self._is_open))
        if self._by_country:
            country = country_of(number)
            said = self._by_country.get(country)
            if said is not None and len(country_prefix(number)) > len(prefix):
                return said, country
        return allowed, prefix


def place_fault(place: str) -> str | None:
    """What is wrong with an entry; None when it is a prefix or a country."""
    if _prefix(place) or place in COUNTRIES:
        return None
    return 'must be a prefix like "+40" or a country\'s two capital letters like "RO"'
