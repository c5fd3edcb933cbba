"""Hypothesis strategies for what passes through a gateway of texts: numbers, texts, submissions, split streams.

Hypothesis is imported by the functions, not by the module, so that the rest of the kit works without it.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from stentor.message import Priority
from stentor.outcome import Submission
from stentor.text import gsm0338
from stentor.text.segments import Encoding

_ENCODINGS: Final = (Encoding.GSM7, Encoding.UCS2, Encoding.BINARY)
"""What every channel may be given; Latin-1 comes only where it is wanted."""

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy


def destinations() -> SearchStrategy[str]:
    """E.164 numbers with their plus, of every legal length."""
    from hypothesis import strategies as st

    return st.from_regex(r"\+[1-9][0-9]{6,14}", fullmatch=True)


def originators() -> SearchStrategy[str]:
    """Numbers, short codes and names."""
    from hypothesis import strategies as st

    short_codes = st.from_regex(r"[0-9]{3,15}", fullmatch=True)
    names = st.from_regex(r"[A-Za-z][A-Za-z0-9 ]{0,9}[A-Za-z0-9]", fullmatch=True)
    return st.one_of(destinations(), short_codes, names)


def gsm_texts(max_size: int = 400) -> SearchStrategy[str]:
    """Texts that GSM 7-bit carries, extension characters included."""
    from hypothesis import strategies as st

    alphabet = [chr(code) for code in range(0x2100) if gsm0338.is_encodable(chr(code))]
    return st.text(st.sampled_from(alphabet), max_size=max_size)


def texts(max_size: int = 400) -> SearchStrategy[str]:
    """Texts of any script, with what breaks gateways: emoji, surrogate pairs, combining marks, NULs, lone accents."""
    from hypothesis import strategies as st

    tricky = st.sampled_from(
        ["👩‍👩‍👧", "🇸🇪", "e\u0301", "\u200f", "\0", "€", "[", "\r\n", "ﷺ", "🏴\U000e0067"]
    )
    any_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=max_size)
    mixed = st.lists(
        st.one_of(tricky, st.text(st.characters(exclude_categories=["Cs"]), max_size=8)), max_size=20
    )
    return st.one_of(gsm_texts(max_size), any_text, mixed.map(lambda parts: "".join(parts)[:max_size]))


def submissions(
    encodings: Sequence[Encoding] = _ENCODINGS, unit: str = "segment"
) -> SearchStrategy[Submission]:
    """Submissions of one segment, with tokens that may coincide: make them unique by ``token``."""
    from hypothesis import strategies as st

    def made(encoding: Encoding) -> SearchStrategy[Submission]:
        data: SearchStrategy[Any]
        if encoding is Encoding.GSM7:
            data = gsm_texts(80).map(gsm0338.encode)
        elif encoding is Encoding.UCS2:
            data = texts(35).map(lambda text: text.encode("utf-16-be"))
        else:
            data = st.binary(max_size=140)
        return st.builds(
            Submission,
            token=st.integers(1, 2**62),
            attempt=st.integers(1, 20),
            to=destinations(),
            originator=originators(),
            encoding=st.just(encoding),
            data=data,
            udh=st.just(b""),
            index=st.just(1),
            segments=st.just(1),
            wants_receipt=st.booleans(),
            valid_for_s=st.integers(1, 14 * 86_400),
            priority=st.sampled_from(Priority),
            flash=st.booleans(),
            text=texts(35) if unit == "message" else st.none(),
        )

    return st.sampled_from(list(encodings)).flatmap(made)


def splits(octets: bytes) -> SearchStrategy[list[bytes]]:
    """``octets`` cut into pieces anywhere, whole and octet by octet included."""
    from hypothesis import strategies as st

    whole, single = [octets], [octets[at : at + 1] for at in range(len(octets))]
    cuts = st.lists(st.integers(0, len(octets)), max_size=12)
    return st.one_of(st.just(whole), st.just(single), cuts.map(lambda places: split_at(octets, places)))


def split_at(octets: bytes, places: Sequence[int]) -> list[bytes]:
    """``octets`` cut at ``places``; no piece is empty."""
    bounds = sorted({0, len(octets), *places})
    return [octets[start:end] for start, end in itertools.pairwise(bounds)]
