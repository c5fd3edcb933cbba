"""How a text will be sent, as people are told."""

import msgspec
import pytest

from stentor.errors import Refusal
from stentor.text.coding import Alphabet, Coding
from stentor.text.inspection import Inspection, inspect
from stentor.text.languages import Language
from stentor.text.segments import Encoding

GSM7, UCS2, LATIN1 = Encoding.GSM7, Encoding.UCS2, Encoding.LATIN1


def test_an_inspection_shows_units_and_octets_of_each_segment():
    found = inspect("m" * 152 + "€" + "m" * 20, reference=0xAB)
    assert (found.encoding, found.segments, found.units, found.units_left) == (GSM7, 2, 174, 131)
    assert found.units_per_segment == [152, 22]
    assert [(item.index, item.units, item.udh) for item in found.segment_list] == [
        (1, 152, "050003ab0201"),
        (2, 22, "050003ab0202"),
    ]
    assert [item.data for item in found.segment_list] == ["6d" * 152, "1b65" + "6d" * 20]
    assert (found.is_transliterated, found.segments_saved) == (False, 0)


@pytest.mark.parametrize(
    ("text", "encoding", "units", "units_left"),
    [
        ("", GSM7, 0, 160),
        ("ok", GSM7, 2, 158),
        ("€", GSM7, 2, 158),
        ("Я", UCS2, 1, 69),
        ("🟢" * 35, UCS2, 70, 0),
    ],
)
def test_an_inspection_counts_what_is_left(text, encoding, units, units_left):
    found = inspect(text)
    assert (found.encoding, found.segments, found.units, found.units_left) == (encoding, 1, units, units_left)


def test_an_inspection_is_json_as_it_stands():
    assert msgspec.json.decode(msgspec.json.encode(inspect("Да"))) == {
        "encoding": "ucs2",
        "segments": 1,
        "units": 2,
        "units_left": 68,
        "units_per_segment": [2],
        "segment_list": [{"index": 1, "units": 2, "udh": "", "data": "04140430"}],
        "is_transliterated": False,
        "segments_saved": 0,
    }


def test_an_inspection_tells_that_look_alikes_were_taken_and_what_they_save():
    text = "“" + "m" * 100 + "”"
    assert inspect(text).encoding is UCS2
    found = inspect(text, "auto", transliterate=True)
    assert (found.encoding, found.segments, found.units) == (GSM7, 1, 102)
    assert (found.is_transliterated, found.segments_saved) == (True, 1)
    assert inspect(text, "gsm7", transliterate=True) == found
    assert inspect(text, "ucs2", transliterate=True) == inspect(text, "ucs2")


def test_look_alikes_that_do_not_help_change_nothing():
    assert inspect("“Да”", transliterate=True) == inspect("“Да”")
    with pytest.raises(Refusal, match="not in the GSM"):
        inspect("“Да”", "gsm7", transliterate=True)


def test_letters_lose_their_marks_only_where_gsm_is_asked_for_and_no_table_has_them():
    assert inspect("ş", transliterate=True) == inspect("ş")
    found = inspect("ş", "gsm7", transliterate=True)
    assert (found.encoding, found.segment_list[0].data, found.is_transliterated) == (GSM7, "73", True)
    turkish = Coding(languages=(Language.TURKISH,))
    assert not inspect("ş", "gsm7", transliterate=True, coding=turkish).is_transliterated
    with pytest.raises(Refusal, match="U\\+015F"):
        inspect("ş", "gsm7")


def test_a_text_of_zero_width_blanks_becomes_empty_where_look_alikes_are_allowed():
    found = inspect("\u200b", transliterate=True)
    assert (found.encoding, found.segments, found.units, found.is_transliterated) == (GSM7, 1, 0, True)


def test_an_inspection_names_the_tables_of_a_channel_that_has_them():
    turkish = Coding(languages=(Language.TURKISH,))
    found = inspect("ş" * 10 + "m" * 150, coding=turkish)
    assert (found.encoding, found.segments, found.units) == (GSM7, 2, 160)
    assert (found.single_shift, found.locking_shift) == (msgspec.UNSET, "turkish")
    assert found.segment_list[0].udh == "08000300020125" + "0101"
    told = msgspec.json.encode(found)
    assert msgspec.json.decode(told)["locking_shift"] == "turkish"
    assert msgspec.json.decode(told, type=Inspection) == found


@pytest.mark.parametrize(
    ("coding", "encoding", "units_per_segment"),
    [
        (Coding(wide_reference=True), GSM7, [152, 9]),
        (Coding(Alphabet.LATIN1), GSM7, [153, 8]),
        (Coding(Alphabet.UCS2), UCS2, [67, 67, 27]),
    ],
)
def test_an_inspection_cuts_as_the_channel_would(coding, encoding, units_per_segment):
    found = inspect("m" * 161, coding=coding)
    assert (found.encoding, found.units_per_segment) == (encoding, units_per_segment)


def test_units_of_latin1_are_octets():
    found = inspect("ê" * 141, coding=Coding(is_latin1_wanted=True))
    assert (found.encoding, found.units_per_segment, found.units_left) == (LATIN1, [134, 7], 127)
