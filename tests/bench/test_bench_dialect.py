"""Every way a simulated carrier writes is one that our readers understand, and is unusual in the way its name says."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.peers.arguments import names
from bench.peers.behaviour import Garbage
from bench.peers.dialect import (
    STATES,
    UNFINISHED,
    Dialect,
    Facts,
    Notation,
    Shape,
    parse_shapes,
    write_id,
    write_receipt,
    write_text,
)
from bench.peers.garbage import make_garbage
from bench.peers.inbound import Coding, InboundForm, Order, Way, make_inbound
from bench.peers.options import parse_options
from stentor.text import gsm0338
from stentor_smpp.alphabets import decode_ucs2, read_body
from stentor_smpp.dlr import MessageState, is_receipt, read_receipt
from stentor_smpp.events import Faults, Unexpected
from stentor_smpp.matching import Mode, receipt_key, response_key
from stentor_smpp.pdu import HEADER, PDU, decode
from stentor_smpp.tlvs import RECEIPTED_MESSAGE_ID, USER_MESSAGE_REFERENCE, first
from tests.plugins.smpp.smpp_strategies import bound_esme

DONE_AT = 1_800_000_060.0


def facts(state: str = "DELIVRD", **changes: object) -> Facts:
    known = {"source": (5, 0, "Stentor"), "destination": (1, 1, "46701234567"), "text": "hello"}
    times = {"submitted_at": 1_800_000_000.0, "done_at": DONE_AT}
    return Facts("5f3a09c1", state, **{**known, **times, "is_intermediate": state in UNFINISHED, **changes})


def delivered(made: tuple[int, bytes]) -> PDU:
    command_id, body = made
    found = decode(HEADER.pack(16 + len(body), command_id, 0, 1) + body)
    assert isinstance(found, PDU), found
    return found


@pytest.mark.parametrize("shape", Shape)
@pytest.mark.parametrize("state", STATES)
def test_a_receipt_of_any_shape_says_its_id_and_state(shape: Shape, state: str) -> None:
    pdu = delivered(write_receipt(facts(state), shape))
    assert is_receipt(pdu)
    receipt = read_receipt(pdu)
    assert receipt is not None
    assert (receipt.id, receipt.state) == ("5f3a09c1", MessageState(STATES[state]))
    is_marked_unfinished = state in ("SCHEDLD", "ENROUTE") or (
        state == "ACCEPTD" and shape is not Shape.UNMARKED
    )
    assert receipt.is_final is not is_marked_unfinished
    assert (pdu.fields["source_addr"], pdu.fields["destination_addr"]) == ("46701234567", "Stentor")


@pytest.mark.parametrize(
    "shape", set(Shape) - {Shape.NO_DATES, Shape.SHORT, Shape.TLV, Shape.NO_NUL, Shape.NULS}
)
def test_a_receipt_with_a_date_says_the_minute(shape: Shape) -> None:
    receipt = read_receipt(delivered(write_receipt(facts(), shape)))
    assert receipt is not None
    assert receipt.done_at_ms == DONE_AT * 1000


def test_no_two_shapes_are_the_same() -> None:
    assert len({write_receipt(facts(), shape) for shape in Shape}) == len(Shape)


def test_a_reference_is_echoed_in_any_shape() -> None:
    for shape in Shape:
        pdu = delivered(write_receipt(facts(reference=b"\x12\x34"), shape))
        assert first(pdu.tlvs, USER_MESSAGE_REFERENCE) == b"\x12\x34"


def test_nuls_of_an_id_are_as_many_as_the_shape_says() -> None:
    for shape, nuls in ((Shape.TLV, 1), (Shape.NO_NUL, 0), (Shape.NULS, 3)):
        value = first(delivered(write_receipt(facts(), shape)).tlvs, RECEIPTED_MESSAGE_ID)
        assert value == b"5f3a09c1" + bytes(nuls)


def test_the_text_of_a_disagreeing_receipt_is_wrong_about_everything() -> None:
    text = write_text(facts(), Shape.DISAGREEING)
    assert b"5f3a09c1" not in text
    assert b"DELIVRD" not in text


@given(st.integers(0, 1 << 52), st.integers(0, 1 << 52))
def test_ids_are_one_to_one_in_every_notation(one: int, other: int) -> None:
    for notation in Notation:
        assert (write_id(one, notation) == write_id(other, notation)) == (one == other)
        assert len(write_id(one, notation)) <= 64


@pytest.mark.parametrize(
    ("response", "receipt", "mode"),
    [
        (Notation.HEX, Notation.DECIMAL, Mode.HEX_DEC),
        (Notation.UPPER_HEX, Notation.PADDED_DECIMAL, Mode.HEX_DEC),
        (Notation.DECIMAL, Notation.HEX, Mode.DEC_HEX),
        (Notation.DECIMAL, Notation.PADDED_DECIMAL, Mode.FOLD),
        (Notation.PADDED_HEX, Notation.UPPER_HEX, Mode.FOLD),
        (Notation.HEX, Notation.PREFIXED_HEX, Mode.HEX_HEX),
        (Notation.UUID, Notation.UUID, Mode.EXACT),
    ],
)
@given(st.integers(1, 1 << 52))
def test_the_notations_of_a_carrier_match_in_a_mode(
    response: Notation, receipt: Notation, mode: Mode, number: int
) -> None:
    said, told = write_id(number, response).decode(), write_id(number, receipt).decode()
    assert response_key(said, mode) == receipt_key(told, mode) is not None


def test_shapes_are_chosen_by_their_shares() -> None:
    dialect = Dialect(shapes=parse_shapes("usual=0.75,tlv=0.25"))
    random = Random(1)
    chosen = [dialect.shape(random) for _ in range(400)]
    assert set(chosen) == {Shape.USUAL, Shape.TLV}
    assert 240 <= chosen.count(Shape.USUAL) <= 360
    assert {shape for shape, _ in parse_shapes("all")} == set(Shape)


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        (("--ids", "roman"), "'roman' is none of padded-hex, hex"),
        (("--receipt-shapes", "square"), "'square' is not a valid Shape"),
        (("--receipt-shapes", "usual=0"), "a share is above 0"),
        (("--congestion", "101"), "between 0 and 100"),
        (("--outbind", "nowhere"), "'nowhere' is no HOST:PORT"),
        (("--receipt-intermediate", "ENROUTE,,"), "a state is a word"),
        (("--mo-text", "Я"), "not in the GSM 7-bit alphabet; try the coding ucs2"),
    ],
)
def test_a_wrong_word_is_explained(
    option: tuple[str, str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        parse_options(option)
    assert sentence in " ".join(capsys.readouterr().err.split())


def test_the_help_names_every_word_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse_options(["--help"])
    assert ended.value.code == 0
    # argparse breaks lines at hyphens too.
    help = "".join(capsys.readouterr().out.split())
    for words in (Shape, Notation, Garbage, Way, Order, Coding):
        assert "".join(names(list(words)).split()) in help


# -- messages from handsets ------------------------------------------------------------------------------------

LONG = "long text {n}. " * 28
texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=400)


def joined(parts: list[PDU], coding: Coding) -> str:
    """The text as a handset would show it: sorted by number, joined as octets."""
    bodies = [read_body(pdu) for pdu in parts]
    if len(bodies) > 1:
        assert {each.concatenation.total for each in bodies} == {len(bodies)}
        assert len({each.concatenation.reference for each in bodies}) == 1
        bodies.sort(key=lambda each: each.concatenation.number)
    octets = b"".join(each.octets for each in bodies)
    return gsm0338.decode(octets) if coding is Coding.GSM else decode_ucs2(octets)


@pytest.mark.parametrize("way", Way)
@pytest.mark.parametrize("order", Order)
@given(texts, st.integers(0, 10**9), st.integers(0, 9))
def test_the_parts_of_a_message_make_its_text(
    way: Way, order: Order, text: str, number: int, seed: int
) -> None:
    text = text.replace("{n}", "").replace("\ufeff", "").replace("\ufffe", "")
    coding = Coding.GSM if gsm0338.is_encodable(text) else Coding.UCS2
    form = InboundForm(text=text, coding=coding, way=way, order=order)
    made = make_inbound(form, number, Random(seed))
    assert all(part.delay_s == 0 for part in made)
    parts = [delivered((part.delivery.command_id, part.delivery.body)) for part in made]
    assert joined(parts, coding) == text
    assert all(len(pdu.fields["short_message"]) <= 160 for pdu in parts)


def test_parts_come_in_the_order_that_was_asked_for() -> None:
    def numbers(order: Order) -> list[int]:
        made = make_inbound(InboundForm(text=LONG, order=order), 1, Random(3))
        bodies = [read_body(delivered((part.delivery.command_id, part.delivery.body))) for part in made]
        return [body.concatenation.number for body in bodies]

    assert numbers(Order.STRAIGHT) == [1, 2, 3]
    assert numbers(Order.REVERSED) == [3, 2, 1]
    assert sorted(numbers(Order.SHUFFLED)) == [1, 2, 3]


def test_a_part_goes_astray_in_the_way_that_was_asked_for() -> None:
    def made(**faults: float) -> list[float]:
        return [part.delay_s for part in make_inbound(InboundForm(text=LONG, **faults), 1, Random(5))]

    assert made() == [0, 0, 0]
    assert made(missing=1) == [0, 0]
    assert made(twice=1) == [0, 0, 0, 0]
    assert made(late=1, late_s=7.0) == [0, 0, 7.0]


def test_a_text_that_cannot_be_sent_is_refused() -> None:
    with pytest.raises(ValueError, match="not in the GSM 7-bit alphabet"):
        make_inbound(InboundForm(text="Я"), 1, Random(1))
    with pytest.raises(ValueError, match="255 is the most"):
        make_inbound(InboundForm(text="m" * 153 * 256), 1, Random(1))


@pytest.mark.parametrize("kind", Garbage)
def test_garbage_is_what_its_name_says(kind: Garbage) -> None:
    session = bound_esme()
    session.receive(make_garbage(kind, Random(1)), 0.0)
    said = session.drain_events()
    assert session.is_bound is (kind is not Garbage.NOISE)
    assert isinstance(said[0], Unexpected if kind is Garbage.STRAY else Faults)
