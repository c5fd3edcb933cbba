"""What a submission becomes on the wire, key by key; each expectation is what the codec reads back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stentor.errors import Refusal
from stentor.message import Priority
from stentor.text import gsm0338
from stentor.text.segments import Encoding, split
from stentor_smpp.fields import SUBMIT_SM
from stentor_smpp.pdu import HEADER, HEADER_OCTETS, EncodeError, decode
from stentor_smpp.rules import DestinationRule, OriginatorRule, PriorityFlags, TLVRule
from stentor_smpp.submitting import Packer
from stentor_smpp.times import AbsoluteTime, RelativeTime, parse_time
from stentor_smpp.tlvs import first, first_integer
from tests.plugins.smpp.smpp_submissions import NOW_MS, config, packed, submission

DAY_MS = 86_400_000
UDH8, UDH16 = bytes.fromhex("0500034a0201"), bytes.fromhex("0608041f4a0201")


def test_the_usual_submission():
    pdu = packed({})
    assert pdu.tlvs == ()
    assert pdu.fields == {
        "service_type": "",
        "source_addr_ton": 5,
        "source_addr_npi": 0,
        "source_addr": "Stentor",
        "dest_addr_ton": 1,
        "dest_addr_npi": 1,
        "destination_addr": "46701234567",
        "esm_class": 0,
        "protocol_id": 0,
        "priority_flag": 0,
        "schedule_delivery_time": "",
        "validity_period": "000000010000000R",
        "registered_delivery": 1,
        "replace_if_present_flag": 0,
        "data_coding": 0,
        "sm_default_msg_id": 0,
        "short_message": b"hello",
    }


KEYS = {
    "service_type": "S",
    "number_ton": 2,
    "number_npi": 8,
    "short_code_ton": 6,
    "short_code_npi": 9,
    "short_code_service_type": "SC",
    "name_ton": 0,
    "name_npi": 4,
    "name_service_type": "NAME",
    "empty_ton": 3,
    "empty_npi": 7,
    "originators": {
        "12345": OriginatorRule(ton=0, npi=1, service_type="VMA"),
        "+40211234567": OriginatorRule(npi=0),
        "Bank": OriginatorRule(service_type=""),
    },
}


@pytest.mark.parametrize(
    ("keys", "originator", "expected"),
    [
        ({}, "+46701", None),
        ({}, "+467012345", ("", 1, 1, "467012345")),
        ({}, "12345", ("", 3, 0, "12345")),
        ({}, "Stentor", ("", 5, 0, "Stentor")),
        ({}, "", ("", 0, 0, "")),
        (KEYS, "+467012345", ("S", 2, 8, "467012345")),
        (KEYS, "54321", ("SC", 6, 9, "54321")),
        (KEYS, "Stentor", ("NAME", 0, 4, "Stentor")),
        (KEYS, "", ("S", 3, 7, "")),
        (KEYS, "12345", ("VMA", 0, 1, "12345")),
        (KEYS, "+40211234567", ("S", 2, 0, "40211234567")),
        (KEYS, "Bank", ("", 0, 4, "Bank")),
    ],
)
@pytest.mark.parametrize("more", [{}, {"destinations": {"+1": DestinationRule()}}], ids=["plain", "more"])
def test_each_kind_of_originator_is_announced_as_configured(keys, originator, expected, more):
    if expected is None:
        with pytest.raises(Refusal, match="7 to 15"):
            packed(keys | more, originator=originator)
        return
    fields = packed(keys | more, originator=originator).fields
    names = ("service_type", "source_addr_ton", "source_addr_npi", "source_addr")
    assert tuple(fields[name] for name in names) == expected


INDIA = {
    "destination_ton": 0,
    "destination_npi": 0,
    "destinations": {
        "+91": DestinationRule(ton=2, npi=8, strip="+91"),
        "+9180": DestinationRule(ton=4, strip="+91", add="0"),
        "+1": DestinationRule(strip=""),
    },
}


@pytest.mark.parametrize(
    ("keys", "to", "expected"),
    [
        ({}, "+919812345678", (1, 1, "919812345678")),
        (INDIA, "+46701234567", (0, 0, "46701234567")),
        (INDIA, "+919812345678", (2, 8, "9812345678")),
        (INDIA, "+918012345678", (4, 1, "08012345678")),
        (INDIA, "+12025550123", (1, 1, "+12025550123")),
        ({"destinations": {"+": DestinationRule(ton=0, add="00")}}, "+46701234567", (0, 1, "0046701234567")),
    ],
)
def test_destinations_are_written_by_the_longest_beginning_that_fits(keys, to, expected):
    fields = packed(keys, to=to).fields
    assert (fields["dest_addr_ton"], fields["dest_addr_npi"], fields["destination_addr"]) == expected


@pytest.mark.parametrize(
    ("keys", "changes", "field", "expected"),
    [
        ({"message_mode": "datagram"}, {}, "esm_class", 0x01),
        ({"message_mode": "forward"}, {}, "esm_class", 0x02),
        ({"message_mode": "store_and_forward"}, {"udh": UDH8}, "esm_class", 0x43),
        ({}, {"udh": UDH8}, "esm_class", 0x40),
        ({"protocol_id": 0x7F}, {}, "protocol_id", 0x7F),
        ({"replace_if_present": True}, {}, "replace_if_present_flag", 1),
        ({"registered_delivery": "none"}, {}, "registered_delivery", 0),
        ({"registered_delivery": "failure"}, {}, "registered_delivery", 2),
        ({"registered_delivery": "success"}, {}, "registered_delivery", 3),
        ({"intermediate_receipts": True}, {}, "registered_delivery", 0x11),
        ({"handset_acknowledgement": "delivery"}, {}, "registered_delivery", 0x05),
        ({"handset_acknowledgement": "user"}, {}, "registered_delivery", 0x09),
        ({"handset_acknowledgement": "both", "intermediate_receipts": True}, {}, "registered_delivery", 0x1D),
        ({"handset_acknowledgement": "both"}, {"wants_receipt": False}, "registered_delivery", 0),
        ({}, {"encoding": Encoding.UCS2}, "data_coding", 0x08),
        ({}, {"encoding": Encoding.BINARY}, "data_coding", 0x04),
        ({}, {"flash": True}, "data_coding", 0xF0),
        ({}, {"flash": True, "encoding": Encoding.BINARY}, "data_coding", 0xF4),
        ({}, {"flash": True, "encoding": Encoding.UCS2}, "data_coding", 0x18),
        ({"class_coding": "0x10"}, {}, "data_coding", 0x00),
        ({"class_coding": "0x10"}, {"flash": True}, "data_coding", 0x10),
        ({"class_coding": "0x10"}, {"flash": True, "encoding": Encoding.BINARY}, "data_coding", 0x14),
        ({"class_coding": "0x10"}, {"flash": True, "encoding": Encoding.UCS2}, "data_coding", 0x18),
        ({"message_class": 1}, {}, "data_coding", 0xF1),
        ({"message_class": 2, "class_coding": "0x10"}, {}, "data_coding", 0x12),
        ({"message_class": 3}, {"encoding": Encoding.UCS2}, "data_coding", 0x1B),
        ({"message_class": 1}, {"flash": True}, "data_coding", 0xF0),
        ({"message_class": 0}, {}, "data_coding", 0xF0),
        ({"validity": "none"}, {}, "validity_period", ""),
        ({"validity": "absolute"}, {}, "validity_period", "260504091600000+"),
        ({"validity_longest_s": 600.0}, {}, "validity_period", "000000001000000R"),
        ({"validity_longest_s": 600.0}, {"valid_for_s": 599}, "validity_period", "000000000959000R"),
        ({"validity": "absolute", "validity_longest_s": 60.0}, {}, "validity_period", "260504081700000+"),
        ({}, {"valid_for_s": 6 * 3600}, "validity_period", "000000060000000R"),
        ({}, {"valid_for_s": 100 * 86_400}, "validity_period", "000099000000000R"),
        ({}, {"valid_for_s": 172_799}, "validity_period", "000001235959000R"),
        ({}, {"send_at_ms": NOW_MS + 60_000}, "schedule_delivery_time", ""),
        ({"schedule": "relative"}, {}, "schedule_delivery_time", ""),
        ({"schedule": "relative"}, {"send_at_ms": NOW_MS}, "schedule_delivery_time", ""),
        ({"schedule": "relative"}, {"send_at_ms": NOW_MS + 1}, "schedule_delivery_time", "000000000001000R"),
        (
            {"schedule": "relative"},
            {"send_at_ms": NOW_MS + DAY_MS},
            "schedule_delivery_time",
            "000001000000000R",
        ),
        (
            {"schedule": "relative"},
            {"send_at_ms": NOW_MS + 366 * DAY_MS},
            "schedule_delivery_time",
            "000099000000000R",
        ),
        ({"schedule": "absolute"}, {"send_at_ms": NOW_MS - 1}, "schedule_delivery_time", ""),
        # Seconds are whole, and never too soon.
        ({"schedule": "absolute"}, {"send_at_ms": NOW_MS + 1}, "schedule_delivery_time", "260504081601000+"),
        (
            {"schedule": "absolute"},
            {"send_at_ms": NOW_MS + 60_750},
            "schedule_delivery_time",
            "260504081701000+",
        ),
        # The validity counts from the submission, so it reaches over the time of waiting.
        (
            {"schedule": "relative"},
            {"send_at_ms": NOW_MS + DAY_MS, "valid_for_s": 90_000},
            "validity_period",
            "000001010000000R",
        ),
    ],
)
def test_a_key_becomes_its_field(keys, changes, field, expected):
    assert packed(keys, **changes).fields[field] == expected


@pytest.mark.parametrize(
    ("priority", "flag"),
    [(Priority.URGENT, 3), (Priority.HIGH, 2), (Priority.NORMAL, 1), (Priority.BULK, 0)],
)
def test_priorities_are_mapped_by_their_table_and_are_all_alike_without_one(priority, flag):
    flags = PriorityFlags(urgent=3, high=2, normal=1)
    assert packed({"priority_flags": flags}, priority=priority).fields["priority_flag"] == flag
    assert packed({}, priority=priority).fields["priority_flag"] == 0


def test_one_packer_keeps_apart_what_differs():
    """Everything repeated is remembered, so what was remembered must not leak into a neighbour."""
    packer = Packer(config(priority_flags=PriorityFlags(urgent=3), validity="absolute", schedule="relative"))
    changes = [
        {},
        {"send_at_ms": NOW_MS + DAY_MS},
        {"udh": UDH8},
        {"flash": True},
        {"wants_receipt": False},
        {"priority": Priority.URGENT},
        {"valid_for_s": 7200},
        {"encoding": Encoding.UCS2},
        {"originator": "12345"},
    ]
    first_time = [packer.pack(submission(**each), NOW_MS) for each in changes]
    assert len(set(first_time)) == len(changes)
    assert [packer.pack(submission(**each), NOW_MS) for each in changes] == first_time
    later = [packer.pack(submission(**each), NOW_MS + 1000) for each in changes]
    assert all(before != after for before, after in zip(first_time, later, strict=True))


@given(
    ahead_ms=st.integers(-10_000, 30 * DAY_MS),
    valid_for_s=st.integers(1, 60 * 86_400),
    wall_ms=st.integers(NOW_MS - 10**11, NOW_MS + 3 * 10**11),
    words=st.tuples(*[st.sampled_from(("relative", "absolute"))] * 2),
)
def test_a_carrier_reads_the_time_and_the_validity_that_were_meant(
    ahead_ms: int, valid_for_s: int, wall_ms: int, words: tuple[str, str]
) -> None:
    """Whatever the forms: due when the client said, rounded up to a second, and valid from now for so long."""
    packer = Packer(config(schedule=words[0], validity=words[1]))
    body = packer.pack(submission(send_at_ms=wall_ms + ahead_ms, valid_for_s=valid_for_s), wall_ms)
    pdu = decode(HEADER.pack(HEADER_OCTETS + len(body), SUBMIT_SM, 0, 1) + body)
    read = {}
    for name in ("schedule_delivery_time", "validity_period"):
        match parse_time(pdu.fields[name]):
            case AbsoluteTime() as time:
                read[name] = time.at_ms
            case RelativeTime() as span:
                read[name] = span.after(wall_ms)
    if ahead_ms <= 0:
        assert pdu.fields["schedule_delivery_time"] == ""
    else:
        assert 0 <= read["schedule_delivery_time"] - (wall_ms + ahead_ms) < 1000
    assert -1000 < read["validity_period"] - (wall_ms + valid_for_s * 1000) <= 0


# -- long messages --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("udh", [UDH8, UDH16])
def test_a_header_goes_in_front_of_the_text(udh):
    fields = packed({}, udh=udh, segments=2).fields
    assert fields["short_message"] == udh + b"hello"


@pytest.mark.parametrize(
    ("udh", "text", "esm_class", "sar"),
    [
        (UDH8, b"hello", 0x00, (0x4A, 2, 1)),
        (UDH16, b"hello", 0x00, (0x1F4A, 2, 1)),
        (
            bytes.fromhex("0b 00034a0201 05041583158a"),
            bytes.fromhex("06 05041583158a") + b"hello",
            0x40,
            (0x4A, 2, 1),
        ),
        (bytes.fromhex("06 05041583158a"), bytes.fromhex("06 05041583158a") + b"hello", 0x40, None),
        (bytes.fromhex("0500034a0203"), bytes.fromhex("0500034a0203") + b"hello", 0x40, None),
        (b"", b"hello", 0x00, None),
    ],
)
def test_sar_turns_the_concatenation_into_tlvs_and_leaves_the_rest_of_the_header(udh, text, esm_class, sar):
    pdu = packed({"long_messages": "sar"}, udh=udh)
    assert (pdu.fields["short_message"], pdu.fields["esm_class"]) == (text, esm_class)
    found = tuple(first_integer(pdu.tlvs, tag) for tag in (0x020C, 0x020E, 0x020F))
    assert found == (sar or (None, None, None))


def test_a_peer_without_tlvs_gets_the_header_instead():
    pdu = packed({"long_messages": "sar"}, may_send_tlvs=False, udh=UDH8)
    assert (pdu.fields["short_message"], pdu.fields["esm_class"], pdu.tlvs) == (UDH8 + b"hello", 0x40, ())


@given(st.text("aé€@Ж", min_size=300, max_size=700), st.integers(0, 0xFFFF), st.booleans())
def test_what_sar_sends_joins_to_the_text(text, reference, is_wide):
    encoding = Encoding.GSM7 if gsm0338.is_encodable(text) else Encoding.UCS2
    parts = split(text, encoding, reference, wide_reference=is_wide)
    pdus = [
        packed({"long_messages": "sar"}, encoding=encoding, udh=part.udh, data=part.data, segments=len(parts))
        for part in parts
    ]
    assert [first_integer(pdu.tlvs, 0x020F) for pdu in pdus] == list(range(1, len(parts) + 1))
    assert {first_integer(pdu.tlvs, 0x020C) for pdu in pdus} == {reference & (0xFFFF if is_wide else 0xFF)}
    joined = b"".join(pdu.fields["short_message"] for pdu in pdus)
    assert joined == (gsm0338.encode(text) if encoding is Encoding.GSM7 else text.encode("utf-16-be"))


@pytest.mark.parametrize(
    ("text", "encoding", "octets"),
    [
        ("{long} " * 60, Encoding.GSM7, gsm0338.encode("{long} " * 60)),
        ("Ж" * 100, Encoding.UCS2, b"\4\x16" * 100),
    ],
)
def test_payload_carries_a_long_text_whole(text, encoding, octets):
    pdu = packed({"long_messages": "payload"}, text=text, data=b"", encoding=encoding, segments=3)
    assert pdu.fields["short_message"] == b""
    assert pdu.fields["esm_class"] == 0
    assert pdu.tlvs == ((0x0424, octets),)


def test_payload_carries_binary_data_with_their_header():
    pdu = packed(
        {"long_messages": "payload"},
        udh=b"\x04\x77\x02ab",
        data=bytes(200),
        encoding=Encoding.BINARY,
        segments=2,
    )
    assert pdu.fields["esm_class"] == 0x40
    assert pdu.tlvs == ((0x0424, b"\x04\x77\x02ab" + bytes(200)),)


def test_a_short_text_does_not_need_the_payload():
    pdu = packed({"long_messages": "payload"}, text="@hello", data=b"")
    assert (pdu.fields["short_message"], pdu.tlvs) == (b"\0hello", ())


def test_a_long_text_for_a_peer_without_tlvs_is_refused_in_words():
    with pytest.raises(EncodeError, match="message_payload is needed"):
        packed({"long_messages": "payload"}, may_send_tlvs=False, text="x" * 200, data=b"", segments=2)


# -- TLVs -----------------------------------------------------------------------------------------------------------

DLT = (
    TLVRule(tag="0x1400", value="1101234567890"),
    TLVRule(tag=0x1401, metadata="template", required=True),
    TLVRule(tag="0x1402", type="int2", metadata="campaign", default=7),
    TLVRule(tag="0x1403", type="octets", metadata="blob"),
)


def test_tlvs_come_from_the_configuration_and_from_metadata_in_order():
    metadata = b'{"template": "1107", "campaign": "513", "blob": "00ff", "other": 1.5}'
    pdu = packed({"tlvs": DLT}, metadata=metadata)
    assert pdu.tlvs == (
        (0x1400, b"1101234567890\0"),
        (0x1401, b"1107\0"),
        (0x1402, b"\x02\x01"),
        (0x1403, b"\x00\xff"),
    )
    assert pdu.fields["short_message"] == b"hello"


def test_a_missing_key_takes_the_default_or_leaves_the_tlv_out():
    pdu = packed({"tlvs": DLT}, metadata=b'{"template": 1107, "blob": null}')
    assert pdu.tlvs == ((0x1400, b"1101234567890\0"), (0x1401, b"1107\0"), (0x1402, b"\x00\x07"))


@pytest.mark.parametrize(
    ("metadata", "sentence"),
    [
        (None, 'metadata "template" is missing: the carrier wants it as TLV 0x1401'),
        (b"{}", 'metadata "template" is missing: the carrier wants it as TLV 0x1401'),
        (b'{"template": "t", "campaign": 65536}', 'metadata "campaign" must be a number from 0 to 65535'),
        (b'{"template": "t", "campaign": -1}', 'metadata "campaign" must be a number from 0 to 65535'),
        (b'{"template": "t", "campaign": true}', 'metadata "campaign" must be a text or a whole number'),
        (b'{"template": ["t"]}', 'metadata "template" must be a text or a whole number'),
        (b'{"template": "\\u0416"}', 'metadata "template" must be ASCII without NUL'),
        (b'{"template": "t", "blob": "0g"}', 'metadata "blob" must be octets in hexadecimal'),
    ],
)
def test_metadata_that_will_not_do_refuses_the_message_and_names_the_key(metadata, sentence):
    with pytest.raises(Refusal) as caught:
        packed({"tlvs": DLT}, metadata=metadata)
    assert caught.value.code == "bad_request"
    assert caught.value.detail.startswith(sentence)


def test_a_known_tag_keeps_to_its_size():
    rule = TLVRule(tag="source_port", type="int2", metadata="port")
    assert packed({"tlvs": (rule,)}, metadata=b'{"port": 5060}').tlvs == ((0x020A, b"\x13\xc4"),)
    rule = TLVRule(tag="source_port", type="octets", metadata="port")
    with pytest.raises(Refusal, match="must be 2 octets, not 3"):
        packed({"tlvs": (rule,)}, metadata=b'{"port": "aabbcc"}')


def test_a_peer_without_tlvs_gets_none_of_them():
    keys = {"tlvs": DLT, "user_message_reference": True}
    assert packed(keys, may_send_tlvs=False, metadata=None).tlvs == ()


def test_the_reference_is_the_submissions_own():
    pdu = packed({"user_message_reference": True})
    assert first(pdu.tlvs, 0x0204) == submission().reference.to_bytes(2, "big")
