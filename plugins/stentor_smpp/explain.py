"""PDUs explained to people: hexadecimal in, one plain dictionary per PDU out, fit for JSON.

A PDU is ``{"command", "status", "sequence", "fields", "tlvs"}``, an answer has ``status_name`` too; what cannot be
read is ``{"error": {"octet", "detail", "reaction"}}``, the octet counted from the start of the input and the reaction
being what a session would do. Reading goes on behind a bad PDU as long as its frame holds, as a session's
does.
"""

from typing import Any

from stentor_smpp.pdu import DEFAULT_LIMITS, HEADER, PDU, Limits, Malformed, Reaction, decode
from stentor_smpp.status import lookup
from stentor_smpp.tlvs import TLV, tlv_name, tlv_value

_SEPARATORS = " \t\r\n:,-"


def explain(hexadecimal: str, limits: Limits = DEFAULT_LIMITS) -> list[dict[str, Any]]:
    """Explain every PDU of a hexadecimal string; blanks, colons and a leading 0x are skipped. Never
    raises."""
    octets = _unhex(hexadecimal)
    if isinstance(octets, dict):
        return [octets]
    explained: list[dict[str, Any]] = []
    at = 0
    while at < len(octets) or not explained:
        found = decode(octets, at, limits)
        if isinstance(found, PDU):
            explained.append(_explain_pdu(found))
            at += HEADER.unpack_from(octets, at)[0]
            continue
        explained.append(_explain_fault(found, at))
        if found.length == 0 or found.reaction is Reaction.NEED_MORE:
            break
        at += found.length
    return explained


def _unhex(hexadecimal: str) -> bytes | dict[str, Any]:
    text = hexadecimal.strip()
    if text[:2].lower() == "0x":
        text = text[2:]
    digits = "".join(character for character in text if character not in _SEPARATORS)
    for at, digit in enumerate(digits):
        if digit not in "0123456789abcdefABCDEF":
            return _error(at // 2, f"{digit!r} is not a hexadecimal digit", "none")
    if len(digits) % 2:
        return _error(len(digits) // 2, "the last octet has only one hexadecimal digit", "none")
    return bytes.fromhex(digits)


def _error(octet: int, detail: str, reaction: str) -> dict[str, Any]:
    return {"error": {"octet": octet, "detail": detail, "reaction": reaction}}


def _explain_fault(fault: Malformed, at: int) -> dict[str, Any]:
    return _error(at + fault.octet, fault.detail, fault.describe())


def _explain_pdu(pdu: PDU) -> dict[str, Any]:
    is_answer = pdu.command.endswith("_resp") or pdu.command == "generic_nack"
    return {
        "command": pdu.command,
        "status": pdu.status,
        **({"status_name": lookup(pdu.status).name} if is_answer else {}),
        "sequence": pdu.sequence,
        "fields": {
            name: value.hex() if isinstance(value, bytes) else value for name, value in pdu.fields.items()
        },
        "tlvs": _explain_tlvs(pdu.tlvs),
    }


def _explain_tlvs(tlvs: tuple[TLV, ...]) -> dict[str, Any]:
    """By name; the values of a tag that occurs more than once stand in a list, in wire order."""
    values: dict[str, list[int | str]] = {}
    for tag, octets in tlvs:
        values.setdefault(tlv_name(tag), []).append(tlv_value(tag, octets))
    return {name: found[0] if len(found) == 1 else found for name, found in values.items()}
