"""The fast paths equal the generic codec on what they accept, and say None for the rest."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stentor_smpp import hot
from stentor_smpp.config import SMPPConfig
from stentor_smpp.detect import Ids
from stentor_smpp.dlr import read_receipt
from stentor_smpp.fields import DELIVER_SM, DELIVER_SM_RESP, SUBMIT_SM, SUBMIT_SM_RESP
from stentor_smpp.matching import Mode
from stentor_smpp.pdu import PDU, EncodeError, decode, encode, encode_body, encode_tlvs
from stentor_smpp.receiving import read
from stentor_smpp.reports import Reports
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


# -- receipts -------------------------------------------------------------------------------------------------------

_WORD = st.sampled_from(("DELIVRD", "UNDELIV", "EXPIRED", "ENROUTE", "ACCEPTD", "Failed", "nonsense"))
_USUAL_TEXTS = st.builds(
    "id:{} sub:{} dlvrd:{} submit date:{} done date:{} stat:{} err:{}{}".format,
    st.text("0123456789abcdefABC-", min_size=1, max_size=30),
    st.sampled_from(("001", "1", "0")),
    st.sampled_from(("001", "000")),
    st.sampled_from(("2611220701", "261122070155", "1")),
    st.sampled_from(("2611220701", "261122070155", "20261122070155", "9999999999", "7")),
    _WORD,
    st.sampled_from(("000", "1A", "", "069")),
    st.sampled_from(("", " text:", " Text:Hello id:9", " text:\xe9\x00")),
)
_ANY_TEXTS = st.one_of(_USUAL_TEXTS, st.text(st.characters(max_codepoint=255), max_size=120))


def _receipt_pdu(text, changes):
    fields = {
        "service_type": "",
        "source_addr_ton": 1,
        "source_addr_npi": 1,
        "source_addr": "46701234567",
        "dest_addr_ton": 5,
        "dest_addr_npi": 0,
        "destination_addr": "Stentor",
        "esm_class": 4,
        "protocol_id": 0,
        "priority_flag": 0,
        "schedule_delivery_time": "",
        "validity_period": "",
        "registered_delivery": 0,
        "replace_if_present_flag": 0,
        "data_coding": 0,
        "sm_default_msg_id": 0,
        "short_message": text.encode("latin-1"),
    }
    return PDU(DELIVER_SM, 0, 77, fields | changes)


_CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "esm_class": st.sampled_from((0, 4, 5, 7, 8, 0x20, 0x24, 0x44, 0x84)),
        "data_coding": st.sampled_from((0, 1, 3, 8, 0xF0, 4)),
        "service_type": st.sampled_from(("CMT", "WAP")),
        "source_addr": st.sampled_from(("", "1", "12345678901234567890")),
        "validity_period": st.sampled_from(("", "000000010000000R")),
        "protocol_id": st.integers(0, 255),
    },
)


_CONFIGS = (
    SMPPConfig(host="h", system_id="s"),
    SMPPConfig(
        host="h",
        system_id="s",
        states={"nonsense": "rejected", "DELIVRD": "sent", "Failed": "expired"},
        accepted_means="delivered",
        unknown_means="undelivered",
        utc_offset="-04:30",
        receipts_by_text=True,
    ),
    SMPPConfig(host="h", system_id="s", accepted_means="unknown", unknown_means="sent", utc_offset="+05:45"),
)


@given(
    _ANY_TEXTS,
    _CHANGES,
    st.binary(max_size=30),
    st.binary(max_size=30),
    st.sampled_from(Mode),
    st.sampled_from(_CONFIGS),
)
def test_a_usual_receipt_says_what_the_pdu_says_wherever_it_stands(
    text, changes, before, behind, mode, config
):
    pdu = _receipt_pdu(text, changes)
    octets = before + encode(pdu) + behind
    found = hot.parse_usual_receipt(octets, len(before), len(octets) - len(behind), 77)
    if found is None:
        return
    reports = Reports(config, Ids(mode))
    assert reports.usual([found]) == read([pdu], reports)
    assert found.id.decode("latin-1") == read_receipt(pdu).id


@given(_USUAL_TEXTS, st.sampled_from((0, 1, 3)), st.sampled_from((4, 5, 7)))
def test_receipts_of_the_usual_shape_go_the_fast_way(text, data_coding, esm_class):
    octets = encode(_receipt_pdu(text, {"esm_class": esm_class, "data_coding": data_coding}))
    assert hot.parse_usual_receipt(octets, 0, len(octets), 77) is not None


@given(_USUAL_TEXTS, st.data())
def test_a_damaged_receipt_never_passes_for_a_usual_one_of_another_meaning(text, data):
    octets = bytearray(encode(_receipt_pdu(text, {})))
    for _ in range(data.draw(st.integers(1, 3))):
        octets[data.draw(st.integers(16, len(octets) - 1))] = data.draw(st.integers(0, 255))
    whole = bytes(octets)
    found = hot.parse_usual_receipt(whole, 0, len(whole), 77)
    if found is None:
        return
    pdu = decode(whole)
    assert isinstance(pdu, PDU)
    reports = Reports(_CONFIGS[0], Ids(Mode.EXACT))
    assert reports.usual([found]) == read([pdu], reports)


def test_a_receipt_with_tlvs_goes_the_way_of_the_codec():
    pdu = _receipt_pdu(
        "id:1 sub:001 dlvrd:001 submit date:2611220701 done date:2611220701 stat:DELIVRD err:000", {}
    )
    octets = encode(PDU(DELIVER_SM, 0, 77, pdu.fields, ((0x1E, b"1\0"),)))
    assert hot.parse_usual_receipt(octets, 0, len(octets), 77) is None
