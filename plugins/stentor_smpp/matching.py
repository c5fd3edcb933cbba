"""Canonical forms of carrier message ids, so that response and receipt meet in one dictionary look-up.

The id of submit_sm_resp and the id of the receipt are the same number in different dress, and which dress is
a property of the carrier: ``20`` is a legal decimal and a legal hexadecimal number, so one id alone cannot
tell. Index a response under ``response_key`` and look a receipt up under ``receipt_key``; equal keys are a
match and None matches nothing. Numbers have any width.
"""

import re
from collections.abc import Callable
from enum import Enum
from typing import Final


class Mode(Enum):
    """How a carrier writes ids: in the response, then in the receipt."""

    EXACT = "exact"
    FOLD = "fold"
    DEC_DEC = "dec_dec"
    HEX_DEC = "hex_dec"
    DEC_HEX = "dec_hex"
    HEX_HEX = "hex_hex"


_DECIMAL: Final = re.compile(r"[0-9]+")
_HEXADECIMAL: Final = re.compile(r"(?:0[xX])?([0-9A-Fa-f]+)")
# No carrier's number is wider; converting a decimal costs the square of its length.
WIDEST: Final = 256

IdKey = Callable[[str], str | None]


def _exact(message_id: str) -> str | None:
    return message_id or None


def fold(message_id: str) -> str | None:
    """In upper case and without zeros in front; None for nothing."""
    return (message_id.upper().lstrip("0") or "0") if message_id else None


def _hexadecimal(message_id: str) -> str | None:
    found = _HEXADECIMAL.fullmatch(message_id)
    if found is None:
        return None
    return found[1].lower().lstrip("0") or "0"


def _decimal(message_id: str) -> str | None:
    if len(message_id) > WIDEST or _DECIMAL.fullmatch(message_id) is None:
        # Carriers that say decimal still send hexadecimal at times, and letters leave no doubt.
        return _hexadecimal(message_id)
    return f"{int(message_id):x}"


_KEYS: Final[dict[Mode, tuple[IdKey, IdKey]]] = {
    Mode.EXACT: (_exact, _exact),
    Mode.FOLD: (fold, fold),
    Mode.DEC_DEC: (_decimal, _decimal),
    Mode.HEX_DEC: (_hexadecimal, _decimal),
    Mode.DEC_HEX: (_decimal, _hexadecimal),
    Mode.HEX_HEX: (_hexadecimal, _hexadecimal),
}


def id_keys(mode: Mode) -> tuple[IdKey, IdKey]:
    """``(response_key, receipt_key)`` of a mode, for code that keys many ids."""
    return _KEYS[mode]


def response_key(message_id: str, mode: Mode) -> str | None:
    """The key under which an id from a response is kept."""
    return _KEYS[mode][0](message_id)


def receipt_key(message_id: str, mode: Mode) -> str | None:
    """The key under which an id from a receipt is looked up."""
    return _KEYS[mode][1](message_id)
