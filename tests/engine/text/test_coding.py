"""How a text goes over a channel, against a model that tries every way there is, character by character."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stentor.errors import Refusal
from stentor.text import gsm0338
from stentor.text.coding import DEFAULT, Alphabet, Coding, Plan, plan, replan
from stentor.text.languages import Language
from stentor.text.national import Shift, candidates, tables
from stentor.text.segments import Encoding, count_segments, cut, split

GSM7, UCS2, LATIN1 = Encoding.GSM7, Encoding.UCS2, Encoding.LATIN1
TURKISH, SPANISH, PORTUGUESE = Language.TURKISH, Language.SPANISH, Language.PORTUGUESE
PLAIN = Shift()

CODECS = {Alphabet.LATIN1: "latin-1", Alphabet.ASCII: "ascii", Alphabet.WINDOWS1252: "cp1252"}
LANGUAGES = ((), (TURKISH,), (SPANISH, PORTUGUESE), (TURKISH, PORTUGUESE, Language.HINDI))
CODINGS = [
    Coding(alphabet, languages, is_latin1_wanted, wide)
    for alphabet, languages, is_latin1_wanted, wide in product(
        Alphabet, LANGUAGES, (False, True), (False, True)
    )
]
codings = st.sampled_from(CODINGS)


def runs(characters: str) -> st.SearchStrategy[str]:
    run = st.tuples(st.sampled_from(characters), st.integers(0, 160)).map(lambda pair: pair[0] * pair[1])
    return st.lists(run, max_size=6).map("".join)


texts = st.one_of(
    st.text(max_size=200), runs("m€@ş"), runs("ãçÓ^|m"), runs("mё🟢€"), runs("नm्1"), runs("êm"), runs("Ωm€")
)


def has(text: str, codec: str) -> bool:
    return all(character.encode(codec, "ignore") for character in text)


def cost(character: str, encoding: Encoding, shift: Shift) -> int:
    """Units of one character."""
    if encoding is GSM7:
        return len(tables(shift).encode(character))
    return len(character.encode("utf-16-be")) // 2 if encoding is UCS2 else 1


def obvious_count(text: str, encoding: Encoding, shift: Shift, wide: bool) -> int:
    """Each segment takes characters until the next would not fit; TS 23.040's own arithmetic."""
    bits = {GSM7: 7, UCS2: 16, LATIN1: 8}[encoding]

    def fill(header: int) -> int:
        room = (1120 - 8 * header) // bits
        segments, used = 1, 0
        for character in text:
            units = cost(character, encoding, shift)
            segments, used = (segments + 1, units) if used + units > room else (segments, used + units)
        return segments

    own = (3 if shift.single else 0) + (3 if shift.locking else 0)
    alone = fill(own + 1 if own else 0)
    return alone if alone == 1 else fill(1 + own + (6 if wide else 5))


def obvious_ways(text: str, coding: Coding) -> list[tuple[int, int, int, Encoding, Shift]]:
    """Every way a text can go, the best one first: segments, rank of the way, septets."""
    takes_septets = coding.alphabet in (Alphabet.GSM7, Alphabet.GSM7_PACKED)
    codec = CODECS.get(coding.alphabet, "utf-8")
    if gsm0338.is_encodable(text) and coding.alphabet is not Alphabet.UCS2 and has(text, codec):
        return [(obvious_count(text, GSM7, PLAIN, coding.wide_reference), 0, 0, GSM7, PLAIN)]
    ways = [(obvious_count(text, UCS2, PLAIN, coding.wide_reference), 3, 0, UCS2, PLAIN)]
    if coding.is_latin1_wanted and has(text, "latin-1"):
        ways.append((obvious_count(text, LATIN1, PLAIN, coding.wide_reference), 2, 0, LATIN1, PLAIN))
    for shift in candidates(coding.languages) if takes_septets else ():
        if all(tables(shift).is_encodable({character}) for character in text):
            header = len(shift.header)
            septets = (8 * header + 6) // 7 + sum(cost(character, GSM7, shift) for character in text)
            count = obvious_count(text, GSM7, shift, coding.wide_reference)
            ways.append((count, 1, septets, GSM7, shift))
    return sorted(ways, key=lambda way: way[:3])


def obvious_plan(text: str, coding: Coding) -> Plan:
    segments, _, _, encoding, shift = obvious_ways(text, coding)[0]
    return Plan(encoding, segments, shift)


def decoded(data: bytes, plan: Plan) -> str:
    if plan.encoding is GSM7:
        return tables(plan.shift).decode(data)
    return data.decode("utf-16-be" if plan.encoding is UCS2 else "latin-1")


@given(texts, codings)
def test_a_text_goes_as_the_model_says(text: str, coding: Coding):
    assert plan(text, coding) == obvious_plan(text, coding)


@given(texts, codings, st.integers(0, 65_535))
def test_segments_of_any_plan_fit_and_read_as_the_text(text: str, coding: Coding, reference: int):
    found = plan(text, coding)
    wide = coding.wide_reference
    segments = split(text, found.encoding, reference, wide_reference=wide, shift=found.shift)
    assert len(segments) == found.segments
    assert count_segments(text, found.encoding, wide_reference=wide, shift=found.shift) == found.segments
    pieces = cut(text, found.encoding, wide_reference=wide, shift=found.shift)
    assert pieces == [segment.data for segment in segments]
    # Each by itself: no character is cut, and the header of each says all that is needed to read it.
    assert "".join(decoded(segment.data, found) for segment in segments) == text
    unit_bits = 7 if found.encoding is GSM7 else 8
    for number, segment in enumerate(segments, 1):
        assert len(segment.udh) * 8 + len(segment.data) * unit_bits <= 1120
        assert segment.udh == header(found, reference, wide, number)


def header(plan: Plan, reference: int, wide: bool, number: int) -> bytes:
    """Concatenation, single shift, locking shift."""
    elements = b""
    if plan.segments > 1 and wide:
        elements += b"\x08\x04" + reference.to_bytes(2, "big") + bytes((plan.segments, number))
    elif plan.segments > 1:
        elements += bytes((0, 3, reference & 0xFF, plan.segments, number))
    if plan.shift.single:
        elements += bytes((0x24, 1, plan.shift.single))
    if plan.shift.locking:
        elements += bytes((0x25, 1, plan.shift.locking))
    return bytes((len(elements),)) + elements if elements else b""


@pytest.mark.parametrize(
    ("shift", "wide", "units"),
    [
        (Shift(single=1), False, [155]),
        (Shift(single=1), False, [149, 7]),
        (Shift(single=1), True, [148, 8]),
        (Shift(1, 1), False, [152]),
        (Shift(1, 1), False, [146, 7]),
        (Shift(1, 1), True, [145, 8]),
    ],
)
def test_language_tables_leave_the_room_that_the_specification_leaves(shift, wide, units):
    segments = split("m" * sum(units), GSM7, 1, wide_reference=wide, shift=shift)
    assert [len(segment.data) for segment in segments] == units


@pytest.mark.parametrize(
    ("text", "coding", "expected"),
    [
        ("Merhaba", Coding(languages=(TURKISH,)), Plan(GSM7, 1)),
        ("Işık", Coding(languages=(TURKISH,)), Plan(GSM7, 1, Shift(locking=1))),
        ("şşşşşşşşğ", Coding(languages=(TURKISH,)), Plan(GSM7, 1, Shift(locking=1))),
        ("Işık", DEFAULT, Plan(UCS2, 1)),
        ("Işık", Coding(Alphabet.GSM7_PACKED, (TURKISH,)), Plan(GSM7, 1, Shift(locking=1))),
        ("Işık", Coding(Alphabet.LATIN1, (TURKISH,)), Plan(UCS2, 1)),
        ("Grüße", Coding(Alphabet.ASCII), Plan(UCS2, 1)),
        ("Grusse", Coding(Alphabet.ASCII), Plan(GSM7, 1)),
        ("Grüße", Coding(Alphabet.LATIN1), Plan(GSM7, 1)),
        ("Grüße €", Coding(Alphabet.LATIN1), Plan(UCS2, 1)),
        ("Grüße €", Coding(Alphabet.WINDOWS1252), Plan(GSM7, 1)),
        ("ΔΩ", Coding(Alphabet.WINDOWS1252), Plan(UCS2, 1)),
        ("m" * 160, Coding(Alphabet.LATIN1), Plan(GSM7, 1)),
        ("m" * 161, Coding(Alphabet.ASCII), Plan(GSM7, 2)),
        ("m", Coding(Alphabet.UCS2), Plan(UCS2, 1)),
        ("ê" * 140, Coding(is_latin1_wanted=True), Plan(LATIN1, 1)),
        ("ê" * 141, Coding(is_latin1_wanted=True), Plan(LATIN1, 2)),
        ("ê" * 269, Coding(is_latin1_wanted=True), Plan(LATIN1, 3)),
        ("ê" * 140, Coding(languages=(PORTUGUESE,), is_latin1_wanted=True), Plan(GSM7, 1, Shift(locking=3))),
        ("Ğ" * 70, Coding(languages=(SPANISH,)), Plan(UCS2, 1)),
        ("Á" * 70, Coding(languages=(SPANISH,)), Plan(GSM7, 1, Shift(single=2))),
        ("Á" * 79, Coding(languages=(SPANISH,)), Plan(GSM7, 2, Shift(single=2))),
    ],
)
def test_choices_as_people_would_make_them(text: str, coding: Coding, expected: Plan):
    assert plan(text, coding) == expected


def test_latin1_has_no_flash():
    coding = Coding(is_latin1_wanted=True)
    assert plan("ê", coding, is_flash=True) == Plan(UCS2, 1)
    assert replan("ê", LATIN1, coding) == Plan(LATIN1, 1)


@given(texts, codings)
def test_a_wish_for_ucs2_is_granted_always(text: str, coding: Coding):
    assert plan(text, coding, "ucs2") == Plan(UCS2, obvious_count(text, UCS2, PLAIN, coding.wide_reference))


@given(texts, codings)
def test_a_wish_for_gsm_is_granted_or_refused(text: str, coding: Coding):
    ways = [way for way in obvious_ways(text, coding) if way[3] is GSM7]
    if ways:
        assert plan(text, coding, "gsm7") == Plan(GSM7, ways[0][0], ways[0][4])
    else:
        with pytest.raises(Refusal) as caught:
            plan(text, coding, "gsm7")
        assert (caught.value.code, caught.value.path) == ("not_gsm7", "$.text")


@pytest.mark.parametrize(
    ("text", "coding", "detail"),
    [
        ("aш", DEFAULT, 'character 2 ("ш", U+0448) is not in the GSM 7-bit alphabet'),
        (
            "aüш",
            Coding(Alphabet.ASCII),
            'character 3 ("ш", U+0448) is not in the GSM 7-bit alphabet',
        ),
        (
            "aü",
            Coding(Alphabet.ASCII),
            'character 2 ("ü", U+00FC) is not in the carrier\'s default alphabet, ascii',
        ),
        ("a", Coding(Alphabet.UCS2), "the channel's carrier takes no GSM 7-bit"),
    ],
)
def test_why_gsm_cannot_be_is_said(text: str, coding: Coding, detail: str):
    with pytest.raises(Refusal) as caught:
        plan(text, coding, "gsm7")
    assert caught.value.detail == detail


@pytest.mark.parametrize("coding", CODINGS)
def test_half_of_a_surrogate_pair_is_refused_by_every_channel(coding: Coding):
    with pytest.raises(Refusal) as caught:
        plan("m\ud800", coding)
    assert caught.value.code == "bad_text"


@given(texts, codings, codings)
def test_another_channel_keeps_the_encoding_that_was_told_wherever_it_can(
    text: str, told_by: Coding, sent_by: Coding
):
    told = plan(text, told_by)
    found = replan(text, told.encoding, sent_by)
    can = {way[3] for way in obvious_ways(text, sent_by)} | {UCS2}
    if sent_by.is_latin1_wanted and has(text, "latin-1"):
        can.add(LATIN1)  # told because the other channel has no 7-bit alphabet; this one can as well
    assert (found.encoding is told.encoding) is (told.encoding in can)
    segments = split(text, found.encoding, 1, wide_reference=sent_by.wide_reference, shift=found.shift)
    assert len(segments) == found.segments
    assert "".join(decoded(segment.data, found) for segment in segments) == text


@given(texts, codings)
def test_the_channel_that_was_told_of_is_planned_for_alike_again(text: str, coding: Coding):
    for wanted in ("auto", "ucs2", "gsm7"):
        try:
            told = plan(text, coding, wanted)
        except Refusal:
            continue
        assert replan(text, told.encoding, coding) == told
