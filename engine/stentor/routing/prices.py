"""What a segment costs on each channel, by prefix of its destination; the longest prefix counts.

Prices are whole millionths of the currency, so that comparing and adding them is exact. All prices of a table are in
one currency: what cannot be compared cannot be cheapest.
"""

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import msgspec

from stentor.numbers.prefixes import PrefixTable

MILLIONTHS: Final = 1_000_000
COLUMNS: Final = ("channel", "prefix", "price", "currency")
_price = re.compile(r"([0-9]{1,9})(?:\.([0-9]{1,6}))?", re.ASCII).fullmatch
_prefix = re.compile(r"(?:\+[1-9][0-9]{0,14})?", re.ASCII).fullmatch
_currency = re.compile(r"[A-Z]{3}", re.ASCII).fullmatch


class Price(msgspec.Struct, frozen=True, gc=False):
    """A segment on a channel to destinations with a prefix ("": any) costs ``millionths`` of ``currency``."""

    channel: str
    prefix: str
    millionths: int
    currency: str


class PriceTable:
    """Prices by channel and prefix."""

    __slots__ = ("_by_channel", "_union", "currency")

    def __init__(self, prices: Iterable[Price] = ()) -> None:
        by_channel: dict[str, dict[str, int]] = {}
        self.currency = ""
        for price in prices:
            by_channel.setdefault(price.channel, {})[price.prefix] = price.millionths
            self.currency = price.currency
        self._by_channel = {name: PrefixTable(found) for name, found in by_channel.items()}
        self._union = PrefixTable({prefix: prefix for found in by_channel.values() for prefix in found})

    def price(self, channel: str, number: str) -> int | None:
        """Millionths a segment costs on the channel, None where it has no price."""
        table = self._by_channel.get(channel)
        return None if table is None else table.find(number)

    def cell(self, number: str) -> str | None:
        """The longest prefix any channel has a price for: numbers that share it cost the same on every channel."""
        return self._union.find(number)

    def order(self, channels: Sequence[str], number: str) -> tuple[str, ...]:
        """The channels with a price for the number, cheapest first; of two that cost the same the first listed."""
        priced = [(price, name) for name in channels if (price := self.price(name, number)) is not None]
        return tuple(name for _, name in sorted(priced, key=lambda found: found[0]))


def price_text(millionths: int) -> str:
    """A price for people: 12500 is "0.0125"."""
    whole, rest = divmod(millionths, MILLIONTHS)
    return f"{whole}.{rest:06d}".rstrip("0").rstrip(".") if rest else str(whole)


def parse_price(text: str) -> int:
    """Millionths of a price such as "0.0125". Raises ValueError with a sentence saying what is right."""
    match = _price(text)
    if match is None:
        raise ValueError(f'"{text[:40]}" is no price; write a number such as "0.0125", to six decimals')
    return int(match[1]) * MILLIONTHS + int((match[2] or "").ljust(6, "0"))


def make_price(channel: str, prefix: str, price: str, currency: str) -> Price:
    """A price from its texts. Raises ValueError with a sentence saying what is right."""
    if _prefix(prefix) is None:
        raise ValueError(
            f'"{prefix[:40]}" is no prefix; write digits after "+", like "+40", or nothing for any'
        )
    if _currency(currency) is None:
        raise ValueError(f'"{currency[:40]}" is no currency; write its three letters, like "EUR"')
    return Price(channel, prefix, parse_price(price), currency)


def read_prices(text: str) -> Iterator[tuple[int, Price | str]]:
    """Each line of a price list with its number and what it says, or what is wrong with it.

    The form is CSV (RFC 4180) with a first line that names the columns ``channel,prefix,price,currency``, in any order.
    """
    rows = csv.reader(text.removeprefix("\ufeff").splitlines())
    try:
        names = [name.strip().lower() for name in next(rows, [])]
        if sorted(names) != sorted(COLUMNS):
            yield 1, f"the first line must name the columns {', '.join(COLUMNS)}"
            return
        places = [names.index(column) for column in COLUMNS]
        for row in rows:
            if row:
                yield rows.line_num, _read_row(row, places)
    except csv.Error as error:
        yield rows.line_num, str(error)


def _read_row(row: list[str], places: list[int]) -> Price | str:
    if len(row) != len(COLUMNS):
        return f"has {len(row)} fields, not {len(COLUMNS)}"
    channel, prefix, price, currency = (row[place].strip() for place in places)
    try:
        return make_price(channel, prefix, price, currency)
    except ValueError as error:
        return str(error)
