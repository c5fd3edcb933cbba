"""What a submit must be, and what becomes of it: fields, limits, codes, places."""

from base64 import b64encode
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stentor.errors import Refusal
from stentor.message import Delivery, Direction, Message, Priority, Status
from stentor.routing.admission import (
    MAX_AHEAD_MS,
    MAX_DESTINATIONS,
    MAX_VALID_FOR_S,
    Policy,
    References,
    Submit,
    admit,
    each_destination,
    parse_validity_s,
)
from stentor.routing.routes import ChannelDefaults, RouteTable, Rule
from stentor.text.coding import Alphabet, Coding
from stentor.text.languages import Language
from stentor.text.segments import Encoding

NOW_MS = 1_800_000_000_000
TO = "+40712345678"
ROUTES = RouteTable(
    [Rule(("a",), ("+40",)), Rule(("b",), ("+36",), "Rule")],
    {"a": ChannelDefaults("Chan", 3600), "b": ChannelDefaults()},
)


def submit(**fields: Any) -> Submit:
    return msgspec.json.decode(msgspec.json.encode({"to": TO, **fields}), type=Submit)


def admitted(references: References | None = None, **fields: Any) -> Message:
    policy = Policy("acme", 7200)
    return admit(submit(**fields), policy, ROUTES, NOW_MS, 256, 5, references or References(0))


def at(offset_ms: int) -> str:
    return (datetime.fromtimestamp(NOW_MS / 1000, UTC) + timedelta(milliseconds=offset_ms)).isoformat()


def test_a_plain_submit_gets_every_default():
    assert admitted(text="hello") == Message(
        key=256,
        tail=5,
        account="acme",
        to=TO,
        originator="Chan",
        text="hello",
        encoding=Encoding.GSM7,
        segments=1,
        submitted_at_ms=NOW_MS,
        due_at_ms=NOW_MS,
        expires_at_ms=NOW_MS + 3_600_000,
        route=("a",),
        channel="a",
    )


def test_every_field_arrives_in_the_message():
    message = admitted(
        text="x",
        flash=True,
        max_segments=1,
        priority="urgent",
        channel="b",
        send_at=at(60_000),
        valid_for="10m",
        encoding="ucs2",
        receipt=False,
        delivery="at_most_once",
        ref="order 7",
        metadata={"a": [1, 2.50]},
        **{"from": "Shop"},
    )
    assert (message.originator, message.route, message.encoding) == ("Shop", ("b",), Encoding.UCS2)
    assert (message.priority, message.delivery, message.flash) == (
        Priority.URGENT,
        Delivery.AT_MOST_ONCE,
        True,
    )
    assert (message.wants_receipt, message.ref, message.metadata) == (False, "order 7", b'{"a":[1,2.5]}')
    assert (message.status, message.direction) == (Status.SCHEDULED, Direction.MT)
    assert message.send_at_ms == message.due_at_ms == NOW_MS + 60_000
    assert message.expires_at_ms == NOW_MS + 660_000


@pytest.mark.parametrize(
    ("fields", "code", "path"),
    [
        ({"text": "x", "to": "40712345678"}, "bad_destination", "$.to"),
        ({"text": "x", "to": "+49301234567"}, "no_route", "$.to"),
        ({"text": "x", "from": "much too long a name"}, "bad_originator", "$.from"),
        ({"text": "x", "from": ""}, "bad_originator", "$.from"),
        ({"text": "x", "channel": "nosuch"}, "unknown_channel", "$.channel"),
        ({}, "no_content", "$.text"),
        ({"text": ""}, "no_content", "$.text"),
        ({"data": ""}, "no_content", "$.data"),
        ({"text": "x", "data": "AA=="}, "bad_data", "$.data"),
        ({"text": "x", "udh": "AA=="}, "bad_data", "$.udh"),
        ({"data": "AA==", "encoding": "ucs2"}, "bad_data", "$.encoding"),
        ({"data": "AA==", "udh": ""}, "bad_data", "$.udh"),
        ({"data": "AA==", "udh": b64encode(b"\x05\x01").decode()}, "bad_data", "$.udh"),
        ({"text": "a" * 161, "max_segments": 1}, "too_long", "$.text"),
        ({"text": "a" * 1531}, "too_long", "$.text"),
        ({"text": "a" * 100_000, "max_segments": 255}, "too_long", "$.text"),
        ({"data": b64encode(bytes(141)).decode(), "max_segments": 1}, "too_long", "$.data"),
        ({"data": b64encode(bytes(40_000)).decode(), "max_segments": 255}, "too_long", "$.data"),
        ({"text": "Привет", "encoding": "gsm7"}, "not_gsm7", "$.text"),
        ({"text": "x", "valid_for": 0}, "bad_valid_for", "$.valid_for"),
        ({"text": "x", "valid_for": "soon"}, "bad_valid_for", "$.valid_for"),
        ({"text": "x", "valid_for": MAX_VALID_FOR_S + 1}, "bad_valid_for", "$.valid_for"),
        ({"text": "x", "send_at": at(MAX_AHEAD_MS + 1000)}, "bad_send_at", "$.send_at"),
        ({"text": "x", "ref": "a\nb"}, "bad_ref", "$.ref"),
        ({"text": "x", "metadata": [1]}, "bad_metadata", "$.metadata"),
        ({"text": "x", "metadata": {"a": "x" * 1024}}, "bad_metadata", "$.metadata"),
    ],
)
def test_what_cannot_be_sent_is_refused_with_code_and_place(fields: dict[str, Any], code: str, path: str):
    with pytest.raises(Refusal) as refused:
        admitted(**fields)
    assert (refused.value.code, refused.value.path, refused.value.status) == (code, path, 422)


@pytest.mark.parametrize("offset_ms", [-10, -(10**11), 0])
def test_what_was_to_be_sent_in_the_past_is_sent_now(offset_ms: int):
    message = admitted(text="x", send_at=at(offset_ms))
    assert (message.status, message.due_at_ms, message.send_at_ms) == (Status.QUEUED, NOW_MS, NOW_MS)


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_the_ends_of_the_calendar_do_no_harm(moment: str):
    if moment.startswith("0"):
        assert admitted(text="x", send_at=moment).status is Status.QUEUED
    else:
        with pytest.raises(Refusal):
            admitted(text="x", send_at=moment)


@pytest.mark.parametrize(
    "fields",
    [
        {"send_at": "2027-01-15T08:00:00"},
        {"send_at": "tomorrow"},
        {"max_segments": 0},
        {"max_segments": 256},
        {"priority": "highest"},
        {"delivery": "exactly_once"},
        {"encoding": "latin1"},
        {"ref": "x" * 65},
        {"data": "!"},
        {"to": 40712345678},
        {"account": "other"},
        {"valid_for": 1.5},
    ],
)
def test_a_field_of_a_wrong_form_or_name_is_no_submit(fields: dict[str, Any]):
    with pytest.raises(msgspec.ValidationError):
        submit(text="x", **fields)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(1, 1), ("90", 90), ("30s", 30), ("10m", 600), ("48h", 172_800), ("2d", 172_800), ("1w", 604_800)],
)
def test_a_validity_is_seconds_or_a_text_with_a_unit(value: int | str, seconds: int):
    assert parse_validity_s(value) == seconds


@pytest.mark.parametrize("value", ["", "m", "1.5h", "-5", " 5", "5 m", "٣m", "1h30m", "9" * 40, -1, 10**30])
def test_a_validity_of_another_form_is_refused(value: int | str):
    with pytest.raises(Refusal):
        parse_validity_s(value)


def test_a_validity_counts_from_when_the_message_is_to_be_sent():
    message = admitted(text="x", send_at=at(86_400_000), valid_for=60)
    assert message.expires_at_ms == NOW_MS + 86_460_000


def test_the_validity_of_the_channel_comes_before_that_of_the_account():
    assert admitted(text="x").expires_at_ms == NOW_MS + 3_600_000
    assert admitted(text="x", to="+36301234567").expires_at_ms == NOW_MS + 7_200_000
    assert admitted(text="x", to="+36301234567").originator == "Rule"


def test_transliterated_text_is_stored_as_it_will_be_sent():
    message = admitted(text="“quoted”", transliterate=True)
    assert (message.text, message.encoding) == ('"quoted"', Encoding.GSM7)
    assert admitted(text="“quoted”").encoding is Encoding.UCS2
    assert admitted(text="“quoted”", transliterate=True, encoding="ucs2").text == "“quoted”"
    assert admitted(text="“Привет”", transliterate=True).text == "“Привет”"


def test_data_are_sent_as_they_are_with_their_header():
    message = admitted(data="3q2+7w==", udh=b64encode(b"\x06\x05\x04\x0b\x84\x23\xf0").decode())
    assert (message.text, message.data, message.udh) == (
        None,
        b"\xde\xad\xbe\xef",
        b"\x06\x05\x04\x0b\x84\x23\xf0",
    )
    assert (message.encoding, message.segments) == (Encoding.BINARY, 1)


def test_only_long_messages_use_up_references():
    references = References(9)
    assert admitted(references, text="short").reference == 0
    assert admitted(references, text="a" * 161).reference == 10
    assert admitted(references, text="a" * 161).reference == 11


def test_metadata_that_are_null_are_none():
    assert admitted(text="x", metadata=None).metadata is None


def test_metadata_keep_the_form_of_their_numbers_and_lose_their_line_ends():
    metadata = b'{ "n" : 1.10,\r\n "big": 123456789012345678901234567890 }'
    raw = b'{"to":"+40712345678","text":"x","metadata":%b}' % metadata
    made = msgspec.json.decode(raw, type=Submit)
    message = admit(made, Policy(), ROUTES, NOW_MS, 256, 5, References(0))
    assert message.metadata == b'{"n":1.10,"big":123456789012345678901234567890}'


CODED = RouteTable(
    [Rule(("wide", "turkish"), ("+1",)), Rule(("turkish",), ("+9",)), Rule(("ascii",))],
    {
        "wide": ChannelDefaults(coding=Coding(wide_reference=True)),
        "turkish": ChannelDefaults(coding=Coding(languages=(Language.TURKISH,))),
        "ascii": ChannelDefaults(coding=Coding(Alphabet.ASCII)),
        "latin1": ChannelDefaults(coding=Coding(is_latin1_wanted=True)),
    },
)


@pytest.mark.parametrize(
    ("fields", "encoding", "segments"),
    [
        ({"to": "+15550001", "text": "m" * 306}, Encoding.GSM7, 3),
        ({"to": "+15550001", "data": "QUJD" * 89}, Encoding.BINARY, 3),
        ({"to": "+15550001", "data": "QUJD" * 88, "udh": "AnAA"}, Encoding.BINARY, 3),
        ({"to": "+905500001", "text": "ş" * 150}, Encoding.GSM7, 1),
        ({"to": "+905500001", "text": "ş" * 150, "encoding": "ucs2"}, Encoding.UCS2, 3),
        ({"to": "+15550001", "text": "ş" * 150, "channel": "turkish"}, Encoding.GSM7, 1),
        ({"to": "+365500001", "text": "ü" * 71}, Encoding.UCS2, 2),
        ({"to": "+365500001", "text": "u" * 71}, Encoding.GSM7, 1),
        ({"to": "+365500001", "text": "ê" * 140, "channel": "latin1"}, Encoding.LATIN1, 1),
        ({"to": "+365500001", "text": "ê" * 140, "channel": "latin1", "flash": True}, Encoding.UCS2, 3),
    ],
)
def test_what_is_told_is_what_the_preferred_channel_makes_of_it(fields, encoding, segments):
    made = admit(submit(**fields), Policy(), CODED, NOW_MS, 256, 5, References(0))
    assert (made.encoding, made.segments) == (encoding, segments)


def test_gsm_is_refused_where_the_preferred_channel_cannot_have_it():
    with pytest.raises(Refusal) as refused:
        admit(
            submit(to="+365500001", text="ü", encoding="gsm7"), Policy(), CODED, NOW_MS, 256, 5, References(0)
        )
    assert (refused.value.code, refused.value.path) == ("not_gsm7", "$.text")


def test_references_of_a_destination_differ_until_they_come_round():
    references = References(65_500)
    seen = [references.next(TO) for _ in range(65_537)]
    assert seen[:3] == [65_501, 65_502, 65_503]
    assert len(set(seen[:65_536])) == 65_536
    assert seen[65_536] == seen[0]
    assert all(len({one & 0xFF for one in seen[at : at + 256]}) == 256 for at in range(0, 65_000, 97))


@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=300), st.integers(0, 65_535))
def test_many_other_destinations_never_move_a_destination_back(others, start):
    """However many are written to in between, a destination's next reference is not one of a moment ago."""
    references = References(start)
    before = references.next(TO)
    between = sum(hash(f"+{other}") & 0xFFFF == hash(TO) & 0xFFFF for other in others)
    for other in others:
        references.next(f"+{other}")
    assert references.next(TO) == (before + between + 1) & 0xFFFF


def test_a_list_of_destinations_is_one_submit_each():
    made = each_destination(submit(text="x", to=["+36301", TO]))
    assert [one.to for one in made] == ["+36301", TO]
    assert each_destination(submit(text="x"))[0].to == TO


@pytest.mark.parametrize("count", [0, MAX_DESTINATIONS + 1])
def test_a_list_of_destinations_has_a_length_that_makes_sense(count: int):
    with pytest.raises(Refusal) as refused:
        each_destination(submit(text="x", to=[TO] * count))
    assert refused.value.path == "$.to"
