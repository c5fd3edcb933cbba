"""The codec: everything that can be encoded comes back, and everything else is a value with a reaction."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stentor_smpp import fields as f
from stentor_smpp.pdu import (
    PDU,
    EncodeError,
    Limits,
    Malformed,
    Reaction,
    decode,
    encode,
    encode_body,
    encode_tlvs,
)
from tests.plugins.smpp.smpp_strategies import HEX, header, pdus


@given(pdus())
def test_every_pdu_comes_back_from_its_octets(pdu):
    octets = encode(pdu)
    found = decode(octets + b"behind")
    if f.LAYOUTS[pdu.command_id].fields or pdu.tlvs:
        assert found == pdu
    assert isinstance(found, PDU)
    assert encode(found) == octets


@given(pdus(), st.data())
def test_a_pdu_with_changed_octets_is_a_pdu_or_a_reasoned_refusal(pdu, data):
    octets = bytearray(encode(pdu))
    for _ in range(data.draw(st.integers(1, 4))):
        octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
    found = decode(bytes(octets))
    if isinstance(found, Malformed):
        assert 0 <= found.octet <= len(octets)
        assert found.detail
        assert found.describe()


@given(st.binary(max_size=200))
def test_random_octets_never_raise(octets):
    decode(octets)


@given(st.sampled_from(sorted(f.LAYOUTS)), st.binary(max_size=120))
def test_a_random_body_behind_a_good_header_never_raises(command_id, body):
    found = decode(header(command_id, 0, 9, body))
    if isinstance(found, Malformed):
        assert found.reaction in (Reaction.RESPOND, Reaction.IGNORE)
        assert (found.sequence, found.length) == (9, 16 + len(body))


def submit(**changes):
    fields = {"source_addr": "1", "destination_addr": "2", "short_message": b"hello", **changes}
    return encode_body(f.SUBMIT_SM, fields)


TEXT_AT = len(submit()) - 6
BROKEN = [
    ("service_type without end", f.SUBMIT_SM, b"abcdefgh", "submit_sm_resp 0x15", 16),
    ("empty body", f.SUBMIT_SM, b"", "submit_sm_resp 0x15", 16),
    ("nothing behind service_type", f.SUBMIT_SM, b"\0", "submit_sm_resp 0x0a", 17),
    ("source TON alone", f.SUBMIT_SM, b"\0\1", "submit_sm_resp 0x0a", 18),
    ("source too long", f.SUBMIT_SM, b"\0\1\1" + b"4" * 21 + b"\0", "submit_sm_resp 0x0a", 19),
    ("destination without end", f.SUBMIT_SM, b"\0\1\1\0\1\1" + b"46", "submit_sm_resp 0x0b", 22),
    ("body ends at esm_class", f.SUBMIT_SM, b"\0\1\1\0\1\1\0", "submit_sm_resp 0x02", 23),
    ("schedule of 3 characters", f.SUBMIT_SM, b"\0\1\1\0\1\1\0\0\0\0abc\0", "submit_sm_resp 0x61", 26),
    ("validity without end", f.SUBMIT_SM, b"\0\1\1\0\1\1\0\0\0\0\0" + b"0" * 17, "submit_sm_resp 0x62", 27),
    ("no sm_length", f.SUBMIT_SM, submit()[:TEXT_AT], "submit_sm_resp 0x01", 16 + TEXT_AT),
    ("sm_length beyond the end", f.SUBMIT_SM, submit()[:-1], "submit_sm_resp 0x01", 16 + TEXT_AT),
    ("TLV beyond the end", f.SUBMIT_SM, submit() + b"\4\x24\0\2x", "submit_sm_resp 0xc0", 22 + TEXT_AT),
    ("257 TLVs", f.SUBMIT_SM, submit() + b"\x14\0\0\0" * 257, "submit_sm_resp 0xc0", 22 + TEXT_AT + 1024),
    ("same in deliver_sm", f.DELIVER_SM, submit() + b"\4\x24\0\2x", "deliver_sm_resp 0xc0", 22 + TEXT_AT),
    ("no message_payload", f.DATA_SM, encode_body(f.DATA_SM, {}), "data_sm_resp 0xc3", 26),
    ("no destinations", f.SUBMIT_MULTI, b"\0\0\0\0\0", "submit_multi_resp 0x33", 20),
    ("255 destinations", f.SUBMIT_MULTI, b"\0\0\0\0\xff", "submit_multi_resp 0x33", 20),
    ("destinations missing", f.SUBMIT_MULTI, b"\0\0\0\0\2\2a\0", "submit_multi_resp 0x33", 24),
    ("dest_flag 3", f.SUBMIT_MULTI, b"\0\0\0\0\1\3", "submit_multi_resp 0x40", 21),
    ("list name without end", f.SUBMIT_MULTI, b"\0\0\0\0\1\2ab", "submit_multi_resp 0x0b", 22),
    ("system_id too long", f.BIND_TRANSCEIVER, b"x" * 16 + b"\0", "bind_transceiver_resp 0x02", 16),
    ("message_id without end", f.QUERY_SM, b"abc", "query_sm_resp 0x02", 16),
    ("broken outbind", f.OUTBIND, b"abc", "none", 16),
    ("broken alert", f.ALERT_NOTIFICATION, b"\1", "none", 17),
    ("success with a broken body", f.SUBMIT_SM_RESP, b"abc", "none", 16),
    ("message_id of 200 characters", f.SUBMIT_SM_RESP, b"x" * 200 + b"\0", "none", 16),
    ("fewer failures than said", f.SUBMIT_MULTI | f.RESPONSE_BIT, b"\0\2\1\1a\0\0\0\0\1", "none", 26),
    ("unknown request", 0x00010203, b"abc", "generic_nack 0x03", 4),
    ("unknown response", 0x80010203, b"abc", "none", 4),
]


@pytest.mark.parametrize(
    ("command_id", "body", "reaction", "octet"), [pytest.param(*case[1:], id=case[0]) for case in BROKEN]
)
def test_a_broken_body_names_octet_and_reaction(command_id, body, reaction, octet):
    found = decode(header(command_id, 0, 7, body))
    assert isinstance(found, Malformed)
    assert (found.describe(), found.octet) == (reaction, octet)
    assert (found.command_id, found.sequence, found.length) == (command_id, 7, 16 + len(body))


@pytest.mark.parametrize(
    ("octets", "reaction"),
    [
        (b"\0\0\0\x0f" + bytes(12), "generic_nack 0x02, close"),
        (b"\0\0\0\x0f", "generic_nack 0x02, close"),
        (b"\x7f\xff\xff\xff", "generic_nack 0x02, close"),
        (b"\0\1\x11\x71", "generic_nack 0x02, close"),
        (b"\0\1\x11\x70", "need more"),
        (b"GET / HTTP/1.1", "close"),
        (b"POST", "close"),
        (b"SSH-2.0", "close"),
        (b"\x16\x03\x01\x02\x00", "close"),
        (b"", "need more"),
        (b"\0\0\0", "need more"),
    ],
)
def test_a_length_is_judged_as_soon_as_four_octets_are_there(octets, reaction):
    found = decode(octets)
    assert isinstance(found, Malformed)
    assert found.describe() == reaction


def test_a_nack_for_a_bad_length_carries_the_number_when_the_header_is_there():
    found = decode(header(f.SUBMIT_SM, 0, 77)[:3] + b"\x0f" + header(f.SUBMIT_SM, 0, 77)[4:])
    assert isinstance(found, Malformed)
    assert found.sequence == 77


def test_a_limit_of_our_own_is_kept():
    assert isinstance(decode(HEX["E12"], 0, Limits(pdu_octets=68)), Malformed)
    assert isinstance(decode(HEX["E12"], 0, Limits(pdu_octets=69)), PDU)


def test_an_error_response_keeps_its_status_whatever_its_body():
    for body in (b"", b"\0", b"never ends", b"\0\xff\xff\xff\xff\xff"):
        found = decode(header(f.SUBMIT_SM_RESP, 0x58, 7, body))
        assert isinstance(found, PDU)
        assert (found.status, found.sequence) == (0x58, 7)


def test_a_success_without_a_body_is_a_pdu_without_fields():
    assert decode(header(f.SUBMIT_SM_RESP, 0, 7)) == PDU(f.SUBMIT_SM_RESP, 0, 7)


def test_one_to_three_octets_behind_the_last_tlv_are_ignored():
    for count in (1, 2, 3):
        found = decode(header(f.SUBMIT_SM, 0, 7, submit() + bytes(count)))
        assert isinstance(found, PDU)
        assert found.tlvs == ()


def test_a_body_behind_enquire_link_never_matters():
    for command_id in (f.ENQUIRE_LINK, f.UNBIND, f.GENERIC_NACK):
        assert isinstance(decode(header(command_id, 0, 7, b"\xff" * 9)), PDU)


def test_tlvs_keep_their_order_and_every_occurrence():
    tlvs = ((0x1401, b"b"), (0x0427, b""), (0x1401, b"a"), (0xFFFF, bytes(300)))
    found = decode(header(f.SUBMIT_SM, 0, 7, submit() + encode_tlvs(tlvs)))
    assert isinstance(found, PDU)
    assert found.tlvs == tlvs


def test_a_receipt_in_tlvs_needs_no_payload_in_data_sm():
    body = encode_body(f.DATA_SM, {"esm_class": 4}, ((0x001E, b"a\0"), (0x0427, b"\2")))
    assert isinstance(decode(header(f.DATA_SM, 0, 7, body)), PDU)


def test_a_deliver_sm_with_odd_times_is_still_taken():
    octets = header(f.DELIVER_SM, 0, 7, encode_body(f.DELIVER_SM, {"validity_period": "0"}))
    assert isinstance(decode(octets), PDU)


def test_letters_beyond_ascii_survive():
    pdu = PDU(f.SUBMIT_SM, 0, 1, {"source_addr": "Ünit\xff", "destination_addr": "1"})
    found = decode(encode(pdu))
    assert isinstance(found, PDU)
    assert found.fields["source_addr"] == "Ünit\xff"


def test_long_passwords_are_taken_only_when_asked_for():
    pdu = PDU(f.BIND_TRANSCEIVER, 0, 1, {"password": "p" * 9})
    octets = encode(pdu, are_passwords_long=True)
    assert isinstance(decode(octets), Malformed)
    found = decode(octets, 0, Limits(are_passwords_long=True))
    assert isinstance(found, PDU)
    assert found.fields["password"] == "p" * 9
    with pytest.raises(EncodeError):
        encode(pdu)


@pytest.mark.parametrize(
    ("command_id", "fields"),
    [
        (f.SUBMIT_SM, {"source_addr": "x" * 21}),
        (f.SUBMIT_SM, {"source_addr": "a\0b"}),
        (f.SUBMIT_SM, {"source_addr": "Ж"}),
        (f.SUBMIT_SM, {"esm_class": 256}),
        (f.SUBMIT_SM, {"esm_class": -1}),
        (f.SUBMIT_SM, {"esm_class": "4"}),
        (f.SUBMIT_SM, {"esm_class": 4.0}),
        (f.SUBMIT_SM, {"short_message": bytes(256)}),
        (f.SUBMIT_SM, {"validity_period": "12"}),
        (f.SUBMIT_SM, {"no_such_field": 1}),
        (f.SUBMIT_MULTI, {"dest_address": []}),
        (f.SUBMIT_MULTI, {"dest_address": [{"dest_flag": 3}]}),
        (0x00010200, {}),
    ],
)
def test_our_own_values_that_do_not_fit_are_refused(command_id, fields):
    with pytest.raises(EncodeError):
        encode_body(command_id, fields)


def test_a_tlv_too_long_for_its_length_is_refused():
    with pytest.raises(EncodeError):
        encode_tlvs(((0x0424, bytes(65536)),))
