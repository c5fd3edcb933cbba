"""Smart encoding: look-alikes for signs, and only when they make the whole text GSM 7-bit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stentor.text import gsm0338
from stentor.text.transliterate import transliterate, unmarked

TABLE = {
    "'": [0x2018, 0x2019, 0x201A, 0x201B, 0x2032, 0xB4, 0x60],
    '"': [0x201C, 0x201D, 0x201E, 0x2033, 0xAB, 0xBB],
    "-": [0x2010, 0x2011, 0x2012, 0x2013, 0x2014, 0x2015, 0x2212, 0x2022],
    "...": [0x2026],
    " ": [0xA0, 0x2009, 0x2002, 0x2003, 0x202F, 0x3000, 0x09],
    "": [0x200B, 0xFEFF],
    ".": [0xB7],
    "<": [0x2039],
    ">": [0x203A],
    "/": [0x2044],
}
LOOK_ALIKES = {chr(code): look_alike for look_alike, codes in TABLE.items() for code in codes}


@pytest.mark.parametrize(("character", "look_alike"), LOOK_ALIKES.items(), ids=lambda text: repr(text))
def test_a_sign_becomes_its_look_alike(character, look_alike):
    assert transliterate(f"a{character}b") == f"a{look_alike}b"


def test_every_other_character_of_the_basic_plane_stays_or_spoils_the_text():
    for code in range(0x10000):
        character = chr(code)
        if character not in LOOK_ALIKES:
            assert transliterate(character) == (character if gsm0338.is_encodable(character) else None)


@given(st.text(st.sampled_from("ab€Ωé‘’“”…–\u00a0\u200bЯáç🟢")))
def test_the_whole_text_becomes_gsm_or_nothing_is_changed(text):
    replaced = "".join(LOOK_ALIKES.get(character, character) for character in text)
    assert transliterate(text) == (replaced if gsm0338.is_encodable(replaced) else None)


def test_a_text_that_is_gsm_already_is_unchanged():
    assert transliterate("Smith & Sons: 5€ [net]") == "Smith & Sons: 5€ [net]"


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("Zażółć gęślą jaźń", "Zazolc gesla jazn"),
        ("Bună ziua, țară și oraș", "Buna ziua, tara si oras"),
        ("São Tomé, œuvre, đường, Þór", "Sao Tomé, oeuvre, duong, Thor"),
        ("Καλημέρα κόσμε", "KAΛHMEPA KOΣME"),
        ("5µg, ½, №", "5ug, 1/2, No"),
        ("“ș” – ț…", '"s" - t...'),
        ("e\u0301 s\u0327", "é s"),
        ("Smith: 5€ [é ñ Ä]", "Smith: 5€ [é ñ Ä]"),
    ],
)
def test_letters_lose_the_marks_that_the_alphabet_has_not_and_no_others(text, plain):
    assert unmarked(text) == plain
    assert gsm0338.is_encodable(plain)


def test_what_has_no_letters_of_the_alphabet_stays():
    assert unmarked("日本 ș Да \ud800") == "日本 s Да \ud800"
