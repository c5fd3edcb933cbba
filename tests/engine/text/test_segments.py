"""Choosing an encoding and cutting, against a splitter that goes character by character."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stentor.errors import Refusal
from stentor.text import gsm0338
from stentor.text.coding import DEFAULT, plan
from stentor.text.segments import (
    Encoding,
    choose,
    count_segments,
    cut,
    split,
)

GSM7, UCS2, BINARY = Encoding.GSM7, Encoding.UCS2, Encoding.BINARY

# Bits of room with a header of h octets, and bits of a unit: the specification's own arithmetic.
UNIT_BITS = {GSM7: 7, UCS2: 16, BINARY: 8}


def obvious_cost(item: str | int, encoding: Encoding) -> int:
    """Units of one character or octet."""
    if encoding is GSM7:
        return 2 if item in "\f^{}\\[~]|€" else 1
    return 2 if encoding is UCS2 and item > "\uffff" else 1


def obvious_split(content: str | bytes, encoding: Encoding, header_octets: int, own_octets: int = 0) -> list:
    """The definition: alone when it fits, else each segment takes items until the next would not fit."""

    def fill(octets: int) -> list:
        room = (1120 - 8 * octets) // UNIT_BITS[encoding]
        segments, used = [content[:0]], 0
        for at, item in enumerate(content):
            cost = obvious_cost(item, encoding)
            if used + cost > room:
                segments.append(content[:0])
                used = 0
            segments[-1] += content[at : at + 1]
            used += cost
        return segments

    alone = fill(own_octets)
    return alone if len(alone) == 1 else fill(header_octets)


def decoded(data: bytes, encoding: Encoding) -> str | bytes:
    if encoding is BINARY:
        return data
    return gsm0338.decode(data) if encoding is GSM7 else data.decode("utf-16-be")


def runs(characters: str) -> st.SearchStrategy[str]:
    """Texts of a few long runs, so that boundaries of segments are met in every possible way."""
    run = st.tuples(st.sampled_from(characters), st.integers(0, 160)).map(lambda pair: pair[0] * pair[1])
    return st.lists(run, max_size=7).map("".join)


contents = st.one_of(
    st.tuples(runs("m€@]Ωé"), st.just(GSM7)),
    st.tuples(st.text(st.sampled_from("m€"), min_size=70, max_size=480), st.just(GSM7)),
    st.tuples(runs("mЯ🟢中€") | st.text(max_size=300), st.just(UCS2)),
    st.tuples(st.text(st.sampled_from("m🟢"), min_size=30, max_size=240), st.just(UCS2)),
    st.tuples(st.binary(max_size=600), st.just(BINARY)),
)


CUTTING = [
    ("m" * 160, GSM7, [160]),
    ("m" * 161, GSM7, [153, 8]),
    ("m" * 158 + "€", GSM7, [160]),
    ("m" * 159 + "€", GSM7, [153, 8]),
    ("m" * 152 + "€" + "m" * 20, GSM7, [152, 22]),
    ("m" * 306, GSM7, [153, 153]),
    ("m" * 307, GSM7, [153, 153, 1]),
    ("]" * 80, GSM7, [160]),
    ("]" * 81, GSM7, [152, 10]),
    ("]" * 100, GSM7, [152, 48]),
    ("Я" * 70, UCS2, [70]),
    ("Я" * 71, UCS2, [67, 4]),
    ("m" * 66 + "🟢" + "m" * 6, UCS2, [66, 8]),
    ("🟢" * 35, UCS2, [70]),
    ("🟢" * 36, UCS2, [66, 6]),
    ("🟢" * 34, UCS2, [68]),
    ("\U0010ffff" * 36, UCS2, [66, 6]),
    ("", GSM7, [0]),
]


@pytest.mark.parametrize(("text", "encoding", "units"), CUTTING)
def test_texts_at_the_edges_are_cut_as_the_table_says(text, encoding, units):
    assert choose(text) is encoding
    assert count_segments(text, encoding) == len(units)
    unit_octets = 2 if encoding is UCS2 else 1
    segments = split(text, encoding, 0x5C)
    assert [len(segment.data) // unit_octets for segment in segments] == units
    total = len(units)
    expected = [b""] if total == 1 else [bytes([5, 0, 3, 0x5C, total, n]) for n in range(1, total + 1)]
    assert [segment.udh for segment in segments] == expected


@pytest.mark.parametrize(
    ("content", "encoding", "units"),
    [("m" * 161, GSM7, [152, 9]), ("Я" * 71, UCS2, [66, 5]), (b"x" * 141, BINARY, [133, 8])],
)
def test_a_wide_reference_takes_a_septet_a_code_unit_or_an_octet_more(content, encoding, units):
    segments = split(content, encoding, 0xA1B2, wide_reference=True)
    unit_octets = 2 if encoding is UCS2 else 1
    assert [len(segment.data) // unit_octets for segment in segments] == units
    assert [segment.udh.hex() for segment in segments] == ["060804a1b20201", "060804a1b20202"]


def test_without_headers_the_room_for_them_is_kept():
    assert [len(piece) for piece in cut("m" * 161, GSM7)] == [153, 8]
    assert [len(piece) for piece in cut("Я" * 71, UCS2)] == [134, 8]
    assert [len(piece) for piece in cut(b"x" * 141, BINARY)] == [134, 7]


def test_a_reference_is_cut_to_the_bits_that_are_sent():
    assert split("m" * 161, GSM7, 0x1A1B2)[0].udh.hex() == "050003b20201"
    assert split("m" * 161, GSM7, 0x1A1B2, wide_reference=True)[0].udh.hex() == "060804a1b20201"


@given(contents, st.booleans(), st.integers(0, 65535))
def test_segments_are_those_of_the_obvious_splitter(content, is_wide, reference):
    body, encoding = content
    segments = split(body, encoding, reference, wide_reference=is_wide)
    expected = obvious_split(body, encoding, 7 if is_wide else 6)
    assert [decoded(segment.data, encoding) for segment in segments] == expected
    assert count_segments(body, encoding, wide_reference=is_wide) == len(expected)
    assert cut(body, encoding, wide_reference=is_wide) == [segment.data for segment in segments]
    header = [segment.udh for segment in segments]
    if len(segments) == 1:
        assert header == [b""]
    elif is_wide:
        shared = bytes([6, 8, 4]) + reference.to_bytes(2, "big") + bytes([len(segments)])
        assert header == [shared + bytes([number]) for number in range(1, len(segments) + 1)]
    else:
        shared = bytes([5, 0, 3, reference & 0xFF, len(segments)])
        assert header == [shared + bytes([number]) for number in range(1, len(segments) + 1)]


@given(contents)
def test_every_segment_fits_the_air_and_no_segment_has_room_for_the_next_character(content):
    body, encoding = content
    segments = split(body, encoding, 1)
    texts = [decoded(segment.data, encoding) for segment in segments]
    assert body[:0].join(texts) == body
    bits = UNIT_BITS[encoding]
    unit_octets = 2 if encoding is UCS2 else 1
    used = [len(segment.data) // unit_octets * bits + 8 * len(segment.udh) for segment in segments]
    # Septets behind a header begin at a septet boundary; the fill bits count too.
    used = [
        taken + (-8 * len(s.udh) % bits if encoding is GSM7 else 0)
        for taken, s in zip(used, segments, strict=True)
    ]
    assert all(taken <= 1120 for taken in used)
    for taken, following in zip(used, texts[1:], strict=False):
        assert taken + obvious_cost(following[0], encoding) * bits > 1120


@given(st.text(max_size=200))
def test_gsm_is_chosen_when_every_character_is_in_it(text):
    assert choose(text) is (GSM7 if gsm0338.is_encodable(text) else UCS2)
    assert choose(text, "ucs2") is UCS2


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        ("Bună ziua", 'character 4 ("ă", U+0103) is not in the GSM 7-bit alphabet'),
        ("a`b", 'character 2 ("`", U+0060) is not in the GSM 7-bit alphabet'),
        ("\x00", "character 1 (U+0000) is not in the GSM 7-bit alphabet"),
        ("ok \ud83d", "character 4 (U+D83D) is not in the GSM 7-bit alphabet"),
        ("🟢", 'character 1 ("🟢", U+1F7E2) is not in the GSM 7-bit alphabet'),
    ],
)
def test_gsm_wanted_and_not_possible_is_refused_with_the_character(text, detail):
    with pytest.raises(Refusal) as caught:
        choose(text, "gsm7")
    assert (caught.value.code, caught.value.detail, caught.value.path) == ("not_gsm7", detail, "$.text")
    msgspec.json.encode(caught.value.detail)  # the answer can carry it whatever the character


@pytest.mark.parametrize("text", ["\ud83d", "a\ude00b", "Я" * 80 + "\udfff", "\ude00\ud83d"])
def test_half_of_a_surrogate_pair_is_refused(text):
    calls = [
        lambda: choose(text),
        lambda: choose(text, "ucs2"),
        lambda: split(text, UCS2, 1),
        lambda: plan(text, DEFAULT),
    ]
    for call in calls:
        with pytest.raises(Refusal) as caught:
            call()
        assert (caught.value.code, caught.value.path) == ("bad_text", "$.text")


@pytest.mark.parametrize(
    ("most", "encoding", "path"),
    [
        ("m" * 255 * 153, GSM7, "$.text"),
        ("Я" * 255 * 67, UCS2, "$.text"),
        (b"x" * 255 * 134, BINARY, "$.data"),
    ],
)
def test_255_segments_are_sent_and_256_are_refused(most, encoding, path):
    segments = split(most, encoding, 7)
    assert len(segments) == 255
    assert segments[-1].udh == bytes([5, 0, 3, 7, 255, 255])
    more = most + most[:1]
    assert count_segments(more, encoding) == 256
    with pytest.raises(Refusal) as caught:
        split(more, encoding, 7)
    assert (caught.value.code, caught.value.path) == ("too_many_segments", path)


PORTS = bytes.fromhex("06050423f00b84")


def test_a_clients_own_header_is_sent_as_it_is_with_one_segment():
    (segment,) = split(b"x" * 133, BINARY, 9, udh=PORTS)
    assert (segment.udh, segment.data) == (PORTS, b"x" * 133)
    assert count_segments(b"x" * 133, BINARY, udh=PORTS) == 1


def test_a_clients_own_header_stands_behind_the_concatenation_in_every_segment():
    segments = split(b"x" * 134, BINARY, 0x11, udh=PORTS)
    assert [segment.udh.hex() for segment in segments] == [
        "0b0003110201" + "050423f00b84",
        "0b0003110202" + "050423f00b84",
    ]
    assert [len(segment.data) for segment in segments] == [128, 6]
    assert count_segments(b"x" * 134, BINARY, udh=PORTS) == 2


@pytest.mark.parametrize(("is_wide", "with_own", "rooms"), [(False, 9, (149, 155)), (True, 10, (148, 155))])
def test_a_shift_table_in_the_header_leaves_the_septets_the_specification_says(is_wide, with_own, rooms):
    shift = bytes.fromhex("03240103")
    assert len(split("m" * rooms[1], GSM7, 1, udh=shift)) == 1
    first, _ = split("m" * (rooms[1] + 1), GSM7, 1, udh=shift, wide_reference=is_wide)
    assert (len(first.udh), len(first.data)) == (with_own, rooms[0])
    assert first.udh.endswith(shift[1:])


@given(contents, st.binary(max_size=100), st.booleans())
def test_segments_with_a_clients_header_are_those_of_the_obvious_splitter(content, value, is_wide):
    body, encoding = content
    udh = bytes([len(value) + 2, 0x70, len(value)]) + value
    segments = split(body, encoding, 1, udh=udh, wide_reference=is_wide)
    expected = obvious_split(body, encoding, len(udh) + (6 if is_wide else 5), len(udh))
    assert [decoded(segment.data, encoding) for segment in segments] == expected
    assert count_segments(body, encoding, udh=udh, wide_reference=is_wide) == len(expected)
    assert all(segment.udh[0] == len(segment.udh) - 1 for segment in segments)
    assert all(segment.udh.endswith(udh[1:]) for segment in segments)


@pytest.mark.parametrize(
    ("udh", "reason"),
    [
        ("07050423f00b84", "first octet"),
        ("05050423f00b84", "first octet"),
        ("06050523f00b84", "octet 1 reaches beyond"),
        ("0170", "octet 1 reaches beyond"),
        ("0500035c0201", "concatenation of their own"),
        ("05080442420201", "first octet"),
        ("06080442420201", "concatenation of their own"),
        ("07700124080101" + "00", "concatenation of their own"),
        ("85" + "7083" + "00" * 131, "leaves no room"),
        ("ff" * 141, "leaves no room"),
    ],
)
def test_a_header_that_cannot_be_merged_is_refused(udh, reason):
    with pytest.raises(Refusal, match=reason) as caught:
        split(b"x" * 140, BINARY, 1, udh=bytes.fromhex(udh))
    assert (caught.value.code, caught.value.path) == ("bad_data", "$.udh")


def test_the_longest_header_that_can_be_merged_leaves_two_octets():
    udh = bytes([132, 0x70, 130]) + b"x" * 130
    segments = split(b"12345678", BINARY, 1, udh=udh)
    assert [segment.data for segment in segments] == [b"12", b"34", b"56", b"78"]
    assert {len(segment.udh) + len(segment.data) for segment in segments} == {140}


def test_empty_content_is_one_empty_segment_in_every_encoding():
    for body, encoding in (("", GSM7), ("", UCS2), (b"", BINARY)):
        assert [(segment.udh, segment.data) for segment in split(body, encoding, 1)] == [(b"", b"")]
