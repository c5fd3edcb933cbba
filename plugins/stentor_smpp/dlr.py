"""Delivery receipts: the text every carrier bends, and the TLVs that overrule it (SMPP 3.4 section 5.2.12,
appendix B).

Nothing in a receipt raises. The usual shape is read by one regular expression; every other by a scan for
keys. Dates are in the carrier's local time, which the receipt does not name, so the caller says how far that
is from UTC.
"""

import re
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from functools import lru_cache
from typing import Any, Final

import msgspec

from stentor.text import gsm0338
from stentor_smpp.alphabets import UDHI, Alphabet, alphabet_of, text_octets, unpack
from stentor_smpp.pdu import PDU
from stentor_smpp.times import AbsoluteTime, full_year, parse_time
from stentor_smpp.tlvs import MESSAGE_STATE, NETWORK_ERROR_CODE, RECEIPTED_MESSAGE_ID, first
from stentor_smpp.udh import BrokenHeader, read_udh


class MessageState(IntEnum):
    """SMPP 3.4 section 5.2.28, with SCHEDULED and SKIPPED of 5.0."""

    SCHEDULED = 0
    ENROUTE = 1
    DELIVERED = 2
    EXPIRED = 3
    DELETED = 4
    UNDELIVERABLE = 5
    ACCEPTED = 6
    UNKNOWN = 7
    REJECTED = 8
    SKIPPED = 9


class NetworkError(msgspec.Struct, frozen=True, gc=False):
    """network_error_code: 3 is GSM (SMPP 3.4 section 5.3.2.31); None when the carrier sent digits alone."""

    network: int | None
    code: int


class Receipt(msgspec.Struct, frozen=True, gc=False):
    """What a receipt says; None where it says nothing.

    ``stat`` is the raw word, ``state`` what it means. ``is_final`` is false without a state; ACCEPTED and
    UNKNOWN count as final here and the channel may know better. Times are milliseconds since 1970 UTC.
    """

    id: str | None
    state: MessageState | None
    stat: str | None
    is_final: bool
    err: str | None = None
    sub: int | None = None
    dlvrd: int | None = None
    submit_at_ms: int | None = None
    done_at_ms: int | None = None
    text: str | None = None
    network_error: NetworkError | None = None


_WORDS: Final[dict[str, MessageState]] = {
    "SCHEDLD": MessageState.SCHEDULED,
    "ENROUTE": MessageState.ENROUTE,
    "DELIVRD": MessageState.DELIVERED,
    "EXPIRED": MessageState.EXPIRED,
    "DELETED": MessageState.DELETED,
    "UNDELIV": MessageState.UNDELIVERABLE,
    "ACCEPTD": MessageState.ACCEPTED,
    "UNKNOWN": MessageState.UNKNOWN,
    "REJECTD": MessageState.REJECTED,
    "SKIPPED": MessageState.SKIPPED,
    "DELIVERED": MessageState.DELIVERED,
    "DELIVRED": MessageState.DELIVERED,
    "DELIVERD": MessageState.DELIVERED,
    "UNDELIVERABLE": MessageState.UNDELIVERABLE,
    "UNDELIVERED": MessageState.UNDELIVERABLE,
    "FAILED": MessageState.UNDELIVERABLE,
    "SYSERR": MessageState.UNDELIVERABLE,
    "REJECTED": MessageState.REJECTED,
    "NOCRED": MessageState.REJECTED,
    "ACCEPTED": MessageState.ACCEPTED,
    "BUFFRED": MessageState.ENROUTE,
    "BUFFERD": MessageState.ENROUTE,
    "BUFFERED": MessageState.ENROUTE,
    "ACKED": MessageState.ENROUTE,
}
_STATES: Final[dict[int, MessageState]] = {state.value: state for state in MessageState}
_UNFINISHED: Final = frozenset({MessageState.SCHEDULED, MessageState.ENROUTE, None})

_TYPE: Final = 0x3C
_INTERMEDIATE: Final = 0x20
# Receipt, acknowledgement of the handset, intermediate notification, and receipt and intermediate in one.
_RECEIPT_TYPES: Final = frozenset({0x04, 0x08, 0x20, 0x24})

_TRIMMED: Final = " \t\r\n\0,;"
_USUAL: Final = re.compile(
    r"id:([^\s,;:\0]+) sub:(\d+) dlvrd:(\d+) submit date:(\d+) done date:(\d+) stat:([A-Za-z]+)"
    r" err:([^\s,;:\0]*)(?: [Tt]ext:(.*))?",
    re.DOTALL | re.ASCII,
)
_KEY: Final = re.compile(
    r"(?<![^\W_])(id|sub|dlvrd|submit[ _]date|done[ _]date|stat|err|text) ?:", re.IGNORECASE
)
# A key of the carrier's own ends the value before it. One separator: a run of them would cost its square.
_FOREIGN_KEY: Final = re.compile(r"[\s,;][A-Za-z_]\w*:")
_FIRST_WORD: Final = re.compile(r"[0-9A-Z]+")
_DASHED_DATE: Final = re.compile(r"(\d{4})-(\d\d)-(\d\d)[ T](\d\d):(\d\d)(?::(\d\d))?", re.ASCII)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)


# ---------------------------------------------------------------- the PDU


def is_receipt(pdu: PDU) -> bool:
    """True for a PDU marked by esm_class, or by both receipted_message_id and message_state."""
    if pdu.fields["esm_class"] & _TYPE in _RECEIPT_TYPES:
        return True
    tlvs = pdu.tlvs
    return bool(tlvs) and None not in (first(tlvs, RECEIPTED_MESSAGE_ID), first(tlvs, MESSAGE_STATE))


def read_receipt(
    pdu: PDU, utc_offset_ms: int = 0, by_text: bool = False, default: Alphabet = Alphabet.GSM
) -> Receipt | None:
    """The receipt in a deliver_sm or data_sm, or None when it is an ordinary message.

    ``utc_offset_ms`` is how far the carrier's local time is ahead of UTC, ``default`` what it means by data_coding 0.
    ``by_text``: an ordinary message that has an id, a state and something more of a receipt is one, marked or not.
    """
    if is_receipt(pdu):
        return _read(pdu, utc_offset_ms, default)
    if not by_text or pdu.fields["esm_class"] & _TYPE:
        return None
    found = _read(pdu, utc_offset_ms, default)
    more = (found.err, found.sub, found.dlvrd, found.submit_at_ms, found.done_at_ms)
    return found if found.id and found.stat and more.count(None) < len(more) else None


def is_intermediate(pdu: PDU) -> bool:
    """Marked as an intermediate notification."""
    return bool(pdu.fields["esm_class"] & _INTERMEDIATE)


def _read(pdu: PDU, utc_offset_ms: int, default: Alphabet) -> Receipt:
    fields = pdu.fields
    octets = text_octets(pdu)
    esm_class: int = fields["esm_class"]
    header_octets = 0
    if esm_class & UDHI:
        header = read_udh(octets)
        if not isinstance(header, BrokenHeader):
            header_octets = header.octets
            octets = octets[header_octets:]
    text = _body_text(octets, fields["data_coding"])
    if default is Alphabet.GSM_PACKED and "id:" not in text.lower():
        text = gsm0338.decode(unpack(octets, header_octets))
    is_unfinished = is_intermediate(pdu)
    receipt = parse_receipt(text, is_unfinished, utc_offset_ms)
    return _overrule(receipt, pdu, is_unfinished) if pdu.tlvs else receipt


def _body_text(octets: bytes, data_coding: int) -> str:
    """UCS-2 only when it reads as such and holds an id; carriers mark ASCII as UCS-2 and the other way
    round."""
    is_wide = data_coding != 0 and alphabet_of(data_coding) is Alphabet.UCS2
    if is_wide or (octets[:1] == b"\0" and not any(octets[:32:2])):
        try:
            text = octets.decode("utf-16-be")
        except UnicodeDecodeError:
            text = ""
        if "id:" in text.lower():
            return text
    return octets.decode("latin-1")


def _overrule(receipt: Receipt, pdu: PDU, is_intermediate: bool) -> Receipt:
    """TLVs win over the text wherever they are present and not empty."""
    message_id, state_octets, error_octets = b"", b"", b""
    for tag, octets in pdu.tlvs:
        if tag == RECEIPTED_MESSAGE_ID:
            message_id = message_id or octets.rstrip(b"\0")
        elif tag == MESSAGE_STATE:
            state_octets = state_octets or octets
        elif tag == NETWORK_ERROR_CODE:
            error_octets = error_octets or octets
    state = receipt.state
    if state_octets:
        state = _STATES.get(state_octets[-1], MessageState.UNKNOWN)
    return Receipt(
        message_id.decode("latin-1") or receipt.id,
        state,
        receipt.stat,
        not is_intermediate and state not in _UNFINISHED,
        receipt.err,
        receipt.sub,
        receipt.dlvrd,
        receipt.submit_at_ms,
        receipt.done_at_ms,
        receipt.text,
        read_network_error(error_octets) if error_octets else None,
    )


def read_network_error(octets: bytes | None) -> NetworkError | None:
    """network and code of a network_error_code of three octets, of four, or of three ASCII digits."""
    if not octets:
        return None
    if octets.isdigit():
        return NetworkError(None, int(octets[:9]))
    return NetworkError(octets[0], int.from_bytes(octets[1:5], "big"))


# ---------------------------------------------------------------- the text


def parse_receipt(body: str, is_intermediate: bool = False, utc_offset_ms: int = 0) -> Receipt:
    """Read a receipt's text, whatever it looks like; fields it does not have are None."""
    found = _USUAL.fullmatch(body)
    if found is not None:
        # Every key has been seen, so whatever stands behind ``text:`` is the text.
        message_id, sub, dlvrd, submitted, done, stat, err, text = found.groups()
        state = _WORDS.get(stat)
        if state is None:
            state = state_of(stat)
        return Receipt(
            message_id,
            state,
            stat,
            not is_intermediate and state not in _UNFINISHED,
            err or None,
            _number(sub),
            _number(dlvrd),
            date_ms(submitted, utc_offset_ms),
            date_ms(done, utc_offset_ms),
            text if text is None else text.strip(_TRIMMED),
        )
    return _from_values(_scan(body), is_intermediate, utc_offset_ms)


def _from_values(values: dict[str, str], is_intermediate: bool, utc_offset_ms: int) -> Receipt:
    stat = values.get("stat") or None
    state = None if stat is None else state_of(stat)
    return Receipt(
        _word(values.get("id", "")),
        state,
        stat,
        not is_intermediate and state not in _UNFINISHED,
        _word(values.get("err", "")),
        _number(values.get("sub", "")),
        _number(values.get("dlvrd", "")),
        date_ms(values.get("submit date", ""), utc_offset_ms),
        date_ms(values.get("done date", ""), utc_offset_ms),
        values.get("text"),
    )


def _scan(body: str) -> dict[str, str]:
    """Values by key in lower case; the first occurrence of a key counts and ``text`` takes the rest."""
    values: dict[str, str] = {}
    keys = list(_KEY.finditer(body))
    for index, key in enumerate(keys):
        name = key[1].lower().replace("_", " ")
        if name in values:
            continue
        if name == "text" and not _are_further_keys(body, key.end(), keys[index + 1 :], values):
            values[name] = body[key.end() :].strip(_TRIMMED)
            break
        end = keys[index + 1].start() if index + 1 < len(keys) else len(body)
        values[name] = _value(body[key.end() : end])
    return values


def _value(raw: str) -> str:
    foreign = _FOREIGN_KEY.search(raw)
    return (raw[: foreign.start()] if foreign is not None else raw).strip(_TRIMMED)


def _are_further_keys(body: str, at: int, keys: list[re.Match[str]], values: dict[str, str]) -> bool:
    """True when nothing but new keys, each with one word, stands where a text would."""
    if not keys or body[at : keys[0].start()].strip(_TRIMMED):
        return False
    names = [key[1].lower().replace("_", " ") for key in keys]
    if len(set(names)) < len(names) or "text" in names or not values.keys().isdisjoint(names):
        return False
    ends = [key.start() for key in keys[1:]] + [len(body)]
    words = (
        len(body[key.end() : end].split())
        for name, key, end in zip(names, keys, ends, strict=True)
        if not name.endswith("date")
    )
    return all(count <= 1 for count in words)


def _word(value: str) -> str | None:
    words = value.split(None, 1)
    return words[0].strip(_TRIMMED) or None if words else None


def _number(value: str) -> int | None:
    return int(value) if value.isascii() and value.isdigit() and len(value) < 10 else None


def state_of(stat: str) -> MessageState:
    """What a receipt's word for its state means; UNKNOWN for a word nobody uses."""
    word = _FIRST_WORD.match(stat.upper())
    return _WORDS.get(word[0], MessageState.UNKNOWN) if word is not None else MessageState.UNKNOWN


# ---------------------------------------------------------------- dates


@lru_cache(maxsize=8192)
def date_ms(raw: str, utc_offset_ms: int = 0) -> int | None:
    """A receipt's date as milliseconds since 1970 UTC, or None for anything that is no date.

    Remembered, because the receipts of a minute share their dates. Sixteen characters carry their own offset.
    """
    if len(raw) == 16 and "-" not in raw[:-1]:
        absolute = parse_time(raw)
        return absolute.at_ms if isinstance(absolute, AbsoluteTime) else None
    local = _digits_date(raw) if raw.isascii() and raw.isdigit() else _dashed_date(raw)
    return None if local is None else (local - _EPOCH) // _MILLISECOND - utc_offset_ms


def _digits_date(raw: str) -> datetime | None:
    if len(raw) == 10:
        return _datetime(full_year(int(raw[:2])), raw[2:])
    if len(raw) == 12:
        return _datetime(full_year(int(raw[:2])), raw[2:]) or _datetime(int(raw[:4]), raw[4:])
    if len(raw) == 14:
        return _datetime(int(raw[:4]), raw[4:])
    return None


def _dashed_date(raw: str) -> datetime | None:
    found = _DASHED_DATE.fullmatch(raw)
    return None if found is None else _datetime(int(found[1]), "".join(found.groups("00")[1:]))


def _datetime(year: int, pairs: str) -> datetime | None:
    """A UTC date from a year and pairs of digits: month, day, hour, minute, and perhaps second."""
    month, day, hour, minute, second = (int(pairs[at : at + 2] or "0") for at in range(0, 10, 2))
    try:
        return datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        return None


# ---------------------------------------------------------------- for people


def explain_receipt(text: str) -> dict[str, Any]:
    """A receipt's text explained, fit for JSON; dates in ISO 8601 as the carrier's clock showed them."""
    receipt = parse_receipt(text)
    return {
        "id": receipt.id,
        "sub": receipt.sub,
        "dlvrd": receipt.dlvrd,
        "submit_date": _iso(receipt.submit_at_ms),
        "done_date": _iso(receipt.done_at_ms),
        "stat": receipt.stat,
        "state": None if receipt.state is None else receipt.state.name,
        "err": receipt.err,
        "text": receipt.text,
        "final": receipt.is_final,
    }


def _iso(at_ms: int | None) -> str | None:
    if at_ms is None:
        return None
    return (_EPOCH + timedelta(milliseconds=at_ms)).strftime("%Y-%m-%dT%H:%M:%S")
