"""The codec: octets to PDUs and back, driven by the layouts of ``fields``.

What a peer sends is never an exception: ``decode`` answers with a PDU or with a ``Malformed`` that says
where, what, and how a session reacts. Encoding refuses values that do not fit, because those are ours. Every
PDU that decodes encodes to the same octets again, but for octets behind the last TLV and bodies nobody may
read.
"""

from enum import Enum
from struct import Struct as Packer
from struct import error as PackError
from typing import Any, Final

import msgspec

from stentor_smpp import status as codes
from stentor_smpp.fields import (
    ADDRESS_FLAG,
    DATA_SM,
    DESTINATION_STEPS,
    DESTINATION_WRITES,
    FAILURE_STEPS,
    FAILURE_WRITES,
    GENERIC_NACK,
    LAYOUTS,
    LONG_PASSWORD_LAYOUTS,
    MAX_DESTINATIONS,
    RESPONSE_BIT,
    UNANSWERED,
    Field,
    Kind,
    Layout,
    Step,
    Write,
    command_name,
)
from stentor_smpp.tlvs import MESSAGE_PAYLOAD, MESSAGE_STATE, RECEIPTED_MESSAGE_ID, TLV, first

HEADER_OCTETS: Final = 16
CLIENT_PDU_OCTETS: Final = 70_000
SERVER_PDU_OCTETS: Final = 65_536
# The books allow some sixty tags; a few repeat. More is a peer that wants us to allocate.
MAX_TLVS: Final = 256

HEADER: Final = Packer(">IIII")
_LENGTH: Final = Packer(">I")
_TLV_HEADER: Final = Packer(">HH")

Fields = dict[str, Any]

# An Enum's member is found in its class anew each time; once a step is too often.
_INTEGER: Final = Kind.INTEGER
_STRING: Final = Kind.STRING
_TIME: Final = Kind.TIME
_TIME_SIZES: Final = (0, 16)


class PDU(msgspec.Struct, gc=False):
    """One PDU. ``fields`` by the names of the specification, in wire order.

    Integers are int, C-octet strings str (Latin-1), short_message bytes, dest_address and unsuccess_sme lists
    of dicts. ``fields`` is empty when only a header came. ``tlvs`` holds every occurrence in wire order.
    """

    command_id: int
    status: int
    sequence: int
    fields: Fields = msgspec.field(default_factory=dict)
    tlvs: tuple[TLV, ...] = ()

    @property
    def command(self) -> str:
        """The command's name in the specification."""
        return command_name(self.command_id)


class Reaction(Enum):
    """What a session does about octets it cannot read (SMPP 3.4 sections 4.3.1 and 5.1.3)."""

    NEED_MORE = "need more"
    CLOSE = "close"
    NACK_AND_CLOSE = "generic_nack, close"
    NACK = "generic_nack"
    RESPOND = "response"
    IGNORE = "none"


class Malformed(msgspec.Struct, frozen=True, gc=False):
    """What is wrong with some octets. ``octet`` counts from the PDU's first; ``length`` is 0 if framing is
    lost.

    A broken response still has its header: ``command_status`` of a success that cannot be read stays 0.
    """

    octet: int
    detail: str
    reaction: Reaction
    status: int = 0
    command_id: int = 0
    sequence: int = 0
    length: int = 0

    def describe(self) -> str:
        """The reaction in one phrase: ``submit_sm_resp 0x0b``, ``generic_nack 0x02, close``, ``need
        more``."""
        if self.reaction is Reaction.NACK:
            return f"generic_nack 0x{self.status:02x}"
        if self.reaction is Reaction.NACK_AND_CLOSE:
            return f"generic_nack 0x{self.status:02x}, close"
        if self.reaction is Reaction.RESPOND:
            return f"{command_name(self.command_id | RESPONSE_BIT)} 0x{self.status:02x}"
        return str(self.reaction.value)


class Limits(msgspec.Struct, frozen=True, gc=False):
    """How much of a peer's PDU is believed. ``are_passwords_long`` admits up to 64 characters instead of
    8."""

    pdu_octets: int = CLIENT_PDU_OCTETS
    are_passwords_long: bool = False


class EncodeError(ValueError):
    """A value of ours does not fit its field; the text names field, value and limit."""


class _Fault(msgspec.Struct, frozen=True, gc=False):
    """Where and why reading stopped; ``status`` is that of the field."""

    octet: int
    detail: str
    status: int


DEFAULT_LIMITS: Final = Limits()

# ---------------------------------------------------------------- decoding


def check_frame(octets: bytes, start: int, limits: Limits) -> int | Malformed:
    """Length of the PDU that begins at ``start``, or why it cannot be taken out of the stream yet or ever."""
    size = len(octets) - start
    if size < 4:
        return Malformed(size, f"{size} of 16 header octets", Reaction.NEED_MORE)
    (length,) = _LENGTH.unpack_from(octets, start)
    if not HEADER_OCTETS <= length <= limits.pdu_octets:
        return _bad_length(octets, start, length, limits)
    if size < length:
        return Malformed(size, f"{size} of {length} octets", Reaction.NEED_MORE, length=length)
    return int(length)


def _bad_length(octets: bytes, start: int, length: int, limits: Limits) -> Malformed:
    stranger = other_protocol(octets[start : start + 4])
    if stranger is not None:
        return Malformed(0, f"not SMPP but {stranger}", Reaction.CLOSE)
    sequence = HEADER.unpack_from(octets, start)[3] if len(octets) - start >= HEADER_OCTETS else 0
    return Malformed(
        0,
        f"command_length {length}, must be {HEADER_OCTETS} to {limits.pdu_octets}",
        Reaction.NACK_AND_CLOSE,
        codes.RINVCMDLEN,
        GENERIC_NACK,
        sequence,
    )


def other_protocol(octets: bytes) -> str | None:
    """Which protocol the first four octets of a connection belong to when it is plainly not SMPP."""
    if octets[:2] == b"\x16\x03":
        return "TLS"
    if octets == b"SSH-":
        return "SSH"
    if octets in (b"GET ", b"POST", b"HEAD", b"PUT ", b"OPTI", b"CONN"):
        return "HTTP"
    return None


def decode(octets: bytes, start: int = 0, limits: Limits = DEFAULT_LIMITS) -> PDU | Malformed:
    """The PDU that begins at ``start``; octets behind it are left alone."""
    length = check_frame(octets, start, limits)
    if isinstance(length, Malformed):
        return length
    return decode_framed(octets, start, start + length, limits)


def decode_framed(octets: bytes, start: int, end: int, limits: Limits = DEFAULT_LIMITS) -> PDU | Malformed:
    """Read a PDU whose frame is known to be whole: ``octets[start:end]``."""
    length, command_id, command_status, sequence = HEADER.unpack_from(octets, start)
    layouts = LONG_PASSWORD_LAYOUTS if limits.are_passwords_long else LAYOUTS
    layout = layouts.get(command_id)
    if layout is None:
        detail = f"unknown command_id 0x{command_id:08x}"
        if command_id & RESPONSE_BIT:
            return Malformed(4, detail, Reaction.IGNORE, 0, command_id, sequence, length)
        return Malformed(4, detail, Reaction.NACK, codes.RINVCMDID, command_id, sequence, length)
    if command_id & RESPONSE_BIT and end - start == HEADER_OCTETS:
        return PDU(command_id, command_status, sequence)
    fields: Fields = {}
    tlvs = _read_body(layout, octets, start + HEADER_OCTETS, end, fields)
    if not isinstance(tlvs, _Fault):
        return PDU(command_id, command_status, sequence, fields, tlvs)
    return _judge(layout, tlvs, start, (length, command_id, command_status, sequence))


def _judge(layout: Layout, fault: _Fault, start: int, header: tuple[int, int, int, int]) -> PDU | Malformed:
    """What a body that cannot be read means: nothing, for an answer that failed anyway; else its reaction."""
    length, command_id, command_status, sequence = header
    is_response = bool(command_id & RESPONSE_BIT)
    if layout.is_body_ignored or (is_response and command_status != 0):
        return PDU(command_id, command_status, sequence)
    is_answered = not is_response and command_id not in UNANSWERED
    reaction = Reaction.RESPOND if is_answered else Reaction.IGNORE
    status = fault.status if is_answered else 0
    return Malformed(fault.octet - start, fault.detail, reaction, status, command_id, sequence, length)


def _read_body(layout: Layout, octets: bytes, at: int, end: int, fields: Fields) -> tuple[TLV, ...] | _Fault:
    position = _read_steps(layout.steps, octets, at, end, fields)
    if isinstance(position, _Fault):
        return position
    tlvs = read_tlvs(octets, position, end)
    if tlvs is None:
        return _find_tlv_fault(octets, position, end)
    if layout.command_id == DATA_SM and not _has_content(fields, tlvs):
        return _Fault(end, "data_sm without message_payload", codes.RMISSINGTLV)
    return tlvs


def _has_content(fields: Fields, tlvs: tuple[TLV, ...]) -> bool:
    """A data_sm says something in message_payload, or is a receipt that lives in TLVs alone."""
    if first(tlvs, MESSAGE_PAYLOAD) is not None:
        return True
    is_marked = fields["esm_class"] & 0x3C != 0 or first(tlvs, MESSAGE_STATE) is not None
    return is_marked and first(tlvs, RECEIPTED_MESSAGE_ID) is not None


def _read_steps(steps: tuple[Step, ...], octets: bytes, at: int, end: int, fields: Fields) -> int | _Fault:
    """Read the steps into ``fields``; where they end. Most PDUs are integers and strings alone, read right here."""
    find = octets.find
    for kind, name, size, names, packer, step_fields in steps:
        if kind is _STRING or kind is _TIME:
            nul = find(0, at, at + size)
            if not at <= nul < end or (kind is _TIME and nul - at not in _TIME_SIZES):
                return _find_string_fault(step_fields[0], octets, at, end)
            fields[name] = octets[at:nul].decode("latin-1") if nul > at else ""
            at = nul + 1
        elif kind is _INTEGER:
            if at + size > end:
                return _find_integer_fault(step_fields, at, end)
            if size > len(names):
                fields.update(zip(names, packer.unpack_from(octets, at), strict=True))
                at += size
                continue
            for name in names:
                fields[name] = octets[at]
                at += 1
        else:
            position = _READERS[kind](step_fields[0], octets, at, end, fields)
            if isinstance(position, _Fault):
                return position
            at = position
    return at


def _find_integer_fault(fields: tuple[Field, ...], at: int, end: int) -> _Fault:
    """The first integer of a run that does not end before ``end``."""
    for field in fields:
        if at + field.size > end:
            break
        at += field.size
    return _Fault(at, f"body ends before {field.name}", field.status)


def _find_string_fault(field: Field, octets: bytes, at: int, end: int) -> _Fault:
    """Why no string of ``field`` stands at ``at``."""
    if at >= end:
        return _Fault(at, f"body ends before {field.name}", field.status)
    nul = octets.find(0, at, min(at + field.size, end))
    if nul < 0:
        bound = "the PDU" if end - at < field.size else f"{field.size} octets"
        return _Fault(at, f"{field.name} does not end within {bound}", field.status)
    return _Fault(at, f"{field.name} has {nul - at} characters, must have 0 or 16", field.status)


def _read_text(field: Field, octets: bytes, at: int, end: int, fields: Fields) -> int | _Fault:
    if at >= end:
        return _Fault(at, "body ends before sm_length", field.status)
    behind = at + 1 + octets[at]
    if behind > end:
        return _Fault(at, f"sm_length {octets[at]}, {end - at - 1} octets are left", field.status)
    fields[field.name] = octets[at + 1 : behind]
    return behind


def _read_destinations(field: Field, octets: bytes, at: int, end: int, fields: Fields) -> int | _Fault:
    if at >= end:
        return _Fault(at, "body ends before number_of_dests", codes.RINVNUMDESTS)
    count = octets[at]
    if not 1 <= count <= MAX_DESTINATIONS:
        return _Fault(at, f"number_of_dests {count}, must be 1 to {MAX_DESTINATIONS}", codes.RINVNUMDESTS)
    at += 1
    found: list[Fields] = []
    for _ in range(count):
        if at >= end:
            return _Fault(at, f"{len(found)} of {count} destinations", codes.RINVNUMDESTS)
        flag = octets[at]
        steps = DESTINATION_STEPS.get(flag)
        if steps is None:
            return _Fault(at, f"dest_flag {flag}, must be 1 or 2", codes.RINVDESTFLAG)
        entry: Fields = {"dest_flag": flag}
        position = _read_steps(steps, octets, at + 1, end, entry)
        if isinstance(position, _Fault):
            return position
        at = position
        found.append(entry)
    fields[field.name] = found
    return at


def _read_failures(field: Field, octets: bytes, at: int, end: int, fields: Fields) -> int | _Fault:
    if at >= end:
        return _Fault(at, "body ends before no_unsuccess", field.status)
    count = octets[at]
    at += 1
    found: list[Fields] = []
    for _ in range(count):
        entry: Fields = {}
        position = _read_steps(FAILURE_STEPS, octets, at, end, entry)
        if isinstance(position, _Fault):
            return position
        at = position
        found.append(entry)
    fields[field.name] = found
    return at


_READERS: Final = {
    Kind.TEXT: _read_text,
    Kind.DESTINATIONS: _read_destinations,
    Kind.FAILURES: _read_failures,
}


def read_tlvs(octets: bytes, at: int, end: int) -> tuple[TLV, ...] | None:
    """Every TLV of ``octets[at:end]`` in order; one to three octets behind the last are no TLV and ignored.

    None when a value is longer than the rest or there are more than ``MAX_TLVS``.
    """
    found: list[TLV] = []
    while end - at >= 4:
        tag, size = _TLV_HEADER.unpack_from(octets, at)
        at += 4
        behind = at + size
        if behind > end or len(found) == MAX_TLVS:
            return None
        found.append((tag, octets[at:behind]))
        at = behind
    return tuple(found)


def _find_tlv_fault(octets: bytes, at: int, end: int) -> _Fault:
    for _ in range(MAX_TLVS):
        tag, size = _TLV_HEADER.unpack_from(octets, at)
        if at + 4 + size > end:
            detail = f"TLV 0x{tag:04x} of {size} octets, {end - at - 4} are left"
            return _Fault(at, detail, codes.RINVTLVSTREAM)
        at += 4 + size
    return _Fault(at, f"more than {MAX_TLVS} TLVs", codes.RINVTLVSTREAM)


# ---------------------------------------------------------------- encoding


def encode(pdu: PDU, are_passwords_long: bool = False) -> bytes:
    """The PDU as octets. A response without fields and TLVs is a bare header.

    Absent fields are 0 or empty. Raises EncodeError for a value that does not fit or a field it does not
    have.
    """
    if pdu.command_id & RESPONSE_BIT and not pdu.fields and not pdu.tlvs:
        return HEADER.pack(HEADER_OCTETS, pdu.command_id, pdu.status, pdu.sequence)
    body = encode_body(pdu.command_id, pdu.fields, pdu.tlvs, are_passwords_long)
    return HEADER.pack(HEADER_OCTETS + len(body), pdu.command_id, pdu.status, pdu.sequence) + body


def encode_body(
    command_id: int, fields: Fields, tlvs: tuple[TLV, ...] = (), are_passwords_long: bool = False
) -> bytes:
    """What follows the header. Raises EncodeError like ``encode``."""
    layout = (LONG_PASSWORD_LAYOUTS if are_passwords_long else LAYOUTS).get(command_id)
    if layout is None:
        raise EncodeError(f"command_id 0x{command_id:08x} has no layout")
    parts: list[bytes] = []
    _write_fields(layout.writes, fields, parts)
    if not layout.names.issuperset(fields):
        raise EncodeError(f"{layout.name} has no field {', '.join(sorted(set(fields) - layout.names))}")
    if tlvs:
        parts.append(encode_tlvs(tlvs))
    return b"".join(parts)


def encode_tlvs(tlvs: tuple[TLV, ...]) -> bytes:
    """TLVs as octets, in the order given."""
    parts: list[bytes] = []
    for tag, value in tlvs:
        if not 0 <= tag <= 0xFFFF or len(value) > 0xFFFF:
            raise EncodeError(f"TLV 0x{tag:x} of {len(value)} octets, both must fit 16 bits")
        parts.append(_TLV_HEADER.pack(tag, len(value)))
        parts.append(value)
    return b"".join(parts)


def _write_fields(writes: tuple[Write, ...], fields: Fields, parts: list[bytes]) -> None:
    """Append the fields' octets. What is absent, or does not fit, is looked at closely only then."""
    get = fields.get
    add = parts.append
    for name, values_of, pack, is_string, step in writes:
        if values_of is not None and pack is not None:
            try:
                add(pack(*values_of(fields)))
            except (KeyError, PackError):
                add(_write_integers(step, fields))
        elif is_string:
            value = get(name)
            add(encode_string(step.fields[0], value) if value else b"\0")
        elif step.kind is Kind.TEXT:
            add(_write_text(get(name, b"")))
        elif step.kind is Kind.DESTINATIONS:
            _write_destinations(get(name, []), parts)
        else:
            _write_failures(get(name, []), parts)


def _write_integers(step: Step, fields: Fields) -> bytes:
    values = [fields.get(name, 0) for name in step.names]
    for field, value in zip(step.fields, values, strict=True):
        if not isinstance(value, int) or not 0 <= value < 1 << (8 * field.size):
            raise EncodeError(f"{field.name} {value} does not fit {field.size} octets")
    return step.packer.pack(*values)


def encode_string(field: Field, value: str) -> bytes:
    """A C-octet string with its NUL; raises EncodeError when ``value`` does not fit ``field``."""
    try:
        octets = value.encode("latin-1")
    except UnicodeEncodeError:
        raise EncodeError(f"{field.name} {value!r} is not Latin-1") from None
    if 0 in octets or len(octets) >= field.size:
        raise EncodeError(f"{field.name} {value!r}: at most {field.size - 1} characters, none of them NUL")
    if field.kind is _TIME and len(octets) not in _TIME_SIZES:
        raise EncodeError(f"{field.name} {value!r} must have 0 or 16 characters")
    return octets + b"\0"


def _write_text(text: bytes) -> bytes:
    if len(text) > 255:
        raise EncodeError(f"short_message of {len(text)} octets, at most 255 fit")
    return bytes((len(text),)) + text


def _write_destinations(entries: list[Fields], parts: list[bytes]) -> None:
    if not 1 <= len(entries) <= MAX_DESTINATIONS:
        raise EncodeError(f"{len(entries)} destinations, must be 1 to {MAX_DESTINATIONS}")
    parts.append(bytes((len(entries),)))
    for entry in entries:
        flag = entry.get("dest_flag", ADDRESS_FLAG)
        writes = DESTINATION_WRITES.get(flag)
        if writes is None:
            raise EncodeError(f"dest_flag {flag}, must be 1 or 2")
        parts.append(bytes((flag,)))
        _write_fields(writes, entry, parts)


def _write_failures(entries: list[Fields], parts: list[bytes]) -> None:
    if len(entries) > 255:
        raise EncodeError(f"{len(entries)} failed addresses, at most 255 fit")
    parts.append(bytes((len(entries),)))
    for entry in entries:
        _write_fields(FAILURE_WRITES, entry, parts)
