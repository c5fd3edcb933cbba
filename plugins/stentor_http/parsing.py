"""A description's TOML into its Structs, every fault with the place it is at: a file, and a key in it."""

import re
from typing import Any, Final

import msgspec

from stentor.errors import ConfigError
from stentor_http.description import Description, fault

_PLACE: Final = re.compile(r"^(?P<detail>.*?)(?: - at (?:`key` in )?`\$\.?(?P<place>.*)`)?$", re.DOTALL)
_UNKNOWN: Final = re.compile(r"Object contains unknown field `([^`]*)`")
_MISSING: Final = re.compile(r"Object missing required field `([^`]*)`")


def parse(text: str, source: str) -> Description:
    """Raises ConfigError whose path names file and key, ``FILE: receipt.map.status``."""
    try:
        document = msgspec.toml.decode(text)
    except (msgspec.DecodeError, ValueError) as error:
        raise ConfigError(source, f"is not TOML: {error}") from None
    try:
        return msgspec.convert(document, Description)
    except msgspec.ValidationError as error:
        raise fault(source, *_located(document, str(error))) from None


def _located(document: dict[str, Any], message: str) -> tuple[str, str]:
    """Place and sentence of a fault: msgspec names neither the key of an unknown field nor that of a mapping."""
    found = _PLACE.match(message)
    assert found is not None
    place, detail = found["place"] or "", found["detail"]
    for pattern, sentence in ((_UNKNOWN, "unknown key"), (_MISSING, "is missing")):
        if named := pattern.match(detail):
            place, detail = f"{place}.{named[1]}".lstrip("."), sentence
    while "[...]" in place:
        before, _, after = place.partition("[...]")
        key = _culprit(document, before, message)
        place = f"{before}.{key}{after}"
    if detail.startswith("Expected `str` matching regex"):
        detail = "is not a name"
        if "at `key` in" in message:
            place = f"{place}.{_culprit(document, place, message)}"
    return place, detail[:1].lower() + detail[1:]


def _culprit(document: dict[str, Any], place: str, message: str) -> str:
    """The key of the mapping at ``place`` without whose fellows the fault is still there."""
    target: Any = document
    *way, last = re.findall(r"[^.\[\]]+", place)
    for step in way:
        target = target[int(step)] if isinstance(target, list) else target[step]
    whole = target[last] if isinstance(target, dict) else None
    if not isinstance(whole, dict):
        return "?"
    for key, value in whole.items():
        target[last] = {key: value}
        try:
            msgspec.convert(document, Description)
        except msgspec.ValidationError as error:
            if str(error) == message:
                return str(key)
        finally:
            target[last] = whole
    return "?"
