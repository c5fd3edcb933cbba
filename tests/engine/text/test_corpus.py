"""The corpus of realistic texts: what the benchmark sends must show every way a text can travel."""

from pathlib import Path

import msgspec

from stentor.text import gsm0338
from stentor.text.segments import Encoding, choose, count_segments, split

CORPUS = Path(__file__).parents[3] / "bench" / "corpus" / "messages.ndjson"


class Line(msgspec.Struct, forbid_unknown_fields=True):
    language: str
    purpose: str
    text: str


LINES = [msgspec.json.decode(line, type=Line) for line in CORPUS.read_bytes().splitlines()]


def test_the_corpus_is_about_120_different_texts_in_many_languages_for_many_purposes():
    assert 100 <= len(LINES) <= 150
    assert len({line.text for line in LINES}) == len(LINES)
    assert len({line.language for line in LINES}) >= 18
    assert len({line.purpose for line in LINES}) >= 8


def test_the_corpus_has_one_and_several_segments_in_both_encodings():
    shapes = [(choose(line.text), count_segments(line.text, choose(line.text))) for line in LINES]
    for encoding in (Encoding.GSM7, Encoding.UCS2):
        assert {1, 2, 5} <= {segments for found, segments in shapes if found is encoding}
    assert max(segments for _, segments in shapes) == 5
    assert min(len(line.text) for line in LINES) == 5


def test_the_corpus_has_extension_characters_surrogate_pairs_and_scripts_of_every_width():
    texts = "".join(line.text for line in LINES)
    assert any(gsm0338.is_encodable(line.text) and "€" in line.text for line in LINES)
    assert max(texts) > "\uffff"
    starts = {"Latin": "a", "Greek": "α", "Cyrillic": "а", "Hebrew": "א", "Arabic": "ا", "Hindi": "क"}
    starts |= {"Thai": "ก", "Japanese": "の", "Korean": "니", "Chinese": "您"}
    assert [script for script, letter in starts.items() if letter not in texts] == []


def test_every_text_of_the_corpus_comes_back_from_its_segments():
    for line in LINES:
        encoding = choose(line.text)
        data = b"".join(segment.data for segment in split(line.text, encoding, 1))
        assert line.text == (gsm0338.decode(data) if encoding is Encoding.GSM7 else data.decode("utf-16-be"))
