"""From a carrier's receipts to the engine's: one channel's way of reading ids, states, words, dates and references.

Nothing a carrier sends raises. A receipt without a usable id or state names nothing: it is counted and answered. The
receipts of the usual shape and those the codec took apart are read by the same rules, and what repeats is remembered.
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from stentor.driver import Receipt
from stentor.message import Error, Status
from stentor_smpp.addresses import Addressing
from stentor_smpp.alphabets import DEFAULTS
from stentor_smpp.detect import Ids
from stentor_smpp.dialect import Dialect
from stentor_smpp.dlr import MessageState, date_ms, is_intermediate, read_receipt, state_of
from stentor_smpp.dlr import Receipt as CarrierReceipt
from stentor_smpp.hot import UsualReceipt
from stentor_smpp.pdu import PDU
from stentor_smpp.tlvs import USER_MESSAGE_REFERENCE, first_integer

Meaning = tuple[Status, str | None]

_MEANINGS: Final[dict[MessageState, Meaning]] = {
    MessageState.SCHEDULED: (Status.SENT, None),
    MessageState.ENROUTE: (Status.SENT, None),
    # For most carriers "handed on, more to come"; a final word follows or the horizon ends the wait.
    MessageState.ACCEPTED: (Status.SENT, None),
    MessageState.DELIVERED: (Status.DELIVERED, None),
    MessageState.EXPIRED: (Status.EXPIRED, "expired"),
    MessageState.DELETED: (Status.UNDELIVERED, "deleted"),
    MessageState.UNDELIVERABLE: (Status.UNDELIVERED, "not_delivered"),
    MessageState.SKIPPED: (Status.UNDELIVERED, "not_delivered"),
    MessageState.REJECTED: (Status.REJECTED, "rejected"),
    MessageState.UNKNOWN: (Status.UNKNOWN, "no_receipt"),
}
"""What a message_state means for a segment (SMPP 3.4 section 5.2.28), unless the channel says otherwise."""

_STATES: Final = {
    "sent": MessageState.ENROUTE,
    "delivered": MessageState.DELIVERED,
    "undelivered": MessageState.UNDELIVERABLE,
    "rejected": MessageState.REJECTED,
    "expired": MessageState.EXPIRED,
    "deleted": MessageState.DELETED,
    "unknown": MessageState.UNKNOWN,
}
"""The words of the configuration."""


class Reports:
    """Reads the receipts of one channel. ``default`` is what its carrier means by data_coding 0."""

    __slots__ = (
        "_addressing",
        "_by_text",
        "_echoes_reference",
        "_ids",
        "_meanings",
        "_offset_ms",
        "_usual_date_ms",
        "_usual_meaning",
        "_words",
        "default",
    )

    def __init__(self, config: Dialect, ids: Ids) -> None:
        self._ids = ids
        self._addressing = Addressing(config)
        self._meanings = {
            **_MEANINGS,
            MessageState.ACCEPTED: _MEANINGS[_STATES[config.accepted_means]],
            MessageState.UNKNOWN: _MEANINGS[_STATES[config.unknown_means]],
        }
        self._words = {word.upper(): _STATES[state] for word, state in config.states.items()}
        self._by_text = config.receipts_by_text
        self.default = DEFAULTS[config.alphabet]
        self._echoes_reference = config.receipts_echo_reference
        self._offset_ms = offset_ms(config.utc_offset)
        # A carrier has few words and few codes, and the receipts of a minute share their dates.
        self._usual_meaning = lru_cache(maxsize=4096)(self._read_meaning)
        self._usual_date_ms = lru_cache(maxsize=8192)(self._read_date_ms)

    def usual(self, receipts: Iterable[UsualReceipt]) -> tuple[list[Receipt], int]:
        """Receipts of the usual shape, in order, and how many among them name nothing."""
        receipt_key, meaning, done_at_ms = self._ids.receipt_key, self._usual_meaning, self._usual_date_ms
        is_watching = self._ids.is_watching
        items: list[Receipt] = []
        unreadable = 0
        for receipt in receipts:
            message_id = receipt.id.decode("latin-1")
            match_id = receipt_key(message_id)
            if match_id is None:
                unreadable += 1
                continue
            status, error = meaning(receipt.stat, receipt.err)
            item = Receipt(match_id, status, error, done_at_ms(receipt.done_date))
            items.append(item)
            if is_watching:
                self._ids.saw(message_id, item)
                receipt_key = self._ids.receipt_key
        return items, unreadable

    def read(self, pdu: PDU) -> CarrierReceipt | None:
        """What the carrier says in a receipt; None for an ordinary message."""
        return read_receipt(pdu, self._offset_ms, self._by_text, self.default)

    def report(self, receipt: CarrierReceipt, pdu: PDU) -> Receipt | None:
        """What that means for a submission of ours; None when it names none, or says nothing of it."""
        match_id = self._ids.receipt_key(receipt.id) if receipt.id else None
        if match_id is None or receipt.id is None or receipt.state is None:
            return None
        status, error = self._meaning(receipt, receipt.state, is_intermediate(pdu))
        reference, to = self._reference(pdu) if self._echoes_reference else (None, "")
        report = Receipt(match_id, status, error, receipt.done_at_ms or 0, reference, to)
        if self._ids.is_watching:
            self._ids.saw(receipt.id, report)
        return report

    def meaning(self, state: MessageState) -> Meaning:
        """What a message_state says of a segment, and the error code that goes with it."""
        return self._meanings[state]

    def _reference(self, pdu: PDU) -> tuple[int | None, str]:
        reference = first_integer(pdu.tlvs, USER_MESSAGE_REFERENCE)
        if reference is None:
            return None, ""
        return reference & 0xFFFF, self._addressing.e164(
            pdu.fields["source_addr_ton"], pdu.fields["source_addr"]
        )

    def _meaning(
        self, receipt: CarrierReceipt, state: MessageState, is_unfinished: bool
    ) -> tuple[Status, Error | None]:
        stat = receipt.stat
        own = self._own_state(stat) if stat is not None else None
        # A message_state that says something else than the word usually does is the carrier's better knowledge.
        if own is not None and stat is not None and state in (MessageState.UNKNOWN, state_of(stat)):
            state = own
        status, code = self._meanings[state]
        if is_unfinished:
            return Status.SENT, None
        if code is None:
            return status, None
        return status, Error(code, _carrier_code(receipt), (stat or state.name)[:200])

    def _own_state(self, stat: str) -> MessageState | None:
        """The channel's own meaning of a word, or of what stands before a colon in it."""
        if not self._words:
            return None
        word = stat.upper()
        return self._words.get(word) or self._words.get(word.partition(":")[0].strip())

    def _read_meaning(self, stat: bytes, err: bytes) -> tuple[Status, Error | None]:
        word = stat.decode("ascii")
        status, code = self._meanings[self._own_state(word) or state_of(word)]
        return status, None if code is None else Error(code, err.decode("latin-1") or None, word[:200])

    def _read_date_ms(self, date: bytes) -> int:
        return date_ms(date.decode("ascii"), self._offset_ms) or 0


def offset_ms(text: str) -> int:
    """Milliseconds ahead of UTC of ``+05:30``."""
    minutes = int(text[1:3]) * 60 + int(text[4:])
    return (-minutes if text[0] == "-" else minutes) * 60_000


def _carrier_code(receipt: CarrierReceipt) -> str | None:
    if receipt.network_error is not None:
        return str(receipt.network_error.code)
    return receipt.err or None
