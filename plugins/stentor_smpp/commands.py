"""Tools for people who look at SMPP: what the entry point in ``stentor.commands`` names.

Each explains one text and never raises; a mapping with the key ``error`` tells what is wrong and at which
octet.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from stentor_smpp.dlr import explain_receipt
from stentor_smpp.explain import explain

_ID_KEY: Final = re.compile(r"(?<![^\W_])id ?:\s*", re.IGNORECASE)
_STAT_KEY: Final = re.compile(r"(?<![^\W_])stat ?:\s*", re.IGNORECASE)


def decode(hex: str) -> list[dict[str, Any]]:
    """Explain the PDUs in a hexadecimal string."""
    return explain(hex)


def receipt(text: str) -> dict[str, Any]:
    """Explain the body of a delivery receipt."""
    explained = explain_receipt(text)
    if explained["id"] is None:
        return explained | _fault(text, _ID_KEY, "id", "which message it is about")
    if explained["stat"] is None:
        return explained | _fault(text, _STAT_KEY, "stat", "what became of the message")
    return explained


def _fault(text: str, pattern: re.Pattern[str], key: str, meaning: str) -> dict[str, Any]:
    found = pattern.search(text)
    if found is None:
        octet, detail = 0, f"there is no {key}: it does not say {meaning}"
    else:
        octet, detail = len(text[: found.end()].encode()), f"{key} has no value: it does not say {meaning}"
    return {"error": {"octet": octet, "detail": detail}}


COMMANDS: Final[Mapping[str, Callable[[str], Any]]] = {"decode": decode, "receipt": receipt}
