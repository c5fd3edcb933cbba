"""What the simulated SMSC does with each request of a client that took the session's way: judged, kept, answered.

Owns the answers to submit_sm, query_sm and cancel_sm (SMPP 3.4 sections 4.4, 4.8 and 4.9) and the receipts that follow.
Invariant: a receipt never says what the store does not.
"""

import time
from collections.abc import Callable, Iterator
from random import Random
from typing import Any, Final, Protocol

from bench.peers.accounts import Account
from bench.peers.behaviour import OK, Judge, ReceiptForm, Verdict
from bench.peers.dialect import STATES, UNFINISHED, Facts, Shape, write_id, write_receipt
from bench.peers.options import Options
from bench.peers.receipts import Delivery
from bench.peers.schedule import HELD
from bench.peers.statistics import Statistics
from bench.peers.store import Address, Message, Store
from stentor_smpp import status as codes
from stentor_smpp.alphabets import text_octets
from stentor_smpp.pdu import PDU
from stentor_smpp.tlvs import USER_MESSAGE_REFERENCE, first

_FORM_SHAPES: Final = {
    ReceiptForm.TEXT: Shape.USUAL,
    ReceiptForm.TLV: Shape.TLV,
    ReceiptForm.BOTH: Shape.TLV_AND_TEXT,
}
_RECEIPT_WANTED: Final = 0x03
_CANCEL_FAILED: Final = 0x11
_QUERY_FAILED: Final = 0x67


class Desk(Protocol):
    """What is shared by all connections; ``smsc.SMSC`` is it."""

    options: Options
    judge: Judge
    store: Store
    statistics: Statistics
    ids: Iterator[int]

    def later(self, delay_s: float, function: Callable[..., object], *arguments: Any) -> None: ...


def take(desk: Desk, pdu: PDU, held_s: float = 0.0) -> Message:
    """A submission that was accepted, with its id, remembered. It is held for so long before anything is done."""
    dialect = desk.options.dialect
    number = next(desk.ids)
    fields = pdu.fields
    message = Message(
        write_id(number, dialect.ids),
        write_id(number, dialect.receipt_ids or dialect.ids).decode("ascii"),
        fields["service_type"],
        source_of(fields),
        destination_of(fields),
        time.time(),
        # As carriers do it: the first octets, whatever they mean.
        text_octets(pdu)[:20].decode("latin-1"),
        first(pdu.tlvs, USER_MESSAGE_REFERENCE) if dialect.is_reference_echoed else None,
        fields["registered_delivery"] & _RECEIPT_WANTED,
    )
    if held_s:
        message.state, message.held_until = HELD, message.submitted_at + held_s
    desk.store.add(message)
    return message


def source_of(fields: dict[str, Any]) -> Address:
    return fields["source_addr_ton"], fields["source_addr_npi"], fields["source_addr"]


def destination_of(fields: dict[str, Any]) -> Address:
    return fields["dest_addr_ton"], fields["dest_addr_npi"], fields["destination_addr"]


def plan(desk: Desk, message: Message, verdict: Verdict, account: Account) -> None:
    """Let the message come to its end, and tell of it as often as the verdict says."""
    if verdict.is_receipt_first:
        for _, state in verdict.notices:
            notify(desk, message, state, account)
        return
    message.end, message.due_at = verdict.state, time.time() + verdict.delay_s + verdict.final_s
    # Never earlier than the answer: at the same moment the answer was put on the agenda before.
    for delay_s, state in verdict.notices:
        desk.later(verdict.delay_s + delay_s, notify, desk, message, state, account)


def notify(desk: Desk, message: Message, state: str, account: Account) -> None:
    """Send a receipt of this state, unless another end came before it."""
    message.become(state, time.time())
    if state not in UNFINISHED and message.state != state:
        return
    if message.wanted and (state in UNFINISHED or message.is_wanted(state)):
        desk.statistics.receipts += 1
        account.waiting.append(_receipt(desk.options, message, state, desk.judge.random))


def _receipt(options: Options, message: Message, state: str, random: Random) -> Delivery:
    dialect = options.dialect
    facts = Facts(
        message.receipt_id,
        state,
        message.source,
        message.destination,
        message.service_type,
        message.submitted_at,
        message.final_at or time.time(),
        message.text,
        message.reference,
        state in UNFINISHED,
    )
    shape = dialect.shape(random) if dialect.shapes else _FORM_SHAPES[options.behaviour.receipts]
    command_id, body = write_receipt(facts, shape)
    return Delivery(body, message.id, state, command_id)


def query(desk: Desk, pdu: PDU, *, knows_scheduled: bool) -> tuple[int, dict[str, Any]]:
    """Status and fields of a query_sm_resp. The state SCHEDULED is of SMPP 5.0; before, it was a part of ENROUTE."""
    if desk.options.query_status != OK:
        return desk.options.query_status, {}
    if not desk.options.store:
        return _QUERY_FAILED, {}  # nothing is remembered, so nothing can be said
    message = desk.store.find(pdu.fields["message_id"], source_of(pdu.fields), time.time())
    if message is None:
        return codes.RINVMSGID, {}
    final_date = ""
    if message.final_at:
        final_date = time.strftime("%y%m%d%H%M%S", time.gmtime(message.final_at)) + "000+"
    word = "ENROUTE" if message.state == HELD and not knows_scheduled else message.state
    state = STATES.get(word, STATES["UNKNOWN"])
    fields = {"message_id": pdu.fields["message_id"], "final_date": final_date, "message_state": state}
    return OK, fields | {"error_code": 0}


def cancel(desk: Desk, pdu: PDU, account: Account) -> int:
    """Status of a cancel_sm_resp; what is cancelled is DELETED, and its receipt says so."""
    if desk.options.query_status != OK:
        return desk.options.query_status
    if not desk.options.store:
        return _CANCEL_FAILED
    fields, now = pdu.fields, time.time()
    source, destination = source_of(fields), destination_of(fields)
    if not fields["message_id"]:
        cancelled = list(desk.store.pending(fields["service_type"], source, destination, now))
    else:
        message = desk.store.find(fields["message_id"], source, now)
        if message is None or (destination[2] and destination != message.destination):
            return codes.RINVMSGID
        cancelled = [] if message.final_at else [message]
    for each in cancelled:
        notify(desk, each, "DELETED", account)
    return OK if cancelled else _CANCEL_FAILED
