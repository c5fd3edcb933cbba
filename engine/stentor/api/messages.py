"""Reading and cancelling messages: one, its timeline, a listing. Another account's message is 404."""

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, TypeVar

import msgspec

from stentor.aio.server.exchange import Answer, Exchange
from stentor.api.answers import ok
from stentor.api.call import Call, Tasks, query
from stentor.api.engine import Engine, Search
from stentor.api.query import bad_query, number_of, ref_of, text_of, time_ms_of
from stentor.api.render import Listing, message_body
from stentor.api.timeline import timeline
from stentor.errors import Refusal
from stentor.ids import parse_id
from stentor.message import Direction, Message, Status

LIMIT_MAX: Final = 1000
LIMIT_DEFAULT: Final = 100

_cursor: Final = re.compile(r"[0-9a-f]{1,15}", re.ASCII).fullmatch
_limit: Final = re.compile(r"[0-9]{1,4}", re.ASCII).fullmatch
_Value = TypeVar("_Value")

_STATUSES: Final = {status.word: status for status in Status}
_DIRECTIONS: Final = {direction.name.lower(): direction for direction in Direction}
FILTERS: Final = (
    "status",
    "to",
    "from",
    "ref",
    "channel",
    "direction",
    "since",
    "until",
    "limit",
    "cursor",
)


class MessageResource:
    """What is asked about messages that were accepted, or came in."""

    __slots__ = ("_engine", "_tasks")

    def __init__(self, engine: Engine, tasks: Tasks) -> None:
        self._engine = engine
        self._tasks = tasks

    def show(self, exchange: Exchange, call: Call) -> None:
        self._tasks.answer("show message", exchange, self._show(call))

    def timeline(self, exchange: Exchange, call: Call) -> None:
        self._tasks.answer("show timeline", exchange, self._timeline(call))

    def cancel(self, exchange: Exchange, call: Call) -> None:
        self._tasks.answer("cancel message", exchange, self._change(call, self._engine.cancel))

    def hold(self, exchange: Exchange, call: Call) -> None:
        self._tasks.answer("hold message", exchange, self._change(call, self._engine.hold))

    def release(self, exchange: Exchange, call: Call) -> None:
        self._tasks.answer("release message", exchange, self._change(call, self._engine.release))

    def list(self, exchange: Exchange, call: Call) -> None:
        self._tasks.answer("list messages", exchange, self._list(exchange, call))

    async def _find(self, call: Call) -> Message:
        """The message the path names. Raises Refusal (404) also for one of another account."""
        identity = parse_id(call.parameters["id"])
        if identity is not None:
            key, tail = identity
            message = await self._engine.library.message(key)
            if message is not None and message.tail == tail and message.account == call.account:
                return message
        raise Refusal("not_found", "there is no message of this id", "$", 404)

    async def _show(self, call: Call) -> Answer:
        return ok(message_body(await self._find(call)))

    async def _timeline(self, call: Call) -> Answer:
        message = await self._find(call)
        return ok(timeline(message, await self._engine.library.history(message.key)))

    async def _change(self, call: Call, change: Callable[[Message], Awaitable[Message]]) -> Answer:
        return ok(message_body(await change(await self._find(call))))

    async def _list(self, exchange: Exchange, call: Call) -> Answer:
        search = parse_search(query(exchange), call.account)
        # One more than was asked for tells whether there is a next page.
        more = msgspec.structs.replace(search, limit=search.limit + 1)
        found = await self._engine.library.search(more)
        page = found[: search.limit]
        cursor = f"{page[-1].key:x}" if len(found) > len(page) else None
        return ok(Listing([message_body(message) for message in page], cursor))


def parse_search(fields: Mapping[str, str], account: str) -> Search:
    """The filters of a query. Raises Refusal (422) with the path ``$.query.NAME``.

    ``since`` is inclusive and ``until`` exclusive; both compare with the time of acceptance.
    """
    for name in fields:
        if name not in FILTERS:
            raise bad_query(name, f"there is no such filter; there are {', '.join(FILTERS)}")
    return Search(
        account=account,
        status=_one_of(fields, "status", _STATUSES),
        to=number_of(fields, "to"),
        originator=number_of(fields, "from"),
        ref=ref_of(fields, "ref"),
        channel=text_of(fields, "channel"),
        direction=_one_of(fields, "direction", _DIRECTIONS),
        since_ms=time_ms_of(fields, "since"),
        until_ms=time_ms_of(fields, "until"),
        before_key=_before_key(fields),
        limit=_page_limit(fields),
    )


def _one_of(fields: Mapping[str, str], name: str, values: Mapping[str, _Value]) -> _Value | None:
    value = fields.get(name)
    if value is not None and value not in values:
        raise bad_query(name, f"one of {', '.join(values)}")
    return None if value is None else values[value]


def _before_key(fields: Mapping[str, str]) -> int | None:
    value = fields.get("cursor")
    if value is None:
        return None
    if not _cursor(value):
        raise bad_query("cursor", "not a cursor; take it from next of the page before")
    return int(value, 16)


def _page_limit(fields: Mapping[str, str]) -> int:
    value = fields.get("limit")
    if value is None:
        return LIMIT_DEFAULT
    if not _limit(value) or not 1 <= int(value) <= LIMIT_MAX:
        raise bad_query("limit", f"a number from 1 to {LIMIT_MAX}")
    return int(value)
