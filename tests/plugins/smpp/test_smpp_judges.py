"""Our codec and two of other people's mean the same by the same octets, in both directions, field by field.

Where a judge is narrower than the specification the values stay within what it can say, and the table DISAGREEMENTS
holds what it says differently, each with the section that decides and a test that it still does.
"""

import datetime
import io
from typing import Any

import pytest
from aiosmpplib.codec import GSM7BitCodec, GSM7BitPackedCodec
from aiosmpplib.protocol import SubmitSm
from hypothesis import given, settings
from hypothesis import strategies as st
from smpp.pdu import smpp_time
from smpp.pdu.constants import command_id_name_map, command_status_value_map, tag_name_map
from smpp.pdu.gsm_encoding import UserDataHeaderEncoder
from smpp.pdu.pdu_types import CommandId
from smpplib import gsm as smpplib_gsm
from smpplib.command_codes import commands as smpplib_commands
from smpplib.consts import OPTIONAL_PARAMS

from stentor.text import gsm0338
from stentor_smpp.fields import COMMANDS, LAYOUTS, RESPONSE_BIT, Kind
from stentor_smpp.pdu import PDU, decode, encode
from stentor_smpp.status import lookup
from stentor_smpp.times import AbsoluteTime, RelativeTime, encode_relative, parse_time
from stentor_smpp.tlvs import TLV_TAGS
from stentor_smpp.udh import UserDataHeader, read_udh
from tests.conftest import SCALE
from tests.plugins.smpp.judges import CODINGS, NPIS, STATUSES, TYPES, Judge, Plain, Smpplib, SmppPdu

# TLVs both judges read as they stand: name -> tag and octets, 0 for a C-octet string, None for octets.
# SMPP 3.4 section 5.3.2.
TLVS: dict[str, tuple[int, int | None]] = {
    "receipted_message_id": (0x001E, 0),
    "user_message_reference": (0x0204, 2),
    "source_port": (0x020A, 2),
    "destination_port": (0x020B, 2),
    "sar_msg_ref_num": (0x020C, 2),
    "sar_total_segments": (0x020E, 1),
    "sar_segment_seqnum": (0x020F, 1),
    "sc_interface_version": (0x0210, 1),
    "ms_availability_status": (0x0422, 1),
    "message_payload": (0x0424, None),
    "more_messages_to_send": (0x0426, 1),
    "message_state": (0x0427, 1),
    "privacy_indicator": (0x0201, 1),
    "payload_type": (0x0019, 1),
    "user_response_code": (0x0205, 1),
}
_MESSAGE_TLVS = (
    "user_message_reference", "source_port", "destination_port", "sar_msg_ref_num", "sar_total_segments",
    "sar_segment_seqnum", "message_payload", "privacy_indicator", "payload_type", "more_messages_to_send",
    "user_response_code",
)  # fmt: skip
TLVS_OF = {
    "submit_sm": _MESSAGE_TLVS,
    "deliver_sm": (*_MESSAGE_TLVS, "receipted_message_id", "message_state"),
    "data_sm": (*_MESSAGE_TLVS, "receipted_message_id", "message_state"),
    "alert_notification": ("ms_availability_status",),
    **dict.fromkeys(
        ("bind_transmitter_resp", "bind_receiver_resp", "bind_transceiver_resp"), ("sc_interface_version",)
    ),
}
# Both leave these out or cannot write them: submit_multi, replace_sm, outbind and broadcasts stand in the worked
# examples alone.
ALIKE = (
    "bind_transmitter", "bind_transmitter_resp", "bind_receiver", "bind_receiver_resp", "bind_transceiver",
    "bind_transceiver_resp", "submit_sm", "submit_sm_resp", "deliver_sm", "deliver_sm_resp", "data_sm",
    "data_sm_resp", "query_sm", "query_sm_resp", "alert_notification", "enquire_link", "enquire_link_resp",
    "unbind", "unbind_resp", "generic_nack",
)  # fmt: skip
COMMANDS_OF = {
    "smpplib": ALIKE,
    "smpp.pdu": (*ALIKE, "cancel_sm", "cancel_sm_resp", "outbind", "replace_sm_resp"),
}
JUDGES: dict[str, Judge] = {"smpplib": Smpplib(), "smpp.pdu": SmppPdu()}
# Bodies that stand there only when the operation succeeded (SMPP 3.4 sections 4.1.2, 4.4.2).
WITHOUT_BODY_ON_ERROR = (
    "bind_transmitter_resp",
    "bind_receiver_resp",
    "bind_transceiver_resp",
    "submit_sm_resp",
)

_TIMES = st.sampled_from(
    ["", "000000060000000R", "020610233429000R", "270501093000008+", "260504101600518-", "271231235959000+"]
)
_WORDS: dict[str, st.SearchStrategy[Any]] = {
    **dict.fromkeys(("addr_ton", "source_addr_ton", "dest_addr_ton", "esme_addr_ton"), st.integers(0, 6)),
    **dict.fromkeys(
        ("addr_npi", "source_addr_npi", "dest_addr_npi", "esme_addr_npi"), st.sampled_from(list(NPIS))
    ),
    "esm_class": st.builds(
        lambda *bits: sum(bits),
        st.integers(0, 3),
        st.sampled_from(list(TYPES)),
        st.sampled_from([0, 0x40, 0x80, 0xC0]),
    ),
    "registered_delivery": st.builds(
        lambda *bits: sum(bits), st.integers(0, 2), st.sampled_from([0, 4, 8, 12]), st.sampled_from([0, 0x10])
    ),
    # Bit 3 of the message class group is reserved and dropped by a judge.
    "data_coding": st.sampled_from(list(CODINGS)) | st.integers(0x10, 0xF7),
    "priority_flag": st.integers(0, 3),
    "replace_if_present_flag": st.integers(0, 1),
    "sm_default_msg_id": st.integers(0, 254),
    "message_state": st.integers(1, 8),
    "more_messages_to_send": st.integers(0, 1),
    "privacy_indicator": st.integers(0, 3),
    "payload_type": st.integers(0, 1),
    "ms_availability_status": st.integers(0, 2),
}
"""Numbers that have a word in the specification, for the judge that speaks in words."""


def _texts(longest: int) -> st.SearchStrategy[str]:
    return st.text(st.characters(min_codepoint=1, max_codepoint=0x7F), max_size=longest)


def _field_values(judge: str, command: str) -> st.SearchStrategy[dict[str, Any]]:
    """Fields by the sizes of our layouts, narrowed to what the judge can say."""
    values: dict[str, st.SearchStrategy[Any]] = {}
    for field in LAYOUTS[COMMANDS[command]].fields:
        is_time = field.kind is Kind.TIME or field.name in (
            "validity_period",
            "schedule_delivery_time",
            "final_date",
        )
        if field.name == "message_id" and command == "deliver_sm_resp":
            values[field.name] = st.just("")  # section 4.6.2: unused and set to NULL
        elif field.name == "message_id" and command == "query_sm":
            values[field.name] = _texts(64).filter(bool)
        elif judge == "smpp.pdu" and field.name in _WORDS:
            values[field.name] = _WORDS[field.name]
        elif judge == "smpp.pdu" and command == "deliver_sm" and field.name == "schedule_delivery_time":
            values[field.name] = st.just("")  # section 4.6.1: set to NULL
        elif is_time:
            values[field.name] = _TIMES
        elif field.kind is Kind.INTEGER:
            values[field.name] = st.integers(0, 255)
        elif field.kind is Kind.STRING:
            values[field.name] = _texts(
                min(field.size, DISAGREEMENTS.get((judge, command, field.name), 99)) - 1
            )
        else:
            values[field.name] = st.binary(max_size=254)
    return st.fixed_dictionaries(values)


def _tlv_values(judge: str, command: str, fields: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    values: dict[str, st.SearchStrategy[Any]] = {}
    for name in TLVS_OF.get(command, ()):
        size = TLVS[name][1]
        if (judge, command, name) in ABSENT or (name == "message_payload" and fields.get("short_message")):
            continue
        if judge == "smpp.pdu" and name in _WORDS:
            values[name] = _WORDS[name]
        elif size is None:
            values[name] = st.binary(min_size=1, max_size=300)
        else:
            values[name] = st.integers(0, (1 << 8 * size) - 1) if size else _texts(63).filter(bool)
    required = {"message_payload": values.pop("message_payload")} if command == "data_sm" else {}
    return st.fixed_dictionaries(required, optional=values)


# (judge, command, field) -> octets it allows, NUL included, where the specification allows more.
DISAGREEMENTS: dict[tuple[str, str, str], int] = {
    ("smpplib", "data_sm", "source_addr"): 21,  # SMPP 3.4 section 4.7.1 says 65
    ("smpplib", "data_sm", "destination_addr"): 21,  # likewise
    ("smpplib", "alert_notification", "source_addr"): 21,  # section 4.12.1 says 65
    ("smpplib", "alert_notification", "esme_addr"): 21,  # likewise
}
# (judge, command, TLV) that a judge does not know where the specification lists it, or we send it all the same.
ABSENT = {
    ("smpplib", "deliver_sm", "more_messages_to_send"),  # not in the table of section 4.6.1
    ("smpp.pdu", "deliver_sm", "more_messages_to_send"),
}


@st.composite
def cases(draw: st.DrawFn, judge: str, command: str) -> Plain:
    """A PDU that the judge can say."""
    is_response = bool(COMMANDS[command] & RESPONSE_BIT)
    status = draw(st.sampled_from(STATUSES)) if is_response else 0
    sequence = draw(st.integers(1, 0x7FFFFFFF))
    if status and command in WITHOUT_BODY_ON_ERROR:
        return Plain(command, status, sequence, {}, {})
    fields = draw(_field_values(judge, command))
    return Plain(command, status, sequence, fields, draw(_tlv_values(judge, command, fields)))


def tlv_octets(name: str, value: Any) -> bytes:
    size = TLVS[name][1]
    if size is None:
        return bytes(value)
    return value.to_bytes(size, "big") if size else value.encode("latin-1") + b"\0"


def ours(plain: Plain) -> PDU:
    tlvs = tuple((TLVS[name][0], tlv_octets(name, value)) for name, value in plain.tlvs.items())
    return PDU(COMMANDS[plain.command], plain.status, plain.sequence, dict(plain.fields), tlvs)


def plain(pdu: PDU) -> Plain:
    names = {tag: name for name, (tag, _) in TLVS.items()}
    tlvs: dict[str, Any] = {}
    for tag, octets in pdu.tlvs:
        size = TLVS[names[tag]][1]
        text = octets.rstrip(b"\0").decode("latin-1")
        tlvs[names[tag]] = octets if size is None else int.from_bytes(octets, "big") if size else text
    return Plain(pdu.command, pdu.status, pdu.sequence, pdu.fields, tlvs)


PAIRS = [
    pytest.param(name, command, id=f"{name}-{command}") for name in JUDGES for command in COMMANDS_OF[name]
]
a_few = settings(max_examples=SCALE(gate=30, nightly=1_000, release=10_000))


@pytest.mark.parametrize(("name", "command"), PAIRS)
@a_few
@given(data=st.data())
def test_a_judge_reads_what_we_write(name: str, command: str, data: st.DataObject) -> None:
    case = data.draw(cases(name, command))
    assert JUDGES[name].decode(encode(ours(case))) == case


@pytest.mark.parametrize(("name", "command"), PAIRS)
@a_few
@given(data=st.data())
def test_we_read_what_a_judge_writes(name: str, command: str, data: st.DataObject) -> None:
    case = data.draw(cases(name, command))
    found = decode(JUDGES[name].encode(case))
    assert isinstance(found, PDU), found
    read = plain(found)
    if case.status and not case.fields:
        # SMPP 3.4 section 4.4.2 sends the header alone; smpplib adds an empty string, which says nothing.
        assert not any(read.fields.values())
        read = read._replace(fields={})
    assert read == case


def test_the_judges_know_the_commands_by_our_numbers() -> None:
    theirs = {each.name: number for each in CommandId for number in [command_id_name_map[each.name]]}
    assert {name: COMMANDS[name] for name in theirs} == theirs
    assert {name: COMMANDS[name] for name in smpplib_commands} == smpplib_commands


def test_the_judges_know_the_statuses_by_our_names() -> None:
    for number, row in command_status_value_map.items():
        if number >= 0:
            assert lookup(number).name == row["name"]


def test_the_judges_know_the_tags_by_our_names() -> None:
    for theirs in (tag_name_map, OPTIONAL_PARAMS):
        for name, tag in theirs.items():
            if tag >= 0:
                assert TLV_TAGS[name] == tag


# -- texts -----------------------------------------------------------------------------------------------------

ALPHABET = [character for character in map(chr, range(0x10000)) if gsm0338.is_encodable(character)]
gsm_texts = st.text(st.sampled_from(ALPHABET), max_size=200)


def test_the_gsm_alphabet_has_the_characters_of_a_judge() -> None:
    codec = GSM7BitCodec()
    assert [each for each in map(chr, range(0x10000)) if codec.is_gsm_text(each)] == ALPHABET
    assert [gsm0338.encode(each) for each in ALPHABET] == [codec.encode(each)[0] for each in ALPHABET]


@given(gsm_texts)
def test_gsm_texts_read_alike(text: str) -> None:
    septets = gsm0338.encode(text)
    assert GSM7BitCodec().encode(text)[0] == septets
    assert GSM7BitCodec().decode(septets)[0] == text == gsm0338.decode(septets)


@given(gsm_texts)
def test_packed_texts_read_alike(text: str) -> None:
    septets = gsm0338.encode(text)
    packed = gsm0338.pack(septets)
    assert GSM7BitPackedCodec().encode(text)[0] == packed
    # Seven spare bits of zeros look like an @: the number of septets is not transmitted (TS 23.038 section 6.1.2.3.1).
    assert GSM7BitPackedCodec().decode(packed)[0].removesuffix("@" if len(septets) % 8 == 7 else "") == text


def test_another_alphabet_differs_in_what_it_does_not_know() -> None:
    """smpplib puts a grave accent where it leaves something out, the section sign too (TS 23.038 section 6.2.1)."""
    theirs = {each: smpplib_gsm.GSM_CHARACTER_TABLE.find(each) for each in ALPHABET}
    ours_by_code = {gsm0338.decode(bytes((code,))): code for code in range(0x80) if code != 0x1B}
    differing = {each for each, code in ours_by_code.items() if theirs[each] != code}
    assert differing == {"§"}
    assert smpplib_gsm.gsm_encode("`") == b"\x5f"
    extension = {each for each in ALPHABET if len(gsm0338.encode(each)) == 2} - {"\f"}
    assert all(smpplib_gsm.gsm_encode(each) == gsm0338.encode(each) for each in extension)


# -- headers and times -----------------------------------------------------------------------------------------

_concatenations = st.integers(1, 255).flatmap(
    lambda total: st.tuples(
        st.integers(0, 0xFFFF), st.just(total), st.integers(1, total), st.sampled_from([8, 16])
    )
)


@given(
    _concatenations,
    st.lists(st.tuples(st.sampled_from([0x04, 0x05, 0x24, 0x25]), st.binary(max_size=6)), max_size=3),
)
def test_a_judge_finds_the_same_concatenation(made: tuple[int, ...], others: list[tuple[int, bytes]]) -> None:
    reference, total, number, bits = made
    reference &= (1 << bits) - 1
    element = bytes((0x00 if bits == 8 else 0x08, bits // 8 + 2)) + reference.to_bytes(bits // 8, "big")
    elements = [bytes((tag, len(data))) + data for tag, data in others if data]
    body = b"".join([*elements, element + bytes((total, number))])
    octets = bytes((len(body),)) + body
    header = read_udh(octets + b"text")
    assert isinstance(header, UserDataHeader)
    found = [
        each.data
        for each in UserDataHeaderEncoder().decode(io.BytesIO(octets))
        if "CONCAT" in each.identifier.name
    ]
    assert header.concatenation is not None
    assert [tuple(each) for each in found] == [(reference, total, number)]
    said = header.concatenation
    assert (said.reference, said.total, said.number, said.bits) == (reference, total, number, bits)


moments = st.datetimes(datetime.datetime(2000, 1, 1), datetime.datetime(2037, 12, 31)).map(
    lambda moment: moment.replace(microsecond=moment.microsecond // 100_000 * 100_000)
)


@given(moments, st.integers(0, 48), st.sampled_from("+-"))
def test_absolute_times_mean_the_same_moment(moment: datetime.datetime, quarters: int, sign: str) -> None:
    text = f"{moment:%y%m%d%H%M%S}{moment.microsecond // 100_000}{quarters:02d}{sign}"
    ours_read, theirs = parse_time(text), smpp_time.parse(text)
    assert isinstance(ours_read, AbsoluteTime)
    if theirs.tzinfo is None:
        theirs = theirs.replace(tzinfo=datetime.UTC)
    assert ours_read.at_ms == round(theirs.timestamp() * 1000)


@given(st.tuples(*[st.integers(0, 99)] * 6))
def test_relative_times_mean_the_same_span(spans: tuple[int, ...]) -> None:
    text = "".join(f"{span:02d}" for span in spans) + "000R"
    assert parse_time(text) == RelativeTime(*smpp_time.parse(text)) == RelativeTime(*spans)


@given(st.integers(1, 30 * 86_400 - 1))
def test_a_validity_we_write_is_read_as_so_many_seconds(seconds: int) -> None:
    read = SubmitSm.smpp_time_to_datetime(encode_relative(seconds))
    assert read == datetime.timedelta(seconds=seconds)
