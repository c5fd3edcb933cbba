"""Destinations and originators: what is accepted, their canonical form, and how they look in logs.

Owns both grammars. A destination is E.164 with its plus, or becomes it; an originator is one of three kinds,
each with one spelling. Invariant: what a parser returns, it takes again and returns unchanged.
"""

import enum
import re
from functools import lru_cache
from typing import Final

import msgspec

from stentor.errors import Refusal
from stentor.numbers.numbering import from_national
from stentor.text import gsm0338

MAX_NAME_CHARACTERS: Final = 11

# Seven digits is the shortest international number in use, fifteen the longest there can be (E.164 §6).
_e164 = re.compile(r"\+[1-9][0-9]{6,14}").fullmatch
_short_code = re.compile(r"[0-9]{3,15}").fullmatch
_number_like = re.compile(r"\+?[\d\s().,/\-]+").fullmatch
_PUNCTUATION = re.compile(r"[\s().,/\-\u2010-\u2015\u200b-\u200f\u202a-\u202e\u2060\ufeff]")


class OriginatorKind(enum.Enum):
    """What kind of originator; carriers want each announced in its own way."""

    INTERNATIONAL = "international"
    SHORT_CODE = "short_code"
    NAME = "name"


class Originator(msgspec.Struct, frozen=True, gc=False):
    """A checked originator: E.164 with its plus, 3 to 15 digits, or a name of 1 to 11 characters."""

    kind: OriginatorKind
    text: str


def parse_destination(text: str, region: str = "") -> str:
    """The destination in canonical form: ``+`` and 7 to 15 digits, the first not 0 (E.164).

    With a region a text without ``+`` is a number as it is dialled there. Raises Refusal ``bad_destination`` whose
    detail says what would be right.
    """
    if _e164(text):
        return text
    if region and not text.startswith("+"):
        return from_national(text, region)
    raise Refusal("bad_destination", _number_fault(text), "$.to")


@lru_cache(maxsize=4096)
def parse_originator(text: str) -> Originator:
    """The originator and its kind. Cached: few send nearly everything. Raises Refusal ``bad_originator``."""
    if _e164(text):
        return Originator(OriginatorKind.INTERNATIONAL, text)
    if _short_code(text):
        return Originator(OriginatorKind.SHORT_CODE, text)
    fault = _number_fault(text) if text.startswith("+") else _name_fault(text)
    if fault:
        raise Refusal("bad_originator", fault, "$.from")
    return Originator(OriginatorKind.NAME, text)


def mask_number(number: str) -> str:
    """The number for logs: its first four characters and last two, ``*`` between; a short one all ``*``."""
    hidden = len(number) - 6
    return f"{number[:4]}{'*' * hidden}{number[-2:]}" if hidden > 0 else "*" * len(number)


def mask_originator(originator: str) -> str:
    """The originator for logs: names and short codes as they are, whatever may be a phone number masked."""
    digits = sum(map(str.isdecimal, originator))
    return mask_number(originator) if digits > 6 or originator.startswith("+") else originator


def _number_fault(text: str) -> str:
    """Why a text is no E.164 number, and what would be right. The number itself is not repeated."""
    bare = _PUNCTUATION.sub("", text)
    if not bare:
        return "the number is empty: write + and the country code, then the number"
    if bare != text:
        return "leave out blanks, hyphens and brackets: + and digits only, such as +447700900123"
    digits = text.removeprefix("+")
    if not digits.isascii() or not digits.isdigit():
        if digits.isdecimal():
            return "write the digits as 0 to 9"
        return "a destination is + and digits only, such as +447700900123"
    if text.startswith("00"):
        return "write + in place of the leading 00"
    if not text.startswith("+"):
        return "the + is missing: write + and the country code, then the number"
    if digits.startswith("0"):
        return "no country code begins with 0: write + and the country code, then the number"
    return f"{len(digits)} digits: a number has 7 to 15 with its country code"


def _name_fault(text: str) -> str | None:
    """Why a text is no name to send from; None when it is one."""
    if not text:
        return "the originator is empty: leave it out for the default"
    if _number_like(text):
        return (
            "write a number as + and digits, a short code as 3 to 15 digits, a name with at least one letter"
        )
    if len(text) > MAX_NAME_CHARACTERS:
        return f"{len(text)} characters: a name has at most {MAX_NAME_CHARACTERS}"
    if text != text.strip() or not text.isprintable():
        return "a name has no blank at its ends and no control characters"
    if not gsm0338.is_encodable(text) or gsm0338.septet_count(text) != len(text):
        return "a name has characters of the GSM 7-bit basic alphabet only"
    if not any(map(str.isalpha, text)):
        return "a name has at least one letter"
    return None
