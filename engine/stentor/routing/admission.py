"""Submit -> Message or Refusal: everything that is decided about a message before it is stored.

Owns the fields of a submit (the contract's table), their limits and the codes of refusals. Pure: time,
identity and randomness are arguments. A Submit is refused whole or admitted whole; what is admitted can be
encoded, has a route and cannot be refused later for anything the client could have known.
"""

import re
from array import array
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final, Literal

import msgspec

from stentor.address import parse_destination, parse_originator
from stentor.errors import Refusal
from stentor.message import Delivery, Direction, Message, Priority, Status
from stentor.routing.routes import Query, Route, RouteTable
from stentor.text.coding import DEFAULT, Coding, plan, rewrite
from stentor.text.segments import MAX_SEGMENTS, Encoding, choose, count_segments, split

HOUR_S: Final = 3600
DEFAULT_VALID_FOR_S: Final = 48 * HOUR_S
MAX_VALID_FOR_S: Final = 30 * 24 * HOUR_S
MAX_AHEAD_MS: Final = 366 * 24 * HOUR_S * 1000
MAX_METADATA_OCTETS: Final = 1024
MAX_DESTINATIONS: Final = 10_000
MAX_TAGS: Final = 8
MAX_TEXT_CHARACTERS: Final = MAX_SEGMENTS * 153
MAX_DATA_OCTETS: Final = MAX_SEGMENTS * 134

_UNIT_S: Final = {"s": 1, "m": 60, "h": HOUR_S, "d": 24 * HOUR_S, "w": 7 * 24 * HOUR_S}
_validity = re.compile(r"([0-9]{1,9})([smhdw]?)", re.ASCII).fullmatch
_control = re.compile(r"[\x00-\x1f\x7f-\x9f]").search
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)

_QUEUED: Final = Status.QUEUED
_SCHEDULED: Final = Status.SCHEDULED
_PRIORITIES: Final = {priority.word: priority for priority in Priority}
_DELIVERIES: Final = {delivery.name.lower(): delivery for delivery in Delivery}

_OBJECT_OR_NULL: Final = {"anyOf": [{"type": "object"}, {"type": "null"}]}

Tag = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,31}$")]
"""A short word of the client's about a message, for routes to ask for."""


class Submit(msgspec.Struct, forbid_unknown_fields=True, rename={"originator": "from"}, gc=False):
    """One message as a client asks for it. ``to`` as a list is one message each."""

    to: str | list[str]
    text: str | None = None
    data: bytes | None = None
    udh: bytes | None = None
    flash: bool = False
    max_segments: Annotated[int, msgspec.Meta(ge=1, le=MAX_SEGMENTS)] = 10
    originator: str | None = None
    priority: Literal["urgent", "high", "normal", "bulk"] = "normal"
    channel: str | None = None
    send_at: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    valid_for: int | str | None = None
    encoding: Literal["auto", "gsm7", "ucs2"] = "auto"
    transliterate: bool = False
    receipt: bool = True
    delivery: Literal["at_least_once", "at_most_once"] = "at_least_once"
    ref: Annotated[str, msgspec.Meta(max_length=64)] | None = None
    tags: Annotated[list[Tag], msgspec.Meta(max_length=MAX_TAGS)] | None = None
    metadata: Annotated[msgspec.Raw, msgspec.Meta(extra_json_schema=_OBJECT_OR_NULL)] = msgspec.field(
        default_factory=msgspec.Raw
    )
    batch: Annotated[str, msgspec.Meta(min_length=1, max_length=64)] | None = None
    ordered: bool = False
    refuse_if_late: bool = False
    callback_url: Annotated[str, msgspec.Meta(min_length=1, max_length=2048)] | None = None


class Policy(msgspec.Struct, frozen=True, gc=False):
    """What holds for the account a message is submitted for. ``region``: whose national numbers are taken."""

    account: str = "default"
    valid_for_s: int = DEFAULT_VALID_FOR_S
    region: str = ""


class References:
    """Concatenation references, 0..65535, counted for each destination (TS 23.040 §9.2.3.24.1 and .8).

    A handset joins segments by originator and reference, so two long messages to one destination must not share one
    while both are on their way. Channels that number with 8 bits send the low ones, so these differ as well as can
    be: a destination sees its references in turn, each again only after 256 long messages. ``start`` is where
    counting begins, a random number, so that a restart does not repeat the references of a moment ago.

    Destinations that fall into one place of a table count together. That moves each of them on sooner, never back,
    and the memory is the same for ten destinations and for all there are.
    """

    __slots__ = ("_latest",)

    _PLACES: Final = 1 << 16

    def __init__(self, start: int) -> None:
        self._latest = array("H", [start & 0xFFFF]) * self._PLACES

    def next(self, destination: str) -> int:
        """The reference of the next long message to the destination."""
        latest = self._latest
        place = hash(destination) & 0xFFFF
        reference = latest[place] = (latest[place] + 1) & 0xFFFF
        return reference


def each_destination(submit: Submit) -> list[Submit]:
    """A submit for each destination of a list, in order; a submit with one destination is its own list."""
    if isinstance(submit.to, str):
        return [submit]
    if not submit.to:
        raise Refusal("bad_destination", "the list of destinations is empty", "$.to")
    if len(submit.to) > MAX_DESTINATIONS:
        raise Refusal("too_many_destinations", f"a list has at most {MAX_DESTINATIONS} destinations", "$.to")
    return [msgspec.structs.replace(submit, to=destination) for destination in submit.to]


def admit(
    submit: Submit,
    policy: Policy,
    routes: RouteTable,
    now_ms: int,
    key: int,
    tail: int,
    references: References,
) -> Message:
    """The message, as it is to be stored. ``submit.to`` is one destination, ``key`` and ``tail`` its identity.

    Raises Refusal with a stable code and the JSON path of the field at fault.
    """
    wanted = submit.to
    assert isinstance(wanted, str), "a list of destinations is taken apart first"
    to = parse_destination(wanted, policy.region)
    send_at_ms = now_ms if submit.send_at is None else _send_at_ms(submit.send_at, now_ms)
    named = submit.originator
    if routes.is_plain:
        route = routes.find(to) if submit.channel is None else routes.pin(submit.channel)
        originator = route.originator if named is None else parse_originator(named).text
    else:
        route, originator = _decided(submit, policy, routes, to, now_ms, send_at_ms, key)
    text, encoding, segments = _content(submit, route.coding)
    usual_s = route.valid_for_s or policy.valid_for_s
    valid_for_s = usual_s if submit.valid_for is None else parse_validity_s(submit.valid_for)
    due_at_ms = _ahead_ms(submit, route, send_at_ms, now_ms) if route.ahead_ms else send_at_ms
    # By position, in the order of Message's fields: a third of the cost of naming them, once for every message.
    message = Message(
        key,
        tail,
        policy.account,
        to,
        originator,
        text,
        encoding,
        segments,
        now_ms,
        due_at_ms,
        send_at_ms + valid_for_s * 1000,
        route.channels,
        _PRIORITIES[submit.priority],
        _QUEUED if due_at_ms <= now_ms else _SCHEDULED,
        route.channels[0] if len(route.channels) == 1 else "",  # channel: where there is no other
        Direction.MT,
        _DELIVERIES[submit.delivery],
        submit.receipt,
        submit.flash,
        references.next(to) if segments > 1 else 0,
        0 if submit.send_at is None else send_at_ms,
        0,  # sent_at_ms
        0,  # final_at_ms
        0,  # attempts
        None,  # error
        None if submit.ref is None else _checked_ref(submit.ref),
        _checked_metadata(submit.metadata) if submit.metadata else None,
        submit.data,
        submit.udh,
    )
    return _marked(message, submit) if submit.batch is not None or submit.ordered else message


def _marked(message: Message, submit: Submit) -> Message:
    """What few messages are: of a batch, or in order."""
    if submit.batch is not None:
        message.batch = _checked_ref(submit.batch, "$.batch")
    message.is_ordered = submit.ordered
    return message


def _decided(
    submit: Submit, policy: Policy, routes: RouteTable, to: str, now_ms: int, due_at_ms: int, key: int
) -> tuple[Route, str]:
    """Route and originator where more than the destination decides about them."""
    named = None if submit.originator is None else parse_originator(submit.originator)
    query = Query(to, now_ms, due_at_ms, policy.account, named, submit.tags or (), submit.channel, key)
    decision = routes.decide(query)
    return decision.route, decision.originator


def _content(submit: Submit, coding: Coding) -> tuple[str | None, Encoding, int]:
    """The text as it will be sent (None for data), the encoding, and how many segments that makes."""
    data = submit.data
    if data is not None:
        segments = _measured_data(submit, data, coding)
        if segments > submit.max_segments:
            raise _too_long(segments, submit, "$.data")
        return None, Encoding.BINARY, segments
    text, encoding, segments = _measured_text(submit, coding)
    if segments > submit.max_segments:
        raise _too_long(segments, submit, "$.text")
    if submit.udh is not None:
        raise Refusal("bad_data", "a user data header goes with data only", "$.udh")
    return text, encoding, segments


def _too_long(segments: int, submit: Submit, path: str) -> Refusal:
    return Refusal("too_long", f"{segments} segments, at most {submit.max_segments} are allowed", path)


def _measured_text(submit: Submit, coding: Coding) -> tuple[str, Encoding, int]:
    """The text as it will be sent, its encoding and how many segments it takes."""
    text = submit.text
    if not text:
        raise Refusal(
            "no_content", "a message needs text or data" if text is None else "the text is empty", "$.text"
        )
    if len(text) > MAX_TEXT_CHARACTERS:
        raise Refusal("too_long", f"a message has at most {MAX_TEXT_CHARACTERS} characters", "$.text")
    if submit.transliterate:
        text = rewrite(text, submit.encoding, coding) or text
    if coding is DEFAULT:
        encoding = choose(text, submit.encoding)
        return text, encoding, count_segments(text, encoding)
    planned = plan(text, coding, submit.encoding, is_flash=submit.flash)
    return text, planned.encoding, planned.segments


def _measured_data(submit: Submit, data: bytes, coding: Coding) -> int:
    """How many segments the data take."""
    if submit.text is not None:
        raise Refusal("bad_data", "a message has text or data, not both", "$.data")
    if submit.encoding != "auto":
        raise Refusal("bad_data", "data have no encoding to choose", "$.encoding")
    if not data:
        raise Refusal("no_content", "the data are empty", "$.data")
    if len(data) > MAX_DATA_OCTETS:
        raise Refusal("too_long", f"a message has at most {MAX_DATA_OCTETS} octets of data", "$.data")
    udh = submit.udh
    if udh is None:
        return count_segments(data, Encoding.BINARY, wide_reference=coding.wide_reference)
    if not udh or udh[0] != len(udh) - 1:
        raise Refusal(
            "bad_data", "the first octet of a user data header is the number of those after it", "$.udh"
        )
    return len(split(data, Encoding.BINARY, 0, udh=udh, wide_reference=coding.wide_reference))


def _send_at_ms(send_at: datetime, now_ms: int) -> int:
    """Wall milliseconds; what is past is now."""
    at_ms = (send_at - _EPOCH) // _MILLISECOND
    if at_ms - now_ms > MAX_AHEAD_MS:
        raise Refusal("bad_send_at", "a message can be scheduled at most a year ahead", "$.send_at")
    return max(at_ms, now_ms)


def _ahead_ms(submit: Submit, route: Route, send_at_ms: int, now_ms: int) -> int:
    """When a message may be handed to a peer that holds it until ``send_at_ms``. In which order a peer delivers what it
    holds is not ours to say, so what is ordered waits here."""
    return send_at_ms if submit.ordered else max(now_ms, send_at_ms - route.ahead_ms)


def parse_validity_s(value: int | str) -> int:
    """Seconds of a validity: a number of seconds, or digits with s, m, h, d or w behind them (``"10m"``)."""
    if isinstance(value, str):
        match = _validity(value)
        if match is None:
            raise Refusal(
                "bad_valid_for", 'a validity is seconds, or a text such as "10m" or "48h"', "$.valid_for"
            )
        value = int(match[1]) * _UNIT_S[match[2] or "s"]
    if not 1 <= value <= MAX_VALID_FOR_S:
        raise Refusal("bad_valid_for", "a validity is from one second to 30 days", "$.valid_for")
    return value


def _checked_ref(ref: str, path: str = "$.ref") -> str:
    if _control(ref):
        raise Refusal("bad_ref", "a reference has no control characters", path)
    return ref


def _checked_metadata(raw: msgspec.Raw) -> bytes | None:
    """The client's object on one line, numbers and all as the client wrote them."""
    octets = bytes(raw)
    if octets == b"null":
        return None
    if len(octets) > MAX_METADATA_OCTETS:
        raise Refusal(
            "bad_metadata", f"metadata take at most {MAX_METADATA_OCTETS} octets of JSON", "$.metadata"
        )
    try:
        msgspec.json.decode(octets, type=dict)
        return msgspec.json.format(octets, indent=-1)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Refusal("bad_metadata", "metadata are a JSON object", "$.metadata") from None
