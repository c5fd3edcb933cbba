"""The listing of the third-party API: by offset and with a total, from ours that goes page by page. Pure.

Our messages of one Message stand beside each other but for what came in between, so they are gathered by their id. At
most WALKED of our messages are looked at; the total counts what was seen.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlencode

import msgspec

from stentor_android.thirdparty_messages import MessageState, Moment, Rejected, State, identity, message_state

PAGE: Final = 1000
WALKED: Final = 10_000
MOST: Final = 100
USUAL: Final = 50


class Filter(msgspec.Struct, frozen=True):
    """What is wanted. ``is_ascending``: oldest first."""

    state: State | None = None
    since: str = ""
    until: str = ""
    device_id: str = ""
    limit: int = USUAL
    offset: int = 0
    has_content: bool = False
    is_ascending: bool = False


def read_filter(query: Mapping[str, str]) -> Filter:
    """The filter of a query; unknown parameters are ignored. Raises Rejected."""
    try:
        state = State(query["state"]) if query.get("state") else None
        limit, offset = int(query.get("limit") or USUAL), int(query.get("offset") or 0)
        times = {name: _time(query[name]) for name in ("from", "to") if query.get(name)}
    except ValueError as error:
        raise Rejected(400, str(error)) from None
    if not 1 <= limit <= MOST or not 0 <= offset <= WALKED:
        raise Rejected(400, f"limit is 1 to {MOST}, offset 0 to {WALKED}")
    sort = query.get("sort") or "-created_at"
    if sort not in ("created_at", "-created_at"):
        raise Rejected(400, "sort is created_at or -created_at")
    return Filter(
        state,
        times.get("from", ""),
        times.get("to", ""),
        query.get("deviceId", ""),
        limit,
        offset,
        query.get("includeContent") == "true",
        sort == "created_at",
    )


def _time(text: str) -> str:
    # A plus that was not percent-encoded has become a blank.
    return msgspec.convert(text.replace(" ", "+"), Moment).isoformat()


class Walk:
    """Gathers pages of our listing until they are enough for one of that API's."""

    def __init__(self, wanted: Filter) -> None:
        self._wanted = wanted
        self._cursor = ""
        self._seen = 0
        self._groups: dict[str, list[Mapping[str, Any]]] = {}

    def target(self) -> str:
        """The next page to ask for."""
        fields = {
            "direction": "mt",
            "limit": str(PAGE),
            "since": self._wanted.since,
            "until": self._wanted.until,
        }
        fields["cursor"] = self._cursor
        return "/v1/messages?" + urlencode({name: value for name, value in fields.items() if value})

    def take(self, messages: Sequence[Mapping[str, Any]], cursor: str | None) -> bool:
        """Take a page; whether another is needed."""
        self._seen += len(messages)
        for message in messages:
            self._groups.setdefault(identity(message), []).append(message)
        self._cursor = cursor or ""
        return bool(cursor) and self._seen < WALKED

    def result(self) -> tuple[list[MessageState], int]:
        """What is wanted of all that was seen, and how many there are in all."""
        wanted = self._wanted
        states = [
            message_state(group[::-1], has_content=wanted.has_content) for group in self._groups.values()
        ]
        found = [
            state
            for state in states
            if wanted.state in (None, state.state) and wanted.device_id in ("", state.device_id)
        ]
        if wanted.is_ascending:
            found.reverse()
        return found[wanted.offset : wanted.offset + wanted.limit], len(found)
