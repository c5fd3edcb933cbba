"""The price list that ``routing.prices_file`` names: every line of it checked, and its faults told with their
numbers."""

from collections.abc import Callable, Collection
from typing import Final

from stentor.config.fields import Faults, nearest
from stentor.routing.prices import Price, read_prices

ReadFile = Callable[[str], str]
"""Reads a text file by a path relative to the configuration. Raises OSError or ValueError saying why it cannot."""

_MOST_FAULTS: Final = 20
_PATH: Final = ("routing", "prices_file")


def read_price_list(
    name: str, read_file: ReadFile, channels: Collection[str], faults: Faults
) -> tuple[Price, ...]:
    """The prices of a list; () when it has a fault."""
    try:
        text = read_file(name)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        faults.add(_PATH, f'cannot read "{name}": {reason}')
        return ()
    prices: list[Price] = []
    found: list[str] = []
    seen: set[tuple[str, str]] = set()
    for number, row in read_prices(text):
        fault = row if isinstance(row, str) else _fault(row, prices, seen, channels)
        if fault is not None:
            found.append(f'"{name}" line {number}: {fault}')
        elif isinstance(row, Price):
            prices.append(row)
    for detail in found[:_MOST_FAULTS]:
        faults.add(_PATH, detail)
    if len(found) > _MOST_FAULTS:
        faults.add(_PATH, f'"{name}" has {len(found) - _MOST_FAULTS} faults more')
    return () if found else tuple(prices)


def _fault(
    price: Price, before: list[Price], seen: set[tuple[str, str]], channels: Collection[str]
) -> str | None:
    if price.channel not in channels:
        hint = nearest(price.channel, channels)
        return f'there is no channel "{price.channel}"' + (f" ({hint})" if hint else "")
    if before and price.currency != before[0].currency:
        return f'"{price.currency}" cannot be compared with "{before[0].currency}", give all prices in one currency'
    if (price.channel, price.prefix) in seen:
        return f'"{price.channel}" has a price for "{price.prefix}" already'
    seen.add((price.channel, price.prefix))
    return None
