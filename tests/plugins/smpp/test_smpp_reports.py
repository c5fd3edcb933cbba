"""How a channel reads its carrier's receipts: words, states, dates, marks and references."""

import pytest

from stentor.driver import Inbound, Receipt
from stentor.message import Error, Status
from stentor_smpp.config import SMPPConfig
from stentor_smpp.detect import Detector, Ids
from stentor_smpp.fields import DELIVER_SM
from stentor_smpp.matching import Mode
from stentor_smpp.pdu import PDU
from stentor_smpp.receiving import read
from stentor_smpp.reports import Reports, offset_ms
from stentor_smpp.rules import DestinationRule
from tests.plugins.smpp.smpp_submissions import config


def deliver(text=b"", tlvs=(), **fields) -> PDU:
    usual = {
        "service_type": "",
        "source_addr_ton": 1,
        "source_addr_npi": 1,
        "source_addr": "46701234567",
        "dest_addr_ton": 5,
        "dest_addr_npi": 0,
        "destination_addr": "Stentor",
        "esm_class": 4,
        "data_coding": 0,
        "short_message": text,
    }
    return PDU(DELIVER_SM, 0, 7, usual | fields, tlvs)


def report(keys: dict, pdu: PDU) -> Receipt:
    items, unreadable = read([pdu], Reports(config(**keys), Ids(Mode.FOLD)))
    assert unreadable == 0
    (item,) = items
    assert isinstance(item, Receipt)
    return item


STATES = {"MY_WORD": "delivered", "ABSENT": "undelivered", "DELIVRD": "sent", "BLACKLIST": "rejected"}


@pytest.mark.parametrize(
    ("keys", "stat", "tlvs", "status", "code"),
    [
        ({}, "DELIVRD", (), Status.DELIVERED, None),
        ({}, "ACCEPTD", (), Status.SENT, None),
        ({"accepted_means": "delivered"}, "ACCEPTD", (), Status.DELIVERED, None),
        ({"accepted_means": "unknown"}, "ACCEPTED", (), Status.UNKNOWN, "no_receipt"),
        ({"accepted_means": "delivered"}, "", ((0x0427, b"\6"),), Status.DELIVERED, None),
        ({}, "UNKNOWN", (), Status.UNKNOWN, "no_receipt"),
        ({"unknown_means": "sent"}, "UNKNOWN", (), Status.SENT, None),
        ({"unknown_means": "undelivered"}, "WHATEVER", (), Status.UNDELIVERED, "not_delivered"),
        ({"unknown_means": "undelivered"}, "", ((0x0427, b"\7"),), Status.UNDELIVERED, "not_delivered"),
        ({}, "MY_WORD", (), Status.UNKNOWN, "no_receipt"),
        ({"states": STATES}, "MY_WORD", (), Status.DELIVERED, None),
        ({"states": STATES}, "my_word", (), Status.DELIVERED, None),
        ({"states": STATES}, "ABSENT: no paging response", (), Status.UNDELIVERED, "not_delivered"),
        ({"states": STATES}, "BLACKLIST", (), Status.REJECTED, "rejected"),
        ({"states": STATES}, "DELIVRD", (), Status.SENT, None),
        # The TLV says more than the word: it wins, unless all it says is UNKNOWN.
        ({"states": STATES}, "MY_WORD", ((0x0427, b"\7"),), Status.DELIVERED, None),
        ({"states": STATES}, "MY_WORD", ((0x0427, b"\5"),), Status.UNDELIVERED, "not_delivered"),
        ({"states": STATES}, "DELIVRD", ((0x0427, b"\2"),), Status.SENT, None),
        ({}, "DELIVRD", ((0x0427, b"\7"),), Status.UNKNOWN, "no_receipt"),
    ],
)
def test_a_word_and_a_state_mean_what_the_channel_says(keys, stat, tlvs, status, code):
    text = f"id:77a0 stat:{stat} err:9".encode()
    found = report(keys, deliver(text, tlvs))
    assert (found.match_id, found.status) == ("77A0", status)
    assert (found.error.code if found.error else None) == code


def test_an_intermediate_mark_keeps_even_an_own_word_from_ending_the_message():
    found = report({"states": STATES}, deliver(b"id:7 stat:MY_WORD", esm_class=0x20))
    assert (found.status, found.error) == (Status.SENT, None)


def test_the_raw_word_and_the_carriers_code_are_kept():
    found = report({"states": STATES}, deliver(b"id:7 stat:BLACKLIST err:4F2"))
    assert found.error == Error("rejected", "4F2", "BLACKLIST")


@pytest.mark.parametrize(
    ("offset", "expected"),
    [("+00:00", 0), ("+05:30", 19_800_000), ("-04:30", -16_200_000), ("+14:00", 50_400_000)],
)
def test_dates_are_the_carriers_own_time(offset, expected):
    assert offset_ms(offset) == expected
    at_ms = 1_777_889_760_000  # 4 May 2026, 10:16 UTC
    text = b"id:7 submit date:2605041015 done date:2605041016 stat:DELIVRD"
    assert report({"utc_offset": offset}, deliver(text)).done_at_ms == at_ms - expected


TEXT = b"id:77a0 sub:001 dlvrd:001 done date:2605041016 stat:DELIVRD err:000"


@pytest.mark.parametrize(
    ("by_text", "text", "esm_class", "is_receipt"),
    [
        (False, TEXT, 0, False),
        (True, TEXT, 0, True),
        (True, TEXT, 4, True),
        (True, b"Call id:7 now", 0, False),
        (True, b"id:7 stat:DELIVRD", 0, False),
        (True, b"stat:DELIVRD err:000", 0, False),
        (True, b"id:7 err:000", 0, False),
        (True, TEXT, 0x10, False),
        (True, b"", 0, False),
    ],
)
def test_a_receipt_without_a_mark_is_one_only_if_the_channel_says_so_and_the_text_is_whole(
    by_text, text, esm_class, is_receipt
):
    pdu = deliver(text, esm_class=esm_class)
    items, unreadable = read([pdu], Reports(config(receipts_by_text=by_text), Ids(Mode.FOLD)))
    assert unreadable == 0
    assert isinstance(items[0], Receipt) is is_receipt
    assert isinstance(items[0], Inbound) is not is_receipt


@pytest.mark.parametrize(
    ("keys", "fields", "tlvs", "expected"),
    [
        ({}, {}, ((0x0204, b"\x12\x34"),), (None, "")),
        ({"receipts_echo_reference": True}, {}, (), (None, "")),
        ({"receipts_echo_reference": True}, {}, ((0x0204, b"\x12\x34"),), (0x1234, "+46701234567")),
        ({"receipts_echo_reference": True}, {}, ((0x0204, b"\x9a\x12\x34"),), (0x1234, "+46701234567")),
        (
            {
                "receipts_echo_reference": True,
                "destinations": {"+91": DestinationRule(ton=2, strip="+91")},
            },
            {"source_addr_ton": 2, "source_addr": "9812345678"},
            ((0x0204, b"\x12\x34"),),
            (0x1234, "+919812345678"),
        ),
    ],
)
def test_an_echoed_reference_is_told_with_the_destination_it_goes_with(keys, fields, tlvs, expected):
    found = report(keys, deliver(TEXT, tlvs, **fields))
    assert (found.reference, found.to) == expected


def test_a_receipt_of_an_id_read_in_the_dress_just_found_is_read_in_it_at_once():
    ids = Detector()
    for number in range(0xA0B0C0, 0xA0B0D0):
        ids.response_key(f"{number:x}")
    reports = Reports(SMPPConfig(host="h", system_id="s"), ids)
    pdus = [
        deliver(f"id:{number} stat:DELIVRD err:000 sub:1".encode()) for number in range(0xA0B0C0, 0xA0B0E0)
    ]
    items, _ = read(pdus, reports)
    assert [item.match_id for item in items] == [f"{number:X}" for number in range(0xA0B0C0, 0xA0B0E0)]
    assert ids.take_finding().receipts == ()
