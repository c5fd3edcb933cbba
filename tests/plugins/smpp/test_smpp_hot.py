"""The fast paths equal the generic codec on what they accept, and say None for the rest."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stentor_smpp import hot
from stentor_smpp.fields import DELIVER_SM, DELIVER_SM_RESP, SUBMIT_SM, SUBMIT_SM_RESP
from stentor_smpp.pdu import PDU, EncodeError, decode, encode, encode_body, encode_tlvs
from tests.plugins.smpp.smpp_strategies import HEX, pdus, tlv_lists


@given(pdus((SUBMIT_SM,)))
def test_a_packed_submit_sm_is_that_of_the_codec(pdu):
    fields = pdu.fields
    head = hot.submit_head(
        fields["service_type"],
        fields["source_addr_ton"],
        fields["source_addr_npi"],
        fields["source_addr"],
        fields["dest_addr_ton"],
        fields["dest_addr_npi"],
    )
    tail = hot.submit_tail(
        fields["esm_class"],
        fields["data_coding"],
        fields["registered_delivery"],
        fields["validity_period"],
        fields["schedule_delivery_time"],
        fields["protocol_id"],
        fields["priority_flag"],
        fields["replace_if_present_flag"],
        fields["sm_default_msg_id"],
    )
    packed = hot.pack_submit_sm(
        head, fields["destination_addr"], tail, fields["short_message"], encode_tlvs(pdu.tlvs)
    )
    assert packed == encode_body(SUBMIT_SM, fields, pdu.tlvs)


@given(pdus((SUBMIT_SM, DELIVER_SM)), st.binary(max_size=30), st.binary(max_size=30))
def test_a_message_is_read_like_the_codec_reads_it_wherever_it_stands(pdu, before, behind):
    octets = before + encode(pdu) + behind
    end = len(octets) - len(behind)
    found = hot.parse_message(octets, len(before), end, pdu.command_id, 0, pdu.sequence)
    if pdu.fields["validity_period"] or pdu.fields["schedule_delivery_time"]:
        assert found is None
    else:
        assert found == pdu


@given(pdus((SUBMIT_SM, DELIVER_SM)), st.binary(max_size=40), st.data())
def test_a_damaged_message_is_read_like_the_codec_reads_it_or_not_at_all(pdu, behind, data):
    octets = bytearray(encode(pdu))
    for _ in range(data.draw(st.integers(0, 3))):
        octets[data.draw(st.integers(16, len(octets) - 1))] = data.draw(st.integers(0, 255))
    size = data.draw(st.integers(16, len(octets)))
    octets[:4] = size.to_bytes(4, "big")
    whole = bytes(octets[:size])
    found = hot.parse_message(whole + behind, 0, size, pdu.command_id, 0, pdu.sequence)
    if found is not None:
        assert found == decode(whole)


@pytest.mark.parametrize("example", ["E12", "E31", "E34"])
def test_a_message_cut_short_at_any_octet_is_left_to_the_codec(example):
    octets = HEX[example]
    text_end = len(octets) if example != "E34" else octets.index(b"\x00\x1e\x00\x09")
    for size in range(16, text_end):
        assert hot.parse_message(octets[:size], 0, size, DELIVER_SM, 0, 1) is None


@given(st.binary(max_size=80), st.integers(0, 0xFFFFFFFF), st.integers(0, 0xFFFFFFFF), tlv_lists)
def test_a_response_is_read_like_the_codec_reads_it_or_not_at_all(body, status, sequence, tlvs):
    octets = (
        (16 + len(body)).to_bytes(4, "big")
        + SUBMIT_SM_RESP.to_bytes(4, "big")
        + status.to_bytes(4, "big")
        + sequence.to_bytes(4, "big")
        + body
    )
    found = hot.parse_submit_sm_resp(octets + b"\0behind\0", 0, len(octets))
    assert found[:2] == (status, sequence)
    if found[2] is not None:
        assert decode(octets) == PDU(SUBMIT_SM_RESP, status, sequence, {"message_id": found[2]})


def test_the_usual_response_takes_the_fast_path():
    octets = encode(PDU(SUBMIT_SM_RESP, 0, 5, {"message_id": "5f3a09c1"}))
    assert hot.parse_submit_sm_resp(octets, 0, len(octets)) == (0, 5, "5f3a09c1")


@given(st.integers(0, 0xFFFFFFFF))
def test_a_prepacked_deliver_sm_resp_is_that_of_the_codec(sequence):
    assert hot.pack_deliver_sm_resp(sequence) == encode(PDU(DELIVER_SM_RESP, 0, sequence, {"message_id": ""}))


@pytest.mark.parametrize(
    ("destination", "text"), [("4" * 21, b""), ("46\0", b""), ("Ж", b""), ("46", bytes(256))]
)
def test_a_destination_or_text_that_does_not_fit_is_refused(destination, text):
    with pytest.raises(EncodeError):
        hot.pack_submit_sm(hot.submit_head("", 0, 0, "", 1, 1), destination, hot.submit_tail(), text)


def test_constant_parts_that_do_not_fit_are_refused():
    with pytest.raises(EncodeError):
        hot.submit_head("", 256, 0, "", 1, 1)
    with pytest.raises(EncodeError):
        hot.submit_head("", 0, 0, "x" * 21, 1, 1)
    with pytest.raises(EncodeError):
        hot.submit_tail(validity_period="1h")
