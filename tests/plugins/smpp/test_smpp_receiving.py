"""What an SMSC's requests become: messages, and parts of messages however they are said to be parts."""

from collections.abc import Sequence

import pytest

from stentor.driver import Inbound, Part
from stentor.settling.joining import join
from stentor.text import gsm0338
from stentor.text.segments import Encoding
from stentor_smpp.detect import Ids
from stentor_smpp.fields import DATA_SM, DELIVER_SM
from stentor_smpp.matching import Mode
from stentor_smpp.pdu import PDU, decode
from stentor_smpp.receiving import read
from stentor_smpp.reports import Reports
from stentor_smpp.tlvs import TLV
from tests.plugins.smpp.smpp_strategies import HEX
from tests.plugins.smpp.smpp_submissions import config

UDHI = 0x40
EIGHT, SIXTEEN = 8 << 16, 16 << 16
"""References of 8 and of 16 bits are told apart."""


def deliver(octets: bytes, esm_class: int = 0, data_coding: int = 0, tlvs: Sequence[TLV] = ()) -> PDU:
    fields = {
        "source_addr_ton": 1, "source_addr": "46701111111", "dest_addr_ton": 0, "destination_addr": "12345",
        "esm_class": esm_class, "data_coding": data_coding, "short_message": octets,
    }  # fmt: skip
    return PDU(DELIVER_SM, 0, 1, fields, tuple(tlvs))


def inbound(pdu: PDU) -> Inbound:
    (item,), _ = read([pdu], Reports(config(), Ids(Mode.FOLD)))
    assert isinstance(item, Inbound)
    return item


def sar(reference: int, total: int, number: int) -> list[TLV]:
    return [
        (0x20C, reference.to_bytes(2, "big")), (0x20E, bytes((total,))), (0x20F, bytes((number,)))
    ]  # fmt: skip


def test_a_message_of_one_part_is_its_text():
    item = inbound(deliver(b"hello"))
    assert item == Inbound("+46701111111", "12345", "hello", Encoding.GSM7)


@pytest.mark.parametrize(
    ("pdu", "part"),
    [
        (deliver(bytes.fromhex("0500035c0201") + b"x", UDHI), Part(EIGHT | 0x5C, 2, 1)),
        (deliver(bytes.fromhex("060804a1b20301") + b"x", UDHI), Part(SIXTEEN | 0xA1B2, 3, 1)),
        (deliver(bytes.fromhex("0b050423f00b84") + bytes.fromhex("0003110202") + b"x", UDHI), Part(EIGHT | 0x11, 2, 2)),
        (deliver(b"x", tlvs=sar(0x0A0B, 2, 2)), Part(SIXTEEN | 0x0A0B, 2, 2)),
        (deliver(b"", UDHI, tlvs=[(0x424, bytes.fromhex("0500035c0202") + b"x")]), Part(EIGHT | 0x5C, 2, 2)),
        (deliver(bytes.fromhex("0500035c0101") + b"x", UDHI), Part(EIGHT | 0x5C, 1, 1)),
    ],
    ids=["8 bits", "16 bits", "with ports", "SAR", "in message_payload", "the only one"],
)  # fmt: skip
def test_a_part_is_known_however_it_is_said(pdu: PDU, part: Part):
    item = inbound(pdu)
    assert (item.part, item.text, item.data, item.encoding) == (part, None, b"x", Encoding.GSM7)


def test_a_data_sm_brings_parts_too():
    pdu = PDU(
        DATA_SM,
        0,
        1,
        {name: value for name, value in deliver(b"", UDHI).fields.items() if name != "short_message"},
        ((0x424, bytes.fromhex("050003010202") + b"y"),),
    )
    assert (inbound(pdu).part, inbound(pdu).data) == (Part(EIGHT | 1, 2, 2), b"y")


def test_a_worked_example():
    pdu = decode(HEX["E32"])
    assert isinstance(pdu, PDU)
    item = inbound(pdu)
    assert (item.part, item.encoding) == (Part(EIGHT | 0x1F, 2, 2), Encoding.UCS2)
    assert item.data == "да".encode("utf-16-be")


@pytest.mark.parametrize("header", ["0500035c0200", "0500035c0203", "0500035c0001", "0400025c02"])
def test_a_concatenation_that_cannot_be_leaves_a_message_of_its_own(header: str):
    item = inbound(deliver(bytes.fromhex(header) + b"x", UDHI))
    assert item.part is None
    assert item.text is not None


@pytest.mark.parametrize("octets", [b"", b"\x09\x00\x03\x01", b"\x05\x00\x09\x01\x02\x01x"])
def test_a_broken_header_is_binary_as_it_stands(octets: bytes):
    item = inbound(deliver(octets, UDHI, 8))
    assert (item.part, item.text, item.data, item.encoding) == (None, None, octets, Encoding.BINARY)


@pytest.mark.parametrize(
    ("data_coding", "octets", "text", "data", "encoding"),
    [
        (3, b"\xe9", "é", None, Encoding.GSM7),
        (4, b"\xe9", None, b"\xe9", Encoding.BINARY),
        (8, b"\xd8\x3d", None, b"\xd8\x3d", Encoding.UCS2),
        (0, b"\x1b", None, b"\x1b", Encoding.GSM7),
    ],
)
def test_only_what_may_be_cut_is_left_to_the_engine(
    data_coding: int, octets: bytes, text: str | None, data: bytes | None, encoding: Encoding
):
    item = inbound(deliver(bytes.fromhex("0500035c0201") + octets, UDHI, data_coding))
    assert (item.text, item.data, item.encoding) == (text, data, encoding)


def test_a_part_in_a_national_table_is_read_here():
    item = inbound(deliver(bytes.fromhex("080003050201240103") + b"x", UDHI))
    assert (item.part, item.text) == (Part(EIGHT | 5, 2, 1), "x")


@pytest.mark.parametrize(
    ("data_coding", "octets", "at", "text"),
    [(8, "a😀b".encode("utf-16-be"), 4, "a😀b"), (0, gsm0338.encode("[€]"), 3, "[€]")],
    ids=["surrogate pair", "escape"],
)
def test_a_character_cut_between_two_parts_is_whole_again(
    data_coding: int, octets: bytes, at: int, text: str
):
    items = [
        inbound(deliver(bytes((5, 0, 3, 1, 2, number)) + piece, UDHI, data_coding))
        for number, piece in enumerate((octets[:at], octets[at:]), 1)
    ]
    assert join(items, 2).text == text
