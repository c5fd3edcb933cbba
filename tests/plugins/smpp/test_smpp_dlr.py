"""Delivery receipts in every shape, and what is none."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stentor_smpp.dlr import (
    MessageState,
    NetworkError,
    date_ms,
    explain_receipt,
    parse_receipt,
    read_network_error,
    read_receipt,
)
from stentor_smpp.fields import DATA_SM, DELIVER_SM
from stentor_smpp.pdu import PDU, decode
from tests.plugins.smpp.smpp_strategies import HEX

S = MessageState


def deliver(body: bytes, esm_class: int = 4, tlvs=(), data_coding: int = 0) -> PDU:
    fields = {"esm_class": esm_class, "data_coding": data_coding, "short_message": body}
    return PDU(DELIVER_SM, 0, 1, fields, tuple(tlvs))


USUAL = (
    b"id:1597639105 sub:001 dlvrd:001 submit date:2605041015 done date:2605041016 stat:DELIVRD err:000 "
    b"text:Hello"
)
SIXTEEN = [
    (USUAL, 4, (), ("1597639105", S.DELIVERED, "000", True)),
    (
        b"id:77a0 sub:001 dlvrd:000 submit date:260504101500 done date:260504111500 stat:EXPIRED err:0e "
        b"Text:",
        4,
        (),
        ("77a0", S.EXPIRED, "0e", True),
    ),
    (
        b"id:77a1 submit date:20260504101500 done date:20260504101631 stat:UNDELIV err:1f4",
        4,
        (),
        ("77a1", S.UNDELIVERABLE, "1f4", True),
    ),
    (b"id:77a2 stat:REJECTD", 4, (), ("77a2", S.REJECTED, None, True)),
    (b"ID:77A3 STAT:delivrd ERR:0", 4, (), ("77A3", S.DELIVERED, "0", True)),
    (b"id: 77a4 stat: ACCEPTD err: 000", 4, (), ("77a4", S.ACCEPTED, "000", True)),
    (b"stat:DELIVRD id:77a5 err:000", 4, (), ("77a5", S.DELIVERED, "000", True)),
    (b"id:77a6 stat:FAILED err:E42 text:id:1 stat:DELIVRD", 4, (), ("77a6", S.UNDELIVERABLE, "E42", True)),
    (b"id:77a7 stat:BUFFRED err:000", 0x20, (), ("77a7", S.ENROUTE, "000", False)),
    (b"id:77a8 stat:MY_WORD err:9", 4, (), ("77a8", S.UNKNOWN, "9", True)),
    (b"4670123#id:77a9 stat:DELETED err:", 4, (), ("77a9", S.DELETED, None, True)),
    (b"", 4, ((0x001E, b"77AA\0"), (0x0427, b"\2")), ("77AA", S.DELIVERED, None, True)),
    (
        b"id:30635 stat:ENROUTE",
        4,
        ((0x001E, b"77AB\0"), (0x0427, b"\5")),
        ("77AB", S.UNDELIVERABLE, None, True),
    ),
    (
        b"",
        4,
        ((0x001E, b"77AC"), (0x0427, b"\3"), (0x0423, b"\3\0\x22")),
        ("77AC", S.EXPIRED, None, True),
    ),
    (b"Delivered to handset", 4, (), (None, None, None, False)),
]


@pytest.mark.parametrize(("body", "esm_class", "tlvs", "wanted"), SIXTEEN)
def test_fifteen_shapes_of_a_receipt(body, esm_class, tlvs, wanted):
    found = read_receipt(deliver(body, esm_class, tlvs))
    assert found is not None
    assert (found.id, found.state, found.err, found.is_final) == wanted


def test_the_sixteenth_is_no_receipt():
    assert read_receipt(deliver(b"Call id:7 now", 0)) is None


def test_the_network_error_of_a_receipt_is_kept():
    found = read_receipt(deliver(*SIXTEEN[13][:3]))
    assert found is not None
    assert found.network_error == NetworkError(3, 34)


@pytest.mark.parametrize(
    ("example", "message_id", "state", "is_final"),
    [
        ("E33", "1597639105", S.DELIVERED, True),
        ("E34", "5f3a09c2", S.UNDELIVERABLE, True),
        ("E35", "5F3A09C3", S.DELIVERED, True),
        ("E36", "5f3a09c4", S.ENROUTE, False),
    ],
)
def test_the_worked_examples_are_receipts(example, message_id, state, is_final):
    pdu = decode(HEX[example])
    assert isinstance(pdu, PDU)
    found = read_receipt(pdu)
    assert found is not None
    assert (found.id, found.state, found.is_final) == (message_id, state, is_final)


def test_a_mobile_originated_message_is_none():
    pdu = decode(HEX["E31"])
    assert isinstance(pdu, PDU)
    assert read_receipt(pdu) is None


@pytest.mark.parametrize("esm_class", [0x04, 0x08, 0x20, 0x24, 0x44, 0x84])
def test_a_mark_in_esm_class_makes_a_receipt(esm_class):
    assert read_receipt(deliver(b"\0id:1 stat:DELIVRD", esm_class)) is not None


@pytest.mark.parametrize("esm_class", [0x00, 0x10, 0x18, 0x40])
def test_without_a_mark_both_tlvs_make_a_receipt(esm_class):
    tlvs = ((0x001E, b"a\0"), (0x0427, b"\2"))
    assert read_receipt(deliver(b"", esm_class, tlvs)) is not None
    assert read_receipt(deliver(b"", esm_class, tlvs[:1])) is None


def test_an_intermediate_mark_is_never_final():
    for esm_class in (0x20, 0x24):
        found = read_receipt(deliver(b"id:1 stat:DELIVRD", esm_class))
        assert found is not None
        assert not found.is_final


def test_a_header_in_front_of_a_receipt_is_cut_off():
    found = read_receipt(deliver(bytes.fromhex("0500035c0201") + b"id:1 stat:DELIVRD", 0x44))
    assert found is not None
    assert (found.id, found.state) == ("1", S.DELIVERED)


@pytest.mark.parametrize(
    ("data_coding", "encoding"),
    [(0, "latin-1"), (8, "utf-16-be"), (8, "latin-1"), (0, "utf-16-be"), (3, "latin-1")],
)
def test_the_body_is_read_whatever_data_coding_says(data_coding, encoding):
    found = read_receipt(deliver("id:77 stat:DELIVRD".encode(encoding), 4, (), data_coding))
    assert found is not None
    assert (found.id, found.state) == ("77", S.DELIVERED)


def test_the_body_may_stand_in_message_payload_of_either_pdu():
    tlvs = ((0x0424, b"id:77 stat:EXPIRED"),)
    for pdu in (deliver(b"", 4, tlvs), PDU(DATA_SM, 0, 1, {"esm_class": 4, "data_coding": 0}, tlvs)):
        found = read_receipt(pdu)
        assert found is not None
        assert (found.id, found.state) == ("77", S.EXPIRED)


@pytest.mark.parametrize(
    ("octets", "state"),
    [(b"", S.DELIVERED), (b"\0\0\0\5", S.UNDELIVERABLE), (b"\x0a", S.UNKNOWN), (b"\0", S.SCHEDULED)],
)
def test_message_state_of_any_size(octets, state):
    found = read_receipt(deliver(b"id:1 stat:DELIVRD", 4, ((0x0427, octets),)))
    assert found is not None
    assert found.state is state


@pytest.mark.parametrize(
    ("octets", "message_id"),
    [(b"ab", "ab"), (b"ab\0\0\0", "ab"), (b"", "7"), (b"\0", "7"), (b"a b\0", "a b")],
)
def test_receipted_message_id_with_any_number_of_nuls(octets, message_id):
    found = read_receipt(deliver(b"id:7", 4, ((0x001E, octets),)))
    assert found is not None
    assert found.id == message_id


@pytest.mark.parametrize(
    ("octets", "wanted"),
    [
        (b"\3\0\x22", NetworkError(3, 34)),
        (b"\3\0\0\x22", NetworkError(3, 34)),
        (b"034", NetworkError(None, 34)),
        (b"", None),
        (None, None),
        (b"\1", NetworkError(1, 0)),
    ],
)
def test_network_error_code_of_any_size(octets, wanted):
    assert read_network_error(octets) == wanted


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("DELIVERED", S.DELIVERED),
        ("delivrd   ", S.DELIVERED),
        ("DELIVRED", S.DELIVERED),
        ("DELIVERD", S.DELIVERED),
        ("UNDELIVERABLE", S.UNDELIVERABLE),
        ("UNDELIVERED", S.UNDELIVERABLE),
        ("SYSERR", S.UNDELIVERABLE),
        ("FAILED:no such number", S.UNDELIVERABLE),
        ("REJECTED", S.REJECTED),
        ("NOCRED", S.REJECTED),
        ("ACCEPTED", S.ACCEPTED),
        ("BUFFERD", S.ENROUTE),
        ("BUFFERED", S.ENROUTE),
        ("ACKED", S.ENROUTE),
        ("SCHEDLD", S.SCHEDULED),
        ("SKIPPED", S.SKIPPED),
        ("0", S.UNKNOWN),
        ("?", S.UNKNOWN),
        ("WHATEVER", S.UNKNOWN),
    ],
)
def test_the_words_of_the_field(word, state):
    found = parse_receipt(f"id:1 sub:001 dlvrd:001 stat:{word} err:000")
    assert found.state is state
    assert found.stat == word.strip()
    assert found.err == "000"


@pytest.mark.parametrize(
    "body",
    [
        "id:77 sub:1 dlvrd:1 stat:DELIVRD err:5 text:hi",
        "id:77  sub:1  dlvrd:1  stat:DELIVRD  err:5  text:hi",
        "id:77\tsub:1\tdlvrd:1\tstat:DELIVRD\terr:5\ttext:hi",
        "id:77,sub:1,dlvrd:1,stat:DELIVRD,err:5,text:hi",
        "id:77\r\nsub:1\r\ndlvrd:1\r\nstat:DELIVRD\r\nerr:5\r\ntext:hi",
        "id :77; sub :1; dlvrd :1; stat :DELIVRD; err :5; TEXT :hi\0",
        "id:77 mccmnc:24007 sub:1 dlvrd:1 stat:DELIVRD IMSI:240 err:5 more text:hi",
        "err:5 stat:DELIVRD dlvrd:1 sub:1 id:77 text:hi",
        "id:77 sub:1 dlvrd:1 stat:DELIVRD err:5 text:hi\0",
        "id:77 id:78 sub:1 sub:2 dlvrd:1 stat:DELIVRD stat:EXPIRED err:5 text:hi",
    ],
)
def test_order_separators_and_foreign_keys_do_not_matter(body):
    found = parse_receipt(body)
    assert (found.id, found.sub, found.dlvrd, found.stat, found.err, found.text) == (
        "77",
        1,
        1,
        "DELIVRD",
        "5",
        "hi",
    )


@pytest.mark.parametrize(
    ("body", "message_id"),
    [
        ("id: sub:001 stat:DELIVRD", None),
        ("stat:DELIVRD", None),
        ("mid:5 stat:DELIVRD", None),
        ("id:0x1F stat:DELIVRD", "0x1F"),
        ("id:a-b_c.d:e/f+g= stat:DELIVRD", "a-b_c.d:e/f+g="),
        ("id:6ba7b810-9dad-11d1-80b4-00c04fd430c8 stat:X", "6ba7b810-9dad-11d1-80b4-00c04fd430c8"),
        (f"id:{'9' * 64} stat:X", "9" * 64),
        ("id:77, stat:X", "77"),
    ],
)
def test_ids_of_all_kinds(body, message_id):
    assert parse_receipt(body).id == message_id


@pytest.mark.parametrize(
    ("raw", "wanted"),
    [
        ("2605041015", (2026, 5, 4, 10, 15)),
        ("260504101530", (2026, 5, 4, 10, 15, 30)),
        ("202605041015", (2026, 5, 4, 10, 15)),
        ("20260504101530", (2026, 5, 4, 10, 15, 30)),
        ("260504101530004+", (2026, 5, 4, 9, 15, 30)),
        ("2026-05-04 10:15:30", (2026, 5, 4, 10, 15, 30)),
        ("2026-05-04 10:15", (2026, 5, 4, 10, 15)),
        ("0000000000", None),
        ("000000000000", None),
        ("", None),
        ("rubbish", None),
        ("2613041015", None),
        ("26050410155", None),
        ("２６05041015", None),
        ("00000000000000000R"[-16:], None),
    ],
)
def test_dates_in_every_notation(raw, wanted):
    expected = None if wanted is None else int(datetime(*wanted, tzinfo=UTC).timestamp()) * 1000
    assert date_ms(raw) == expected
    found = parse_receipt(f"id:1 submit_date:{raw} done date:{raw} stat:DELIVRD")
    assert (found.submit_at_ms, found.done_at_ms) == (expected, expected)


def test_the_carriers_offset_applies_unless_the_date_has_its_own():
    two_hours = 7_200_000
    assert date_ms("2605041015", two_hours) == date_ms("2605040815")
    assert date_ms("260504101500000+", two_hours) == date_ms("260504101500")


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("id:1 stat:X text:", ""),
        ("id:1 stat:X", None),
        ("id:1 stat:X Text: a: b, stat:Y", "a: b, stat:Y"),
        ("id:1 text:first\nsecond", "first\nsecond"),
        ("id:1 stat:X text:id:1 stat:DELIVRD", "id:1 stat:DELIVRD"),
    ],
)
def test_the_text_is_everything_behind_its_key(body, text):
    assert parse_receipt(body).text == text


def test_new_keys_alone_behind_text_are_keys():
    found = parse_receipt("id:1 text: stat:DELIVRD err:7 done date:2026-05-04 10:15")
    assert (found.state, found.err, found.text) == (S.DELIVERED, "7", "")
    assert found.done_at_ms == date_ms("2605041015")


@pytest.mark.parametrize(
    ("raw", "number"), [("001", 1), ("...", None), ("", None), ("9" * 50, None), ("1", 1)]
)
def test_counts_are_numbers_or_nothing(raw, number):
    found = parse_receipt(f"id:1 sub:{raw} dlvrd:{raw} stat:DELIVRD")
    assert (found.sub, found.dlvrd) == (number, number)


word = st.text(
    alphabet=st.characters(min_codepoint=33, max_codepoint=126, exclude_characters=":,;"),
    min_size=1,
    max_size=12,
)


@given(
    word,
    st.integers(0, 999),
    st.integers(0, 999),
    word,
    word,
    st.sampled_from(["text", "Text", "TEXT"]),
    word | st.lists(st.sampled_from(["id:", "stat:", "text:", " ", "x", "7"]), max_size=6).map("".join),
)
def test_the_fast_reading_and_the_scan_agree(message_id, sub, dlvrd, stat, err, key, text):
    usual = (
        f"id:{message_id} sub:{sub:03} dlvrd:{dlvrd:03} submit date:2605041015 done date:2605041016 "
        f"stat:{stat} err:{err} {key}:{text}"
    )
    # Two blanks send the same receipt through the scan.
    assert parse_receipt(usual) == parse_receipt(usual.replace(" sub:", "  sub:"))


pieces = st.sampled_from(
    [
        "id:",
        "sub:",
        "dlvrd:",
        "submit date:",
        "done date:",
        "stat:",
        "err:",
        "text:",
        " ",
        "77",
        "DELIVRD",
        "\0",
        ":",
        ",",
    ]
)


@given(st.lists(pieces | st.text(max_size=8), max_size=20).map("".join))
def test_no_text_raises(body):
    explain_receipt(body)


@given(
    st.binary(max_size=120),
    st.integers(0, 255),
    st.integers(0, 255),
    st.lists(st.tuples(st.sampled_from([0x1E, 0x427, 0x423, 0x424]), st.binary(max_size=8)), max_size=4),
)
def test_no_receipt_raises(body, esm_class, data_coding, tlvs):
    read_receipt(deliver(body, esm_class, tlvs, data_coding))


def test_a_hostile_receipt_is_read_in_linear_time():
    assert parse_receipt("text:" * 12_000).id is None
    assert parse_receipt("id:" * 20_000).id is None
    assert parse_receipt("stat:" + " " * 65_000 + "x").stat == "x"
    assert parse_receipt("stat:" + " a" * 32_000).state is S.UNKNOWN


def test_a_receipt_is_explained():
    assert explain_receipt(USUAL.decode()) == {
        "id": "1597639105",
        "sub": 1,
        "dlvrd": 1,
        "submit_date": "2026-05-04T10:15:00",
        "done_date": "2026-05-04T10:16:00",
        "stat": "DELIVRD",
        "state": "DELIVERED",
        "err": "000",
        "text": "Hello",
        "final": True,
    }
