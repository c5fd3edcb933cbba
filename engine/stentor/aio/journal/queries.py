"""The reader's statements that are put together: searches by any filters, and sweeps over what waits.

A search goes the shortest way its filters allow: by reference, by destination, through the messages that ended
unusually, else through all of them from the newest on. It goes one page of rows at a time, and the other filters are
applied to the page.
"""

from collections.abc import Sequence
from functools import cache
from typing import Final

import msgspec

from stentor.aio.journal import lookup, rows
from stentor.api.engine import Search
from stentor.message import Direction, Status

AGES_S: Final = (60, 300, 900, 3600, 6 * 3600, 24 * 3600)
"""Ages at which a queue's shape is told apart, seconds; the last column is older than the last of them."""

Parameters = dict[str, int | str | None]

FIRST_PAGE_ROWS: Final = 500
PAGE_ROWS: Final = 20_000
"""Rows that one read looks at, at most: some tens of milliseconds."""

_FILTERS: Final = {
    "status": "status = :status",
    "to": "destination = :to",
    "originator": "originator = :originator",
    "ref": "ref = :ref",
    "channel": "channel = :channel",
    "direction": "direction = :direction",
}
_RANGE: Final = "key < :before AND key >= :since ORDER BY key DESC LIMIT :page"
_ENDED: Final = "SELECT key FROM message INDEXED BY message_ended WHERE account = :account AND status >= 5"
# The way through -> a SELECT of the next keys on it, newest first.
_WAYS: Final = {
    "ref": lookup.BY_REF,
    "to": lookup.BY_DESTINATION,
    "ended": f"{_ENDED} AND status = :status AND {_RANGE}",
    "received": f"{_ENDED} AND status = {Status.RECEIVED.value} AND {_RANGE}",
    "all": f"SELECT key FROM message WHERE {_RANGE}",
}
_COMMON: Final = (Status.SCHEDULED, Status.QUEUED, Status.SENDING, Status.SENT, Status.DELIVERED)


def search_statement(search: Search) -> str:
    """One page of a search, as one row: rows looked at, the smallest key among them, messages, octets.

    Parameters: those of ``Search`` by name, ``before`` and ``since`` as keys, ``page`` rows, ``limit``
    messages.
    """
    filters = tuple(name for name in _FILTERS if getattr(search, name) is not None)
    way = "all"
    if search.ref is not None:
        way = "ref"
    elif search.to is not None:
        way = "to"
    elif search.status is not None and search.status not in _COMMON:
        way = "ended"
    elif search.direction is Direction.MO and search.status is None:
        way = "received"
    return _search_statement(way, filters)


@cache
def _search_statement(way: str, filters: tuple[str, ...]) -> str:
    conditions = " AND ".join(["account = :account", *(_FILTERS[name] for name in filters)])
    page = (
        "SELECT m.key, account, status, destination, originator, ref, channel, direction"
        f" FROM ({_WAYS[way]}) w CROSS JOIN message m ON m.key = w.key"
    )
    messages = rows.select_messages(f"SELECT key FROM page WHERE {conditions} ORDER BY key DESC LIMIT :limit")
    return (
        f"WITH page AS MATERIALIZED ({page}) SELECT (SELECT count(*) FROM page), (SELECT min(key) FROM page),"
        f" found.* FROM ({messages}) found"
    )


class Sweep(msgspec.Struct, frozen=True):
    """Goes through an index of what waits, page by page. A position is a value for each of ``columns``."""

    index: str
    status: int
    columns: tuple[str, ...]
    first: Sequence[int | str]
    last: Sequence[int | str]

    @property
    def page_end(self) -> str:
        """The position ``page`` rows behind ``after_*``."""
        return f"{self._select(self._names)} ORDER BY {self._names} LIMIT 1 OFFSET :page"

    @property
    def expiring(self) -> str:
        """What expires after a time (and the key that goes with it) and by another, of what stands between two
        positions: pairs of time and key, the earliest first, as one JSON array."""
        waiting = f"{self._select('expires_at_ms, key')} AND ({self._names}) <= ({self._marks('end')})"
        expiring = (
            f"{waiting} AND (expires_at_ms, key) > (:expires_after_ms, :expires_after_key)"
            " AND expires_at_ms <= :until_ms ORDER BY expires_at_ms, key LIMIT :limit"
        )
        return f"SELECT json_group_array(json_array(expires_at_ms, key)) FROM ({expiring})"

    @property
    def shape(self) -> str:
        """What stands between two positions, counted by the beginning of the destination and by age: how many of the
        moments ``:since_0_ms`` … it was submitted at or after."""
        keys = f"{self._select('key')} AND ({self._names}) <= ({self._marks('end')})"
        young = " + ".join(f"(m.submitted_at_ms >= :since_{place}_ms)" for place in range(len(AGES_S)))
        return (
            f"SELECT substr(coalesce(m.destination, ''), 1, 4), {young}, count(*)"
            f" FROM ({keys}) w CROSS JOIN message m ON m.key = w.key GROUP BY 1, 2"
        )

    def range(self, after: Sequence[int | str], end: Sequence[int | str] = ()) -> Parameters:
        """The parameters that say which part of the index is meant."""
        start: Parameters = {f"after_{name}": value for name, value in zip(self.columns, after, strict=True)}
        return start | {f"end_{name}": value for name, value in zip(self.columns, end, strict=False)}

    @property
    def _names(self) -> str:
        return ", ".join(self.columns)

    def _marks(self, which: str) -> str:
        return ", ".join(f":{which}_{name}" for name in self.columns)

    def _select(self, what: str) -> str:
        return (
            f"SELECT {what} FROM message INDEXED BY {self.index} WHERE status = {self.status}"
            f" AND ({self._names}) > ({self._marks('after')})"
        )


_BEYOND: Final = 2**63 - 1

SWEEPS: Final = (
    Sweep(
        "message_backlog",
        Status.QUEUED,
        ("route", "priority", "strand", "due_at_ms", "key"),
        ("", 0, -1, 0, 0),
        ("\U0010ffff", _BEYOND, _BEYOND, _BEYOND, _BEYOND),
    ),
    Sweep("message_scheduled", Status.SCHEDULED, ("due_at_ms", "key"), (0, 0), (_BEYOND, _BEYOND)),
)
