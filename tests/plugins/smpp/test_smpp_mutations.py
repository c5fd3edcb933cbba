"""Damaged SMPP, for as long as there is time: every reader of a peer's octets against mutants of valid PDUs.

The invariant, for any octets a peer can send:

- nothing raises: not the codec, not a session of either role, not the readers of receipts, texts, headers and times;
- octets are accounted for: a frame is read, refused or kept whole, and what is neither is the unfinished rest;
- memory is bounded: by the frame that is awaited, by one event for a PDU, and by answers no longer than the question;
- what decodes encodes to the same octets, or to octets that decode to the same;
- the fast paths say what the codec says, or nothing;
- framing heals: an intact PDU behind a broken one that is framed is read and answered, unless the broken one said
  goodbye.

In the gate these are some thousand cases, always the same; at night as many as minutes allow. A failure names the seed
that makes it again.
"""

import os
import time
from collections.abc import Callable
from math import inf
from random import Random
from typing import Any

import pytest
from msgspec.structs import replace

from stentor_smpp import fields as f
from stentor_smpp.alphabets import read_body
from stentor_smpp.config import SMPPConfig
from stentor_smpp.detect import Detector, Ids
from stentor_smpp.dlr import Receipt, parse_receipt, read_receipt
from stentor_smpp.events import Ended, EndReason, Requests
from stentor_smpp.hot import parse_message, parse_message_id, parse_usual_receipt
from stentor_smpp.matching import Mode
from stentor_smpp.pdu import (
    CLIENT_PDU_OCTETS,
    HEADER,
    HEADER_OCTETS,
    PDU,
    Malformed,
    Reaction,
    check_frame,
    decode,
    encode,
)
from stentor_smpp.pdu import DEFAULT_LIMITS as LIMITS
from stentor_smpp.receiver import Receiver
from stentor_smpp.receiving import read
from stentor_smpp.reports import Reports
from stentor_smpp.session import Session
from stentor_smpp.times import parse_time
from stentor_smpp.udh import read_udh
from tests.conftest import SCALE
from tests.plugins.smpp.mutations import SEEDS, Mutant, framed, mutate
from tests.plugins.smpp.smpp_strategies import BODY, bound_esme, bound_mc, deliver, esme, header, mc

SECONDS = SCALE(gate=inf, nightly=120.0, release=900.0)
FIRST_SEED = SCALE(gate=0, nightly=None, release=None)
_USUAL = SMPPConfig(host="h", system_id="s")
_ODD = SMPPConfig(
    host="h",
    system_id="s",
    user_message_reference=True,
    receipts_echo_reference=True,
    receipts_by_text=True,
    states={"DELIVRD": "sent"},
    utc_offset="+05:30",
)
_IDS: list[Ids] = [*(Ids(mode) for mode in Mode), Detector()]
_REPORTS = [Reports(config, ids) for ids in _IDS for config in (_USUAL, _ODD)]
_SENTINEL = 0x7ABCDEF1
_GOODBYES = (EndReason.PEER_UNBOUND, EndReason.UNBOUND)
_LAST_WORDS = (*_GOODBYES, EndReason.FRAMING, EndReason.NOT_SMPP, EndReason.NOT_BOUND, EndReason.BIND_REFUSED)


def check_codec(octets: bytes) -> None:
    """One framed PDU."""
    found = decode(octets)
    if isinstance(found, Malformed):
        assert found.length == len(octets)
        assert 0 <= found.octet <= len(octets)
        assert found.reaction in (Reaction.NACK, Reaction.RESPOND, Reaction.IGNORE)
        assert found.detail
        assert found.describe()
        return
    again = encode(found)
    assert again == octets or decode(again) == found
    assert len(again) <= len(octets)
    check_fast_paths(octets, found)
    if found.command_id in (f.SUBMIT_SM, f.DELIVER_SM, f.DATA_SM):
        check_content(found)


def check_fast_paths(octets: bytes, found: PDU) -> None:
    _, command_id, status, sequence = HEADER.unpack_from(octets)
    if command_id in (f.SUBMIT_SM, f.DELIVER_SM):
        fast = parse_message(octets, 0, len(octets), command_id, status, sequence)
        assert fast is None or fast == found
    if command_id == f.DELIVER_SM:
        usual = parse_usual_receipt(octets, 0, len(octets), sequence)
        slow = read_receipt(found)
        if usual is not None:
            assert slow is not None
            assert (usual.id.decode("latin-1"), usual.stat.decode()) == (slow.id, slow.stat)
            assert (usual.err.decode("latin-1") or None) == slow.err
            for reports in _REPORTS:
                reports.usual([usual])
    if command_id == f.SUBMIT_SM_RESP and status == 0:
        message_id = parse_message_id(octets, 0, len(octets))
        assert message_id is None or message_id == found.fields["message_id"]


def check_content(pdu: PDU) -> None:
    """What stands in a message."""
    body = read_body(pdu)
    assert body.text is None or isinstance(body.text, str)
    receipt = read_receipt(pdu)
    assert receipt is None or isinstance(receipt, Receipt)
    read_udh(body.octets)
    parse_receipt(body.octets.decode("latin-1"))
    for name in ("schedule_delivery_time", "validity_period"):
        parse_time(pdu.fields.get(name, ""))
    parse_time(body.octets[:16].decode("latin-1"))
    for reports in _REPORTS:
        items, unreadable = read([pdu], reports)
        assert len(items) + unreadable == 1
    for ids in _IDS:
        ids.response_key(body.octets.decode("latin-1"))


def check_frames(octets: bytes) -> None:
    """Whatever the lengths say, taking frame after frame comes to an end and loses no octet."""
    at = 0
    while at < len(octets):
        length = check_frame(octets, at, LIMITS)
        if isinstance(length, Malformed):
            assert length.octet <= len(octets) - at
            assert length.reaction in (Reaction.NEED_MORE, Reaction.CLOSE, Reaction.NACK_AND_CLOSE)
            return
        assert HEADER_OCTETS <= length <= len(octets) - at
        at += length
    assert at == len(octets)


def submitting() -> Session:
    session = bound_esme()
    session.submit([(token, BODY) for token in range(5)], 0.0)
    session.drain_output()
    return session


def reading_receipts() -> Session:
    return bound_esme(reads_receipts=True)


BOUND = (bound_esme, submitting, reading_receipts, bound_mc)
EARLY = (esme, mc)


def check_sessions(random: Random, mutants: list[Mutant]) -> None:
    """The mutants one behind the other, in one read or several, and an intact message and enquire_link behind them."""
    stream = b"".join(mutant.octets for mutant in mutants)
    cut = random.randint(0, len(stream))
    for make in (random.choice(BOUND), random.choice(EARLY)):
        session = make()
        message = deliver(_SENTINEL) if make is not bound_mc else header(f.SUBMIT_SM, 0, _SENTINEL, BODY)
        data = stream + message + header(f.ENQUIRE_LINK, 0, _SENTINEL)
        session.receive(data[:cut], 1.0)
        assert len(session._partial) <= min(cut, CLIENT_PDU_OCTETS)
        session.receive(data[cut:], 1.0)
        assert len(session._partial) <= min(len(data), CLIENT_PDU_OCTETS)
        output, events = session.drain_output(), session.drain_events()
        assert len(output) <= 2 * len(data)
        ended = [event for event in events if isinstance(event, Ended)]
        assert not ended or ended[0].reason in _LAST_WORDS
        if make in BOUND and all(mutant.is_framed for mutant in mutants):
            check_healed(session, ended, output, [each for each in events if isinstance(each, Requests)])
        session.tick(1.0)
        session.connection_lost()
        session.drain_events()


def check_healed(session: Session, ended: list[Ended], output: bytes, requests: list[Requests]) -> None:
    if ended:
        assert ended[0].reason in _GOODBYES
        return
    assert len(session._partial) == 0
    assert header(f.ENQUIRE_LINK | f.RESPONSE_BIT, 0, _SENTINEL) in output
    assert _SENTINEL in [pdu.sequence for event in requests for pdu in event.pdus]


CHECKS = {"codec": 8_000, "streams": 1_500, "sessions": 6_000}
"""Of each kind, how many cases are the gate's."""


@pytest.mark.parametrize("check", CHECKS)
def test_no_damage_does_more_than_its_own(check: str) -> None:
    most = SCALE(gate=CHECKS[check], nightly=inf, release=inf)
    base = FIRST_SEED if FIRST_SEED is not None else int.from_bytes(os.urandom(6), "big")
    until = time.monotonic() + SECONDS
    count = 0
    while count < most and time.monotonic() < until:
        seed = f"{check} {base + count}"
        try:
            run(check, Random(seed))
        except Exception as error:
            raise AssertionError(f"run({check!r}, Random({seed!r}))") from error
        count += 1
    assert count > 50, "nothing was tried"


def run(check: str, random: Random) -> None:
    """One case of one kind."""
    mutants = [mutate(random) for _ in range(random.randint(1, 5))]
    if check == "codec":
        for mutant in mutants:
            check_codec(framed(mutant.octets))
    elif check == "streams":
        check_frames(b"".join(mutant.octets for mutant in mutants))
        for mutant in mutants:
            decode(mutant.octets)
            check_content(PDU(f.DATA_SM, 0, 1, {**_DATA, "esm_class": 0x40}, ((0x0424, mutant.octets[16:]),)))
    else:
        check_sessions(random, mutants)


_DATA = {
    "source_addr_ton": 1,
    "source_addr": "46701234567",
    "dest_addr_ton": 1,
    "destination_addr": "71234",
    "data_coding": 8,
}


@pytest.mark.parametrize("octets", SEEDS)
def test_what_is_not_damaged_passes_too(octets: bytes) -> None:
    check_codec(octets)
    check_frames(octets * 3)
    check_sessions(Random(1), [Mutant(octets, True)] * 2)


def test_mutants_are_of_every_sort() -> None:
    """Damage that never decodes, or always does, would test little."""
    random = Random(7)
    found = [decode(mutant.octets) for mutant in (mutate(random) for _ in range(2000))]
    pdus = [each for each in found if isinstance(each, PDU)]
    reactions = {each.reaction for each in found if isinstance(each, Malformed)}
    assert 400 < len(pdus) < 1600
    assert reactions == set(Reaction)
    assert len({pdu.command_id for pdu in pdus}) > 20
    assert any(read_receipt(pdu) for pdu in pdus if pdu.command_id == f.DELIVER_SM)


def lose_the_last_tlv(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = encode
    monkeypatch.setattr(f"{__name__}.encode", lambda pdu: whole(replace(pdu, tlvs=pdu.tlvs[:-1])))


def read_beyond_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stentor_smpp.udh.concatenate", lambda *numbers: [][numbers[0]])


def misread_the_fast_way(monkeypatch: pytest.MonkeyPatch) -> None:
    right = parse_message

    def wrong(*frame: Any) -> PDU | None:
        found = right(*frame)
        return found and replace(found, status=1)

    monkeypatch.setattr(f"{__name__}.parse_message", wrong)


def lose_a_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.check_frame", lambda octets, at, limits: 16)


def give_up_on_a_broken_pdu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Receiver, "_react", lambda session, found: session._end(EndReason.FRAMING, ""))


def answer_at_length(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Receiver, "_nack", lambda session, *_: session._write(bytes(10_000)))


def run_many(check: str) -> None:
    for number in range(2000):
        run(check, Random(number))


@pytest.mark.parametrize(
    ("check", "fault"),
    [
        ("codec", lose_the_last_tlv),
        ("codec", misread_the_fast_way),
        ("codec", read_beyond_the_end),
        ("streams", lose_a_frame),
        ("sessions", give_up_on_a_broken_pdu),
        ("sessions", answer_at_length),
    ],
)
def test_each_part_of_the_invariant_bites(
    check: str, fault: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    fault(monkeypatch)
    with pytest.raises((AssertionError, IndexError)):
        run_many(check)
