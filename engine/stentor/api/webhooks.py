"""``/v1/webhooks``: where an account wants its events posted. Secrets are shown once, values of headers never."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from stentor.aio.server.exchange import Answer, Exchange
from stentor.api.answers import DECODE_ERRORS, decode_refusal, ok
from stentor.api.call import Call, Tasks, query
from stentor.api.engine import Engine, WebhookDesk
from stentor.api.render import Time, encode, time_or_none, time_text
from stentor.errors import Refusal
from stentor.ids import parse_id
from stentor.webhooks.attempts import MASK, Attempt, Wanted
from stentor.webhooks.signing import LONGEST_OCTETS, MADE_OCTETS, parse_secret, secret_text
from stentor.webhooks.subscription import (
    ALL,
    FILTER_WORDS,
    LONGEST_URL,
    MAX_CHANNELS,
    MAX_FIELDS,
    Webhook,
    checked_events,
    checked_fields,
    checked_url,
)

PATH: Final = "/v1/webhooks"
MAX_WEBHOOKS: Final = 50
"""Subscriptions of one account."""
BODY_LIMIT: Final = 256 * 1024
LIMIT_DEFAULT: Final = 50
LIMIT_MAX: Final = 500
_event_id: Final = re.compile("[0-9]{1,18}").fullmatch
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

URLText = Annotated[str, msgspec.Meta(min_length=1, max_length=LONGEST_URL)]
EventFilter = Annotated[
    list[Annotated[str, msgspec.Meta(extra_json_schema={"enum": list(FILTER_WORDS)})]],
    msgspec.Meta(min_length=1, max_length=64),
]
ChannelFilter = Annotated[
    list[Annotated[str, msgspec.Meta(min_length=1, max_length=64)]], msgspec.Meta(max_length=MAX_CHANNELS)
]
Headers = Annotated[dict[str, str], msgspec.Meta(max_length=MAX_FIELDS)]
SecretText = Annotated[str, msgspec.Meta(max_length=6 + 4 * (LONGEST_OCTETS + 2) // 3 + 4)]
StateWord = Literal["working", "open", "probing", "disabled"]


class NewWebhook(msgspec.Struct, forbid_unknown_fields=True):
    """A subscription. Without a ``secret`` one is made; without ``channels`` it hears of all of them."""

    url: URLText
    events: EventFilter = msgspec.field(default_factory=lambda: [ALL])
    channels: ChannelFilter = []
    headers: Headers = {}
    secret: SecretText | None = None
    enabled: bool = True


class WebhookChange(msgspec.Struct, forbid_unknown_fields=True):
    """What is to be another; lists and headers replace those there are. With another ``secret``, given or (by
    ``rotate_secret``) made, the one before signs too for 24 hours."""

    url: URLText | UnsetType = UNSET
    events: EventFilter | UnsetType = UNSET
    channels: ChannelFilter | UnsetType = UNSET
    headers: Headers | UnsetType = UNSET
    secret: SecretText | UnsetType = UNSET
    rotate_secret: bool = False
    enabled: bool | UnsetType = UNSET


class WebhookBody(msgspec.Struct, frozen=True, omit_defaults=True):
    """A webhook. Values of ``headers`` are masked; ``secret`` is there once, in the answer that made or took it.

    ``state``: working; open: it fails, and is probed now and then; probing; disabled. ``waiting`` deliveries are tried
    again; ``behind``: events wait on the disk. ``callback``: not a subscription but the place of the callback_url of
    messages."""

    id: str
    url: str
    events: list[str]
    channels: list[str]
    headers: dict[str, str]
    enabled: bool
    created_at: Time
    state: StateWord
    waiting: int
    behind: bool
    replaying: bool
    failing_since: Time | None
    delivered_at: Time | None
    last_error: str | None
    disabled_reason: str | None
    callback: bool
    previous_secret_until: Time | None = None
    secret: str | None = None


class WebhookList(msgspec.Struct, frozen=True):
    """An account's webhooks, oldest first."""

    webhooks: list[WebhookBody]


class RequestBody(msgspec.Struct, frozen=True):
    """What was sent: the body's length and SHA-256, and the configured headers with their values masked."""

    url: str
    headers: dict[str, str]
    octets: int
    sha256: str


class ResponseBody(msgspec.Struct, frozen=True):
    """What was answered: ``body`` is its first 2 KiB, undecodable octets replaced."""

    status: int
    body: str
    remote: str


class DeliveryBody(msgspec.Struct, frozen=True):
    """One attempt. ``event`` is the event's id, the webhook-id of the request; ``attempt`` counts from 1."""

    id: int
    event: str
    type: str
    attempt: int
    at: Time
    delivered: bool
    duration_ms: int
    request: RequestBody
    response: ResponseBody | None
    error: str | None


class Deliveries(msgspec.Struct, frozen=True):
    """One page of the log, newest first; ``next`` is the cursor of the page after it."""

    deliveries: list[DeliveryBody]
    next: str | None


class Replay(msgspec.Struct, forbid_unknown_fields=True):
    """What is to be delivered once more: the events of a time (``until``: now), or of one ``delivery``, by the event's
    id."""

    since: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    until: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    delivery: Annotated[str, msgspec.Meta(extra_json_schema={"pattern": "^[0-9]{1,18}$"})] | None = None


def delivery_body(attempt: Attempt) -> DeliveryBody:
    """An attempt as its account sees it."""
    response = None
    if attempt.status:
        response = ResponseBody(attempt.status, attempt.answer.decode("utf-8", "replace"), attempt.remote)
    request = RequestBody(
        attempt.url, dict.fromkeys(attempt.fields, MASK), attempt.octets, attempt.digest.hex()
    )
    return DeliveryBody(
        attempt.number,
        attempt.event,
        attempt.type,
        attempt.attempt,
        time_text(attempt.at_ms),
        attempt.is_delivered,
        attempt.took_ms,
        request,
        response,
        attempt.error or None,
    )


class WebhookResource:
    """Makes, shows, changes and removes webhooks; tests and replays them. Those of others are not there."""

    __slots__ = ("_engine", "_tasks")

    def __init__(self, engine: Engine, tasks: Tasks) -> None:
        self._engine = engine
        self._tasks = tasks

    @property
    def _desk(self) -> WebhookDesk:
        return self._engine.webhooks

    def create(self, exchange: Exchange, call: Call) -> None:
        self._tasks.answer("create webhook", exchange, self._create(exchange, call))

    def list(self, exchange: Exchange, call: Call) -> None:
        self._tasks.answer("list webhooks", exchange, self._list(call))

    def show(self, exchange: Exchange, call: Call) -> None:
        self._tasks.answer("show webhook", exchange, self._show(call))

    def change(self, exchange: Exchange, call: Call) -> None:
        self._tasks.answer("change webhook", exchange, self._change(exchange, call))

    def remove(self, exchange: Exchange, call: Call) -> None:
        self._tasks.answer("remove webhook", exchange, self._remove(call))

    def deliveries(self, exchange: Exchange, call: Call) -> None:
        self._tasks.answer("show deliveries", exchange, self._deliveries(exchange, call))

    def test(self, exchange: Exchange, call: Call) -> None:
        self._tasks.answer("test webhook", exchange, self._test(call))

    def replay(self, exchange: Exchange, call: Call) -> None:
        self._tasks.answer("replay webhook", exchange, self._replay(exchange, call))

    # ---- what they do

    async def _create(self, exchange: Exchange, call: Call) -> Answer:
        wanted = _decode(exchange, NewWebhook)
        desk, now_ms = self._desk, self._engine.clock.wall_ms()
        if sum(not webhook.is_callback for webhook in desk.all(call.account)) >= MAX_WEBHOOKS:
            raise Refusal("too_many_webhooks", f"an account has at most {MAX_WEBHOOKS} webhooks", "$", 409)
        url = checked_url(wanted.url, reach=desk.reach)
        secret = self._made_secret() if wanted.secret is None else parse_secret(wanted.secret)
        events, fields = checked_events(wanted.events), checked_fields(wanted.headers)
        key, tail = self._engine.ids.next(now_ms)
        webhook = Webhook(
            key,
            tail,
            call.account,
            url,
            now_ms,
            events,
            tuple(dict.fromkeys(wanted.channels)),
            fields,
            secret,
            is_enabled=wanted.enabled,
        )
        await desk.add(webhook)
        # Without it 201 speaks of the path that was asked (RFC 9110 §15.3.2).
        location = ("Location", f"{PATH}/{webhook.id}")
        return Answer(201, encode(self._body(webhook, secret)), fields=(location,))

    async def _list(self, call: Call) -> Answer:
        return ok(WebhookList([self._body(webhook) for webhook in self._desk.all(call.account)]))

    async def _show(self, call: Call) -> Answer:
        return ok(self._body(self._find(call)))

    async def _change(self, exchange: Exchange, call: Call) -> Answer:
        webhook = self._find(call)
        wanted = _decode(exchange, WebhookChange)
        if webhook.is_callback and (set(_given(wanted)) - {"enabled"} or wanted.rotate_secret):
            raise Refusal("is_callback", "a callback can be enabled, disabled or removed, no more", "$", 409)
        webhook, secret = self._changed(webhook, wanted)
        await self._desk.change(webhook)
        return ok(self._body(webhook, secret))

    def _changed(self, webhook: Webhook, wanted: WebhookChange) -> tuple[Webhook, bytes | None]:
        """The webhook as it is wanted, and its secret if that is another."""
        changes: dict[str, Any] = {}
        if wanted.url is not UNSET:
            changes["url"] = checked_url(wanted.url, reach=self._desk.reach)
        if wanted.events is not UNSET:
            changes["events"] = checked_events(wanted.events)
        if wanted.channels is not UNSET:
            changes["channels"] = tuple(dict.fromkeys(wanted.channels))
        if wanted.headers is not UNSET:
            changes["fields"] = checked_fields(wanted.headers)
        if wanted.enabled is not UNSET:
            changes |= {"is_enabled": wanted.enabled, "reason": ""}
        webhook = replace(webhook, **changes)
        secret: bytes | None = None
        if wanted.secret is not UNSET:
            if wanted.rotate_secret:
                raise Refusal("bad_field", "a secret is either given or made", "$.rotate_secret")
            secret = parse_secret(wanted.secret)
        elif wanted.rotate_secret:
            secret = self._made_secret()
        if secret is None or secret == webhook.secret:
            return webhook, secret
        return webhook.with_secret(secret, self._engine.clock.wall_ms()), secret

    async def _remove(self, call: Call) -> Answer:
        webhook = self._find(call)
        shown = self._body(webhook)
        await self._desk.remove(webhook.key)
        return ok(shown)

    async def _deliveries(self, exchange: Exchange, call: Call) -> Answer:
        webhook = self._find(call)
        given = query(exchange)
        limit = _number(given.pop("limit", str(LIMIT_DEFAULT)), "limit", 1, LIMIT_MAX)
        before = _number(given.pop("cursor", "9" * 15), "cursor", 1, 10**15)
        outcome = given.pop("outcome", "")
        if outcome not in ("", "delivered", "failed"):
            raise Refusal("bad_query", "is delivered or failed", "$.query.outcome")
        if given:
            raise Refusal("bad_query", "there is no such parameter", f"$.query.{next(iter(given))}")
        wanted = Wanted(before, limit + 1, None if not outcome else outcome == "delivered")
        found = await self._desk.attempts(webhook.key, wanted)
        following = str(found[limit - 1].number) if len(found) > limit else None
        return ok(Deliveries([delivery_body(attempt) for attempt in found[:limit]], following))

    async def _test(self, call: Call) -> Answer:
        webhook = self._find(call)
        if webhook.is_callback:
            raise Refusal("is_callback", "callbacks have no address of their own to test", "$", 409)
        return ok(delivery_body(await self._desk.test(webhook.key)))

    async def _replay(self, exchange: Exchange, call: Call) -> Answer:
        webhook = self._find(call)
        wanted = _decode(exchange, Replay)
        if not webhook.is_enabled:
            raise Refusal("disabled", "the webhook is disabled; enable it first", "$", 409)
        if (wanted.delivery is None) is (wanted.since is None) or (wanted.until and wanted.delivery):
            raise Refusal("bad_field", "name either since, with or without until, or a delivery", "$")
        if wanted.delivery is not None:
            if not _event_id(wanted.delivery):
                raise Refusal(
                    "bad_field", "an event's id is a number, as in the log of deliveries", "$.delivery"
                )
            await self._desk.deliver_again(webhook.key, int(wanted.delivery))
        else:
            assert wanted.since is not None, "one of the two"
            now_ms = self._engine.clock.wall_ms()
            since_ms = _milliseconds(wanted.since)
            until_ms = now_ms if wanted.until is None else _milliseconds(wanted.until)
            if since_ms >= until_ms:
                raise Refusal("bad_field", "is not before until", "$.since")
            await self._desk.replay(webhook.key, since_ms, until_ms)
        return ok(self._body(self._find(call)), 202)

    # ---- parts of them

    def _find(self, call: Call) -> Webhook:
        """The webhook the path names. Raises Refusal (404) for one that is not there, or not the account's."""
        parsed = parse_id(call.parameters["id"])
        webhook = None if parsed is None else self._desk.find(call.account, parsed[0])
        if webhook is None or parsed is None or webhook.tail != parsed[1]:
            raise Refusal("not_found", "there is no webhook of this id", "$", 404)
        return webhook

    def _made_secret(self) -> bytes:
        return self._desk.entropy(MADE_OCTETS)

    def _body(self, webhook: Webhook, secret: bytes | None = None) -> WebhookBody:
        snapshot = self._desk.snapshot(webhook.key)
        previous_until_ms = webhook.previous_until_ms
        is_rotating = previous_until_ms > self._engine.clock.wall_ms()
        return WebhookBody(
            webhook.id,
            webhook.url,
            [*webhook.events],
            [*webhook.channels],
            {name: MASK for name, _ in webhook.fields},
            webhook.is_enabled,
            time_text(webhook.created_at_ms),
            snapshot.state,  # type: ignore[arg-type]  # the words of State
            snapshot.waiting,
            snapshot.is_behind,
            snapshot.is_replaying,
            time_or_none(snapshot.failing_since_ms),
            time_or_none(snapshot.delivered_at_ms),
            snapshot.last_error or None,
            webhook.reason or None,
            webhook.is_callback,
            time_text(previous_until_ms) if is_rotating else None,
            None if secret is None else secret_text(secret),
        )


def _decode(exchange: Exchange, kind: Any) -> Any:
    try:
        return msgspec.json.decode(exchange.body, type=kind)
    except DECODE_ERRORS as error:
        raise decode_refusal(error, exchange.body) from None


def _given(wanted: WebhookChange) -> list[str]:
    names = ("url", "events", "channels", "headers", "secret", "enabled")
    return [name for name in names if getattr(wanted, name) is not UNSET]


def _number(text: str, name: str, least: int, most: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 16 and least <= int(text) <= most):
        raise Refusal("bad_query", f"is a number from {least} to {most}", f"$.query.{name}")
    return int(text)


def _milliseconds(moment: datetime) -> int:
    return max(0, (moment - _EPOCH) // timedelta(milliseconds=1))
