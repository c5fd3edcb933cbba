"""National language tables against a listing of TS 23.038 annex A, code by code, and a decoder that does as it says."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stentor.text import gsm0338
from stentor.text.languages import LOCKING, SINGLE, VACANT, Language
from stentor.text.national import DEFAULT, Shift, candidates, tables

LISTING = Path(__file__).parents[2] / "data" / "national_tables.txt"
ESC = 0x1B

# Decoded, but never encoded: readings of the specification differ there, or another code says the same.
UNSURE = {("locking", 7): 0x24, ("single", 11): 0x24}


def listed() -> dict[tuple[str, int], dict[int, str]]:
    """Characters by code, by kind of table and language."""
    found: dict[tuple[str, int], dict[int, str]] = {}
    for heading, body in re.findall(r"^\[(.*)\]\n((?:..:.*\n?)*)", LISTING.read_text(), re.MULTILINE):
        kind, language, name = heading.split()
        assert Language(int(language)).word == name
        pairs = (item.split(":") for item in body.split())
        found[kind, int(language)] = {int(code, 16): chr(int(point, 16)) for code, point in pairs}
    return found


TABLES = listed()
TABLES["locking", 0] = {code: character for code, character in enumerate(gsm0338.BASIC) if code != ESC}
TABLES["single", 0] = gsm0338.EXTENSION
SHIFTS = [DEFAULT, *candidates(tuple(Language)), Shift(1, 3), Shift(2, 3)]


def obvious_decode(septets: bytes, shift: Shift) -> str:
    """The definition, octet by octet."""
    locking, single = TABLES["locking", shift.locking], TABLES["single", shift.single]
    text, octets = "", iter(septets)
    for octet in octets:
        if octet != ESC:
            text += locking.get(octet, "\ufffd")
            continue
        following = next(octets, ESC)
        text += " " if following == ESC else single.get(following, locking.get(following, "\ufffd"))
    return text


def obvious_codes(shift: Shift) -> dict[str, set[bytes]]:
    """Every way to say a character."""
    codes: dict[str, set[bytes]] = {}
    for kind, language, before in (("locking", shift.locking, b""), ("single", shift.single, b"\x1b")):
        for code, character in TABLES[kind, language].items():
            if UNSURE.get((kind, language)) != code:
                codes.setdefault(character, set()).add(before + bytes((code,)))
    return codes


def test_the_listing_has_every_table_there_is():
    named = {(kind, language) for kind, language in TABLES if language}
    assert named == {("locking", one) for one in LOCKING} | {("single", one) for one in SINGLE}
    assert set(Language) - set(LOCKING) == {Language.SPANISH}
    assert set(SINGLE) == set(Language)


@pytest.mark.parametrize(("kind", "language"), sorted(TABLES))
def test_every_code_of_a_table_is_the_character_that_is_listed(kind: str, language: int):
    wanted = TABLES[kind, language]
    shift = Shift(locking=language) if kind == "locking" else Shift(single=language)
    before = b"" if kind == "locking" else b"\x1b"
    for code in range(128):
        if code == ESC:
            continue
        found = tables(shift).decode(before + bytes((code,)))
        if kind == "locking":
            assert found == wanted.get(code, VACANT), hex(code)
        else:
            assert found == wanted.get(code, gsm0338.BASIC[code]), hex(code)


@pytest.mark.parametrize("shift", SHIFTS, ids=str)
def test_every_character_of_a_pair_of_tables_comes_back_by_its_shortest_lowest_code(shift: Shift):
    codes = obvious_codes(shift)
    for character, ways in codes.items():
        septets = tables(shift).encode(character)
        assert septets == min(ways, key=lambda way: (len(way), way)), hex(ord(character))
        assert tables(shift).decode(septets) == character
    text = "".join(codes)
    assert tables(shift).is_encodable(set(text))
    assert tables(shift).septet_count(text * 2, set(text)) == len(tables(shift).encode(text * 2))
    assert tables(shift).decode(tables(shift).encode(text)) == text


@pytest.mark.parametrize("shift", SHIFTS, ids=str)
def test_what_neither_table_has_is_named_with_its_position(shift: Shift):
    codes = obvious_codes(shift)
    for point in range(0x20, 0x3000):
        if chr(point) in codes:
            continue
        text = "a" + chr(point) + chr(point)
        assert not tables(shift).is_encodable(set(text))
        with pytest.raises(gsm0338.NotGSM) as caught:
            tables(shift).encode(text)
        assert (caught.value.character, caught.value.position) == (chr(point), 1)


@given(st.binary(max_size=60), st.sampled_from(SHIFTS))
def test_any_septets_are_read_as_by_the_definition(septets: bytes, shift: Shift):
    assert tables(shift).decode(septets) == obvious_decode(septets, shift)


@given(st.data(), st.sampled_from(SHIFTS))
def test_esc_is_never_the_second_of_a_pair(data: st.DataObject, shift: Shift):
    text = data.draw(st.text(st.sampled_from(sorted(obvious_codes(shift))), max_size=60))
    septets = tables(shift).encode(text)
    assert b"\x1b\x1b" not in septets
    assert not septets.endswith(b"\x1b")
    assert tables(shift).decode(septets) == text


@given(st.text(max_size=40))
def test_without_a_language_the_tables_are_those_of_the_default_alphabet(text: str):
    plain = tables(DEFAULT)
    assert plain.is_encodable(set(text)) is gsm0338.is_encodable(text)
    if gsm0338.is_encodable(text):
        assert plain.encode(text) == gsm0338.encode(text)


@pytest.mark.parametrize(
    ("shift", "header"),
    [
        (DEFAULT, ""),
        (Shift(single=3), "03240103"),
        (Shift(locking=1), "03250101"),
        (Shift(3, 3), "06240103250103"),
        (Shift(13, 13), "0624010d25010d"),
    ],
)
def test_a_header_announces_the_single_shift_before_the_locking_one(shift: Shift, header: str):
    assert shift.header.hex() == header


def test_an_identifier_nobody_has_given_out_leaves_the_default_tables():
    assert tables(Shift(14, 200)).decode(b"\x00\x1be") == "@€"
    assert tables(Shift(locking=2)).decode(b"\x00") == "@"


def test_a_language_offers_its_tables_one_by_one_and_together():
    assert candidates(()) == ()
    assert candidates((Language.SPANISH,)) == (Shift(single=2),)
    assert candidates((Language.TURKISH, Language.PORTUGUESE)) == (
        Shift(single=1),
        Shift(single=3),
        Shift(locking=1),
        Shift(locking=3),
        Shift(1, 1),
        Shift(3, 3),
    )


@pytest.mark.parametrize(
    ("text", "shift", "septets"),
    [
        ("ğ", Shift(single=1), "1b67"),
        ("ğ", Shift(locking=1), "0c"),
        ("€", Shift(locking=1), "04"),
        ("á", Shift(single=2), "1b61"),
        ("ção", Shift(single=3), "1b091b7b6f"),
        ("ção", Shift(locking=3), "097b6f"),
        ("नमस्ते", Shift(locking=6), "2f424c5f2759"),
    ],
)
def test_words_as_they_stand_in_the_tables(text: str, shift: Shift, septets: str):
    assert tables(shift).encode(text).hex() == septets
