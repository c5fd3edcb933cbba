"""Receipts and messages that came in, out of entries of a carrier's request. Compiled from ``[receipt]`` and ``[mo]``.

An entry that does not say what it must is skipped, never guessed at; a status that is not in the table is unknown.
"""

import datetime
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple
from zlib import crc32

from stentor.driver import Inbound, Part, Receipt
from stentor.message import Charge, Error, Status
from stentor.outcome import reference_of
from stentor.text.segments import Encoding
from stentor_http.description import Costs, Hook, MOHook, ReceiptHook
from stentor_http.extraction import (
    Document,
    ExtractionFault,
    condition,
    count_at,
    micros_at,
    taker,
    text_at,
    walk,
)
from stentor_http.replies import at
from stentor_http.template import parse_own_id

ENTRIES: Final = 10_000

WORDS: Final[dict[str, tuple[Status, str]]] = {
    "accepted": (Status.SENT, ""),
    "sent": (Status.SENT, ""),
    "delivered": (Status.DELIVERED, ""),
    "undelivered": (Status.UNDELIVERED, "not_delivered"),
    "unreachable": (Status.UNDELIVERED, "unreachable_destination"),
    "failed": (Status.UNDELIVERED, "carrier_error"),
    "rejected": (Status.REJECTED, "rejected"),
    "bad_destination": (Status.REJECTED, "bad_destination"),
    "bad_originator": (Status.REJECTED, "bad_originator"),
    "bad_content": (Status.REJECTED, "bad_content"),
    "not_permitted": (Status.REJECTED, "not_permitted"),
    "opted_out": (Status.REJECTED, "not_permitted"),
    "no_credit": (Status.REJECTED, "no_credit"),
    "throttled": (Status.REJECTED, "throttled"),
    "deleted": (Status.REJECTED, "deleted"),
    "cancelled": (Status.CANCELLED, "cancelled"),
    "expired": (Status.EXPIRED, "expired"),
    "unknown": (Status.UNKNOWN, ""),
}
"""What the words of ``map`` and ``codes`` mean."""
_TRIED: Final = frozenset({"undelivered", "unreachable"})


class Reported(NamedTuple):
    """A receipt, and which of how many parts of the message it is about."""

    receipt: Receipt
    part: str
    parts: int


class Entries:
    """What all hooks of a carrier have in common: whose entries are whose, and how their numbers are written."""

    def __init__(self, hook: Hook, numbers: str, place: str) -> None:
        self.hook, self.place = hook, place
        self._has_plus = numbers == "plus"
        self._only = at(f"{place}.only", condition, hook.only)
        self._items = at(f"{place}.items", walk, hook.items) if hook.items else None

    @property
    def is_choosy(self) -> bool:
        return self._only is not None

    def taker(self, name: str) -> Any:
        field = f"{name}_" if name == "from" else name
        return at(f"{self.place}.{name}", taker, getattr(self.hook, field))

    def means(self, document: Document) -> bool:
        """Whether an entry is of this kind."""
        return self._only is None or bool(self._only(document))

    def split(self, document: Document) -> Iterator[Document]:
        """The entries of a request, at most ``ENTRIES``."""
        root = document.root
        found = self._items(document) if self._items is not None else root
        if self.hook.split and isinstance(found, dict):
            found = _unjoined(found, self.hook.split)
        for entry in (found if isinstance(found, list) else [found])[:ENTRIES]:
            if isinstance(entry, dict):
                yield document._replace(entry=entry)

    def number(self, text: str) -> str:
        """A number or name of theirs as we write it. Digits shorter than eight are a short code."""
        text = text.strip()
        is_long = text.isascii() and text.isdigit() and 8 <= len(text) <= 15 and text[0] != "0"
        return f"+{text}" if is_long else text


def _unjoined(fields: Mapping[str, Any], mark: str) -> list[dict[str, str]]:
    columns = {name: str(value).split(mark) for name, value in fields.items()}
    count = max((len(values) for values in columns.values()), default=0)
    return [
        {name: values[row if len(values) == count else 0] for name, values in columns.items()}
        for row in range(min(count, ENTRIES))
    ]


class Receipts(Entries):
    """How receipts are read."""

    def __init__(self, hook: ReceiptHook, numbers: str, place: str = "receipt") -> None:
        super().__init__(hook, numbers, place)
        names = ("id", "own", "to", "status", "group", "code", "detail", "at", "part", "parts")
        self._takers = {name: self.taker(name) for name in names}
        self._map, self._groups, self._codes = hook.map, hook.groups, hook.codes
        self._is_per_part = hook.is_per_part
        self._moment = at(f"{place}.at_format", moment_reader, hook.at_format)
        self._charge = charge_reader(hook.charge, f"{place}.charge")
        if hook.is_per_part and hook.charge is not None:
            raise ExtractionFault(
                f"{place}.charge: is of a whole message, and these receipts are of its parts"
            )
        if hook.id is None and hook.own is None:
            raise ExtractionFault("receipt: names neither id nor own, so nobody would know what it is about")

    def read(self, document: Document, matches_own: bool) -> Reported | None:
        """The receipt in an entry, None when it names no message."""
        takers = self._takers
        own = text_at(takers["own"], document)
        match_id = own if matches_own else text_at(takers["id"], document)
        to = self.number(text_at(takers["to"], document))
        ours = parse_own_id(own)
        if not match_id and (ours is None or not to):
            return None
        status, error = self._verdict(document)
        receipt = Receipt(
            match_id,
            status,
            error,
            self._moment(text_at(takers["at"], document)),
            reference_of(ours[0], ours[1]) if ours else None,
            to,
            self._charge(document),
        )
        total = count_at(takers["parts"], document) or (ours[2] if ours and self._is_per_part else 1)
        part = text_at(takers["part"], document) or text_at(takers["id"], document)
        return Reported(receipt, part, total if self._is_per_part else 1)

    def state(self, document: Document) -> tuple[Status, Error | None, int, Charge | None] | None:
        """Status, error, time and charge in an answer; None when it says no state that is known."""
        takers = self._takers
        known = text_at(takers["status"], document) in self._map
        if not known and text_at(takers["group"], document) not in self._groups:
            return None
        moment = self._moment(text_at(takers["at"], document))
        return *self._verdict(document), moment, self._charge(document)

    def _verdict(self, document: Document) -> tuple[Status, Error | None]:
        takers = self._takers
        raw, code = text_at(takers["status"], document), text_at(takers["code"], document)
        word = self._map.get(raw) or self._groups.get(text_at(takers["group"], document)) or "unknown"
        status, meaning = WORDS[word]
        if status not in (Status.DELIVERED, Status.SENT, Status.CANCELLED) and code in self._codes:
            told, meaning = WORDS[self._codes[code]]
            # Why it failed does not undo that the network was tried: refused is what never went there.
            status = status if word in _TRIED and told is Status.REJECTED else told
        if status in (Status.DELIVERED, Status.SENT):
            return status, None
        detail = text_at(takers["detail"], document)[:200]
        return status, Error(meaning or "not_delivered", code or raw or None, detail)


class MO(Entries):
    """How messages that came in are read."""

    def __init__(self, hook: MOHook, numbers: str) -> None:
        super().__init__(hook, numbers, "mo")
        names = ("id", "from", "to", "text", "data", "segments", "reference", "part", "parts")
        self._takers = {name: self.taker(name) for name in names}
        if hook.text is None and hook.data is None:
            raise ExtractionFault("mo: names neither text nor data")

    def read(self, document: Document) -> Inbound | None:
        """The message in an entry, None when it does not say from whom and to whom it is."""
        takers = self._takers
        originator = self.number(text_at(takers["from"], document))
        to = self.number(text_at(takers["to"], document))
        if not originator or not to:
            return None
        octets = _octets(text_at(takers["data"], document))
        text = None if octets is not None else text_at(takers["text"], document)
        encoding = Encoding.BINARY if octets is not None else Encoding.GSM7
        if text is not None and not text.isascii():
            encoding = Encoding.UCS2
        return Inbound(
            originator,
            to,
            text,
            encoding,
            octets,
            min(255, count_at(takers["segments"], document)) or 1,
            text_at(takers["id"], document) or None,
            self._part(document),
        )

    def _part(self, document: Document) -> Part | None:
        takers = self._takers
        index, total = count_at(takers["part"], document), count_at(takers["parts"], document)
        if not 1 <= index <= total <= 255 or total == 1:
            return None
        reference = text_at(takers["reference"], document)
        is_number = reference.isascii() and reference.isdigit() and len(reference) <= 5
        return Part(
            int(reference) & 0xFFFF if is_number else crc32(reference.encode()) & 0xFFFF, total, index
        )


_HEX: Final = re.compile(r"(?:[0-9A-Fa-f]{2})+").fullmatch


def _octets(text: str) -> bytes | None:
    return bytes.fromhex(text) if _HEX(text) else None


def moment_reader(form: str) -> Any:
    """What reads a carrier's time into wall milliseconds, 0 for what is no time. Raises ExtractionFault."""
    if form in ("unix", "unix_ms"):
        scale = 1000 if form == "unix" else 1
        return lambda text: _unix_ms(text, scale)
    if form == "iso":
        return lambda text: _parsed_ms(text, datetime.datetime.fromisoformat)
    if "%" not in form:
        raise ExtractionFault(f"{form!r} is neither iso, unix, unix_ms nor a pattern of strptime")
    return lambda text: _parsed_ms(text, lambda text: datetime.datetime.strptime(text, form))


def charge_reader(costs: Costs | None, place: str) -> Callable[[Document], Charge | None]:
    """What reads a charge, None where nothing was counted. Raises ExtractionFault with the place in front."""
    if costs is None:
        return lambda document: None
    if costs.segments is None and costs.price is None:
        raise ExtractionFault(f"{place}: names neither segments nor a price")
    if costs.price_of == "segment" and costs.segments is None:
        raise ExtractionFault(f"{place}.segments: is missing, and the price is of one of them")
    segments_of, price_of, currency_of = (
        at(f"{place}.{name}", taker, getattr(costs, name)) for name in ("segments", "price", "currency")
    )
    decimals, is_each = costs.price_decimals, costs.price_of == "segment"

    def read(document: Document) -> Charge | None:
        segments = count_at(segments_of, document)
        price = micros_at(price_of, document, decimals) * (segments if is_each else 1)
        if not segments and not price:
            return None
        return Charge(segments, price, text_at(currency_of, document)[:8])

    return read


def _unix_ms(text: str, scale: int) -> int:
    text = text.partition(".")[0]
    return int(text) * scale if text.isascii() and text.isdigit() and len(text) <= 14 else 0


def _parsed_ms(text: str, parse: Any) -> int:
    if not text:
        return 0
    try:
        moment = parse(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=datetime.UTC)
        return max(0, int(moment.timestamp() * 1000))
    except (ValueError, OverflowError):
        return 0
