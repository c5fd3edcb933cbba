"""The app family's third-party API in terms of ours: a Message becomes submits, our messages a MessageState. Pure.

A Message with several numbers is several of our messages with one ``ref``, which is the Message's id. What ours has no
field for is kept in the metadata (:class:`Marks`), where the channel reads which phone and SIM is wanted.
"""

import base64
import binascii
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Annotated, Any, Final

import msgspec

MOST_SEGMENTS: Final = 255
LONGEST_S: Final = 30 * 24 * 3600
"""What is valid longer is valid so long: our own limit."""
ID_LENGTH: Final = 36
_SKIPS_LIMITS: Final = 100
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_PORTS: Final = bytes.fromhex("060504")
"""A header with a pair of 16-bit ports (TS 23.040 §9.2.3.24.4)."""
_plain_id: Final = re.compile(r"[A-Za-z0-9_.:-]{1,36}", re.ASCII).fullmatch
_ERRORS: Final = {400: 400, 403: 403, 404: 400, 409: 409, 413: 400, 415: 400, 422: 400, 429: 503, 503: 503}
"""How our refusals of a submit are told to clients of that API."""


class Rejected(Exception):
    """The request cannot be done; ``status`` and the text are the answer."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class State(Enum):
    """The states of that API."""

    PENDING = "Pending"
    CANCELLING = "Cancelling"
    CANCELLED = "Cancelled"
    PROCESSED = "Processed"
    SENT = "Sent"
    DELIVERED = "Delivered"
    FAILED = "Failed"


STATES: Final = {
    "scheduled": State.PENDING,
    "queued": State.PENDING,
    "sending": State.PENDING,
    "sent": State.SENT,
    "delivered": State.DELIVERED,
    "undelivered": State.FAILED,
    "rejected": State.FAILED,
    "failed": State.FAILED,
    "expired": State.FAILED,
    "cancelled": State.CANCELLED,
    "unknown": State.PROCESSED,
}
"""By our status. What may have left and was never heard of is Processed: handed over, outcome unknown."""


class TextMessage(msgspec.Struct, frozen=True):
    text: Annotated[str, msgspec.Meta(min_length=1, max_length=65_535)]


class DataMessage(msgspec.Struct, frozen=True):
    """``data`` is base64."""

    data: Annotated[str, msgspec.Meta(min_length=1, max_length=65_535)]
    port: Annotated[int, msgspec.Meta(ge=1, le=65_535)]


Moment = Annotated[datetime, msgspec.Meta(tz=True)]


class Message(msgspec.Struct, frozen=True, rename="camel"):
    """What a client submits; unknown fields are ignored."""

    phone_numbers: Annotated[list[str], msgspec.Meta(min_length=1, max_length=100)]
    id: Annotated[str, msgspec.Meta(max_length=ID_LENGTH)] | None = None
    device_id: Annotated[str, msgspec.Meta(max_length=21)] | None = None
    text_message: TextMessage | None = None
    data_message: DataMessage | None = None
    message: Annotated[str, msgspec.Meta(min_length=1, max_length=65_535)] | None = None
    mms_message: Any = None
    sim_number: Annotated[int, msgspec.Meta(ge=1, le=3)] | None = None
    with_delivery_report: bool | None = None
    priority: Annotated[int, msgspec.Meta(ge=-128, le=127)] | None = None
    ttl: Annotated[int, msgspec.Meta(ge=5)] | None = None
    valid_until: Moment | None = None
    schedule_at: Moment | None = None
    is_encrypted: bool | None = None


class Marks(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is kept in the metadata of our message. ``device`` and ``sim`` say which phone and SIM is to send it.
    ``number`` is the destination as the client wrote it, where that was encrypted."""

    device: str = ""
    sim: int = 0
    number: str = ""


def read_message(body: bytes) -> Message:
    """The Message of a request. Raises Rejected."""
    try:
        message = msgspec.json.decode(body, type=Message)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Rejected(400, str(error)) from None
    contents = (message.text_message, message.data_message, message.message, message.mms_message)
    if sum(content is not None for content in contents) != 1:
        raise Rejected(400, "exactly one of textMessage, dataMessage and message is needed")
    if message.mms_message is not None:
        raise Rejected(400, "MMS cannot be sent")
    if message.id is not None and not _plain_id(message.id):
        raise Rejected(400, "an id is 1 to 36 letters, digits, and _.:-")
    if len(set(message.phone_numbers)) < len(message.phone_numbers):
        raise Rejected(400, "phoneNumbers has a number twice")
    if message.ttl is not None and message.valid_until is not None:
        raise Rejected(400, "ttl and validUntil exclude each other")
    return message


def submits(
    message: Message,
    message_id: str,
    channel: str,
    now_ms: int,
    plain: Mapping[str, str] | None = None,
    device_id: str = "",
) -> list[dict[str, Any]]:
    """Our submits of a Message, one for each number. ``plain`` has the decrypted form of every protected value.

    ``channel`` is pinned where a phone or a SIM is asked for, or encryption: any other channel could not do that.
    Raises Rejected.
    """
    plain = plain or {}
    is_encrypted = bool(message.is_encrypted)
    common: dict[str, Any] = {
        "ref": message_id,
        "priority": _priority(message.priority or 0),
        "receipt": message.with_delivery_report is not False,
        "max_segments": MOST_SEGMENTS,
        **_times(message, now_ms),
        **_content(message, plain),
    }
    device_id = device_id or message.device_id or ""
    if device_id or message.sim_number or is_encrypted:
        common["channel"] = channel
    found = []
    for number in message.phone_numbers:
        marks = Marks(device_id, message.sim_number or 0, number if is_encrypted else "")
        submit = {**common, "to": plain.get(number, number)}
        if marks != Marks():
            submit["metadata"] = marks
        found.append(submit)
    return found


def protected_values(message: Message) -> list[str]:
    """What is to be decrypted before the Message can be routed."""
    if not message.is_encrypted:
        return []
    return [*message.phone_numbers, _text(message)]


def _text(message: Message) -> str:
    """The text, or the data in base64, as the client wrote it."""
    if message.data_message is not None:
        return message.data_message.data
    return message.text_message.text if message.text_message is not None else message.message or ""


def _content(message: Message, plain: Mapping[str, str]) -> dict[str, Any]:
    text = _text(message)
    text = plain.get(text, text)
    if message.data_message is None:
        return {"text": text}
    try:
        base64.b64decode(text, validate=True)
    except binascii.Error:
        raise Rejected(400, "data is not base64") from None
    header = _PORTS + message.data_message.port.to_bytes(2) + bytes(2)
    return {"data": text, "udh": base64.b64encode(header).decode()}


def _priority(priority: int) -> str:
    if priority >= _SKIPS_LIMITS:
        return "urgent"
    return "high" if priority > 0 else "bulk" if priority < 0 else "normal"


def _times(message: Message, now_ms: int) -> dict[str, Any]:
    """``send_at`` and ``valid_for``, which counts from it."""
    times: dict[str, Any] = {}
    begins_ms = now_ms
    if message.schedule_at is not None:
        begins_ms = _wall_ms(message.schedule_at)
        if begins_ms <= now_ms:
            raise Rejected(400, "scheduleAt is not in the future")
        times["send_at"] = message.schedule_at
    if message.ttl is not None:
        times["valid_for"] = min(message.ttl, LONGEST_S)
    elif message.valid_until is not None:
        valid_for_s = (_wall_ms(message.valid_until) - begins_ms) // 1000
        if valid_for_s < 1:
            raise Rejected(400, "validUntil is past, or before scheduleAt")
        times["valid_for"] = min(valid_for_s, LONGEST_S)
    return times


def _wall_ms(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def rejection(status: int, body: bytes) -> Rejected:
    """How our refusal of a request is told."""
    try:
        problem = msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError):
        problem = {}
    return Rejected(_ERRORS.get(status, 500), str(problem.get("detail") or "the request could not be done"))


# -- states --------------------------------------------------------------------------------------------------------


class Recipient(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """One number of a MessageState."""

    phone_number: str
    state: State
    error: str = ""


class MessageState(msgspec.Struct, frozen=True, rename="camel"):
    """What a client is answered. ``states`` has when each state was first reached."""

    id: str
    device_id: str
    state: State
    is_hashed: bool
    is_encrypted: bool
    recipients: list[Recipient]
    states: dict[str, str]
    created_at: str | msgspec.UnsetType = msgspec.UNSET
    text_message: TextMessage | msgspec.UnsetType = msgspec.UNSET
    data_message: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET


def overall(states: Iterable[State]) -> State:
    """The state of a message from those of its recipients."""
    found = set(states)
    for first in (State.PENDING, State.CANCELLING, State.CANCELLED, State.PROCESSED):
        if first in found:
            return first
    return found.pop() if len(found) == 1 else State.SENT


def accepted_state(message: Message, message_id: str, device_id: str, faults: Sequence[str]) -> MessageState:
    """What a submit is answered: ``faults`` says for each number why it was refused, empty where it was not."""
    recipients = [
        Recipient(number, State.FAILED if fault else State.PENDING, fault)
        for number, fault in zip(message.phone_numbers, faults, strict=True)
    ]
    state = overall(recipient.state for recipient in recipients)
    is_encrypted = bool(message.is_encrypted)
    return MessageState(message_id, device_id, state, False, is_encrypted, recipients, {})


def identity(message: Mapping[str, Any]) -> str:
    """The id that API knows our message by."""
    return str(message["ref"] or message["id"])


def message_state(messages: Sequence[Mapping[str, Any]], *, has_content: bool = False) -> MessageState:
    """The state of the messages of one Message, as ``GET /v1/messages`` gives them, in the order of submitting."""
    marks = [_marks(message) for message in messages]
    recipients = [
        Recipient(mark.number or str(message["to"]), STATES[message["status"]], _error(message))
        for message, mark in zip(messages, marks, strict=True)
    ]
    first = messages[0]
    state = overall(recipient.state for recipient in recipients)
    found = MessageState(
        identity(first),
        marks[0].device,
        state,
        False,
        bool(marks[0].number),
        recipients,
        _reached(messages),
        first["submitted_at"],
    )
    return _with_content(found, first) if has_content else found


def _with_content(state: MessageState, message: Mapping[str, Any]) -> MessageState:
    if message["text"] is not None:
        return msgspec.structs.replace(state, text_message=TextMessage(message["text"]))
    udh = base64.b64decode(message["udh"] or "")
    port = int.from_bytes(udh[3:5]) if udh.startswith(_PORTS) else 0
    return msgspec.structs.replace(state, data_message={"data": message["data"], "port": port})


def _marks(message: Mapping[str, Any]) -> Marks:
    """The client's own metadata may be anything."""
    try:
        return msgspec.convert(message["metadata"] or {}, Marks)
    except msgspec.ValidationError:
        return Marks()


def _error(message: Mapping[str, Any]) -> str:
    error = message["error"]
    if error is None:
        return "TTL expired" if message["status"] == "expired" else ""
    return str(error.get("detail") or error["code"])


def _reached(messages: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """RFC 3339 in UTC with milliseconds sorts as text."""
    reached: dict[str, str] = {}
    for message in messages:
        final = STATES[message["status"]]
        for state, at in (
            (State.PENDING, message["submitted_at"]),
            (State.SENT, message["sent_at"]),
            (final, message["final_at"]),
        ):
            if at is not None:
                reached[state.value] = min(at, reached.get(state.value, at))
    return reached
