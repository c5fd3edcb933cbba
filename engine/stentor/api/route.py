"""``GET /v1/route``: which way a message would take, step by step, before anything is sent. Nothing is stored.

It asks the same table as a submit does, with the rules in force now. A message that would be refused is no fault of
this request: the answer is 200 and says why. What channels cost is shown to operators alone.
"""

import re
from collections.abc import Mapping
from typing import Final

import msgspec

from stentor.address import parse_destination, parse_originator
from stentor.aio.server.exchange import Exchange
from stentor.api.answers import ok
from stentor.api.call import Call, give, query, refusal_answer
from stentor.api.engine import Engine
from stentor.api.intake import Intake
from stentor.api.query import bad_query, number_of, text_of, time_ms_of
from stentor.api.render import Time, time_text
from stentor.dispatch.snapshot import ChannelSnapshot
from stentor.errors import Refusal
from stentor.ids import first_key_at
from stentor.message import Priority
from stentor.numbers.countries import country_of
from stentor.pacing.quiet import Quiet
from stentor.routing.admission import MAX_TAGS
from stentor.routing.prices import price_text
from stentor.routing.routes import Query, Step

PARAMETERS: Final = ("to", "from", "tag", "at", "channel")
_tags: Final = re.compile(
    r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}(,[A-Za-z0-9][A-Za-z0-9_.-]{0,31})*", re.ASCII
).fullmatch
_LATEST_MS: Final = 253_402_300_799_000  # the end of the year 9999
_EARLIEST_MS: Final = 86_400_000


class RouteChannel(msgspec.Struct, frozen=True):
    """A channel of the route, in order. ``state``: as the channel's, or open or probing when it is up and its circuit
    is not closed. ``price`` of a segment in ``currency``, where it is known and may be."""

    name: str
    state: str
    price: str | None = None
    currency: str | None = None


class _Supposed(msgspec.Struct, frozen=True):
    """A message that might be, as far as quiet hours look at it."""

    account: str
    to: str
    priority: int
    ignores_quiet: bool


class RouteRefusal(msgspec.Struct, frozen=True):
    """Why such a message would be refused."""

    code: str
    detail: str


class RouteBody(msgspec.Struct, frozen=True, rename={"originator": "from"}):
    """The way a message would take. ``channel`` is the one that would have it now: the first that is up, and one whose
    circuit is closed if there is any."""

    to: str
    country: str | None
    account: str
    originator: str | None
    tags: list[str]
    at: Time
    channel: str | None
    channels: list[RouteChannel]
    refusal: RouteRefusal | None
    steps: list[Step]


class RouteResource:
    """Explains routing."""

    __slots__ = ("_engine", "_intake")

    def __init__(self, engine: Engine, intake: Intake) -> None:
        self._engine = engine
        self._intake = intake

    def show(self, exchange: Exchange, call: Call) -> None:
        try:
            give(exchange, ok(self._explain(query(exchange), call)))
        except Refusal as error:
            give(exchange, refusal_answer(error))

    def _explain(self, fields: Mapping[str, str], call: Call) -> RouteBody:
        for name in fields:
            if name not in PARAMETERS:
                raise bad_query(name, f"there is no such parameter; there are {', '.join(PARAMETERS)}")
        wanted, originator = number_of(fields, "to"), number_of(fields, "from")
        if wanted is None:
            raise bad_query("to", "a destination is required")
        now_ms = self._engine.clock.wall_ms()
        at_ms = time_ms_of(fields, "at") or now_ms
        if not _EARLIEST_MS <= at_ms <= _LATEST_MS:
            raise bad_query("at", "a time from 1970 to 9999")
        tags, channel = _tags_of(fields), text_of(fields, "channel")
        steps: list[Step] = []
        asked = Query(wanted, now_ms, at_ms, call.account, None, tags, channel, first_key_at(now_ms))
        body = RouteBody(
            wanted, None, call.account, originator, tags, time_text(at_ms), None, [], None, steps
        )
        try:
            return self._decide(asked, originator, body, is_operator=call.is_operator)
        except Refusal as error:
            if not steps or steps[-1].result != "refused":
                subject = wanted if error.path == "$.to" else originator or ""
                steps.append(
                    Step("number" if error.path == "$.to" else "originator", subject, "refused", error.detail)
                )
            country = country_of(asked.to) or None
            refusal = RouteRefusal(error.code, error.detail)
            return msgspec.structs.replace(body, to=asked.to, country=country, refusal=refusal)

    def _decide(
        self, asked: Query, originator: str | None, body: RouteBody, *, is_operator: bool
    ) -> RouteBody:
        """Fills ``asked`` and ``body.steps`` as far as it gets. Raises Refusal."""
        routes = self._intake.routes
        asked.to = parse_destination(asked.to, self._intake.region)
        country = country_of(asked.to)
        body.steps.append(Step("number", asked.to, "passed", country or "of no country"))
        asked.originator = None if originator is None else parse_originator(originator)
        decision = routes.decide(asked, body.steps)
        if self._intake.quiet is not None:
            body.steps.append(_quiet_step(self._intake.quiet, asked))
        states = {channel.name: _state(channel) for channel in self._engine.channels()}
        channels = []
        for name in decision.route.channels:
            price = routes.price(name, asked.to) if is_operator else None
            state = states.get(name, "down")
            if price is None:
                channels.append(RouteChannel(name, state))
            else:
                channels.append(RouteChannel(name, state, price_text(price[0]), price[1]))
        up = [channel.name for channel in channels if channel.state == "up"]
        up += [channel.name for channel in channels if channel.state in ("open", "probing")]
        return msgspec.structs.replace(
            body,
            to=asked.to,
            country=country or None,
            originator=decision.originator or None,
            channel=up[0] if up else None,
            channels=channels,
        )


def _state(channel: ChannelSnapshot) -> str:
    return channel.breaker if channel.state == "up" and channel.breaker != "closed" else channel.state


def _quiet_step(quiet: Quiet, asked: Query) -> Step:
    """Whether such a message would wait for the end of quiet hours. The priority is not asked for: normal is supposed,
    and those are named that would not wait."""
    if quiet.exempts(asked.tags):
        return Step("quiet_hours", asked.to, "passed", "a tag is exempt")
    opens_ms = {
        priority: quiet.opens_ms(_Supposed(asked.account, asked.to, priority, False), asked.due_ms)
        for priority in Priority
    }
    if opens_ms[Priority.NORMAL] <= asked.due_ms:
        return Step("quiet_hours", asked.to, "passed", "it is not quiet there")
    detail = f"until {time_text(opens_ms[Priority.NORMAL])}"
    free = [priority.word for priority, at_ms in opens_ms.items() if at_ms <= asked.due_ms]
    if free:
        detail += f"; priority {', '.join(free)} would not wait"
    return Step("quiet_hours", asked.to, "waits", detail)


def _tags_of(fields: Mapping[str, str]) -> list[str]:
    value = fields.get("tag")
    if value is None:
        return []
    if not _tags(value) or value.count(",") >= MAX_TAGS:
        raise bad_query(
            "tag", f"1 to {MAX_TAGS} short words of letters, digits, dots and hyphens, a comma between them"
        )
    return value.split(",")
