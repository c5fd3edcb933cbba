"""A description's TOML into its Structs, every fault with the place it is at: a file, and a key in it."""

import difflib
import re
from typing import Any, Final, get_args

import msgspec

from stentor.errors import ConfigError
from stentor_http import description as tables
from stentor_http.description import Description, Means, ReceiptWord, Table, fault

_PLACE: Final = re.compile(r"^(?P<detail>.*?)(?: - at (?:`key` in )?`\$\.?(?P<place>.*)`)?$", re.DOTALL)
_UNKNOWN: Final = re.compile(r"Object contains unknown field `([^`]*)`")
_UNKNOWN_KEY: Final = "unknown key"
_ENUM: Final = re.compile(r"invalid enum value '(.*)'")
_OF_STATES: Final = re.compile(r"(receipt|query)\.(map|codes|groups)\.").match
_KEYS: Final = sorted(
    {
        name
        for kind in vars(tables).values()
        if isinstance(kind, type) and issubclass(kind, Table)
        for name in kind.__struct_encode_fields__
    }
)
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
        raise _fault(source, *_located(document, str(error))) from None


def _fault(source: str, place: str, detail: str) -> ConfigError:
    """With what could be meant, where a word or a key is not known."""
    *_, last = place.replace("]", "").split(".")
    wrong = _ENUM.match(detail)
    if wrong is None:
        close = difflib.get_close_matches(last, _KEYS, n=1, cutoff=0.75) if detail == _UNKNOWN_KEY else []
        found = fault(source, place, detail)
        return ConfigError(found.path, detail, f'did you mean "{close[0]}"?') if close else found
    words = get_args(Means) if last == "means" else get_args(ReceiptWord) if _OF_STATES(place) else ()
    found = fault(source, place, f'"{wrong[1]}" is none of the words that may stand here')
    return ConfigError(found.path, found.detail, f"there are {', '.join(words)}") if words else found


def _located(document: dict[str, Any], message: str) -> tuple[str, str]:
    """Place and sentence of a fault: msgspec names neither the key of an unknown field nor that of a mapping."""
    found = _PLACE.match(message)
    assert found is not None
    place, detail = found["place"] or "", found["detail"]
    for pattern, sentence in ((_UNKNOWN, _UNKNOWN_KEY), (_MISSING, "is missing")):
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
