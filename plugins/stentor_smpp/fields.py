"""Layouts of every PDU of SMPP 3.4 and 5.0, and the table of TLVs, as data.

Owns command ids, mandatory fields in wire order and what each TLV holds (SMPP 3.4 sections 4 and 5, SMPP 5.0
sections 4.1 to 4.8). Parser and builder both walk these tables, so a PDU is described once. Each layout is
compiled at import: integers that stand side by side become one ``struct.Struct``.
"""

from collections.abc import Callable, Mapping
from enum import Enum
from operator import itemgetter
from struct import Struct as Packer
from typing import Any, Final, NamedTuple

import msgspec

RESPONSE_BIT: Final = 0x80000000

BIND_RECEIVER: Final = 0x00000001
BIND_TRANSMITTER: Final = 0x00000002
QUERY_SM: Final = 0x00000003
SUBMIT_SM: Final = 0x00000004
DELIVER_SM: Final = 0x00000005
UNBIND: Final = 0x00000006
REPLACE_SM: Final = 0x00000007
CANCEL_SM: Final = 0x00000008
BIND_TRANSCEIVER: Final = 0x00000009
OUTBIND: Final = 0x0000000B
ENQUIRE_LINK: Final = 0x00000015
SUBMIT_MULTI: Final = 0x00000021
ALERT_NOTIFICATION: Final = 0x00000102
DATA_SM: Final = 0x00000103
BROADCAST_SM: Final = 0x00000111
QUERY_BROADCAST_SM: Final = 0x00000112
CANCEL_BROADCAST_SM: Final = 0x00000113
GENERIC_NACK: Final = 0x80000000
SUBMIT_SM_RESP: Final = SUBMIT_SM | RESPONSE_BIT
DELIVER_SM_RESP: Final = DELIVER_SM | RESPONSE_BIT
UNBIND_RESP: Final = UNBIND | RESPONSE_BIT
ENQUIRE_LINK_RESP: Final = ENQUIRE_LINK | RESPONSE_BIT
DATA_SM_RESP: Final = DATA_SM | RESPONSE_BIT

BINDS: Final = frozenset({BIND_RECEIVER, BIND_TRANSMITTER, BIND_TRANSCEIVER})
# SMPP 3.4 sections 4.1.7 and 4.12: these two are never answered.
UNANSWERED: Final = frozenset({OUTBIND, ALERT_NOTIFICATION})


class Kind(Enum):
    """How a mandatory field stands on the wire (SMPP 3.4 section 3.1)."""

    INTEGER = "integer"
    STRING = "C-octet string"
    TIME = "C-octet string of 1 or 17 octets"
    TEXT = "sm_length and short_message"
    DESTINATIONS = "number_of_dests and destinations"
    FAILURES = "no_unsuccess and failed addresses"


class Field(msgspec.Struct, frozen=True):
    """A mandatory field; ``size`` in octets, for strings the maximum with its NUL.

    ``status`` answers a request in which this field cannot be read.
    """

    name: str
    kind: Kind
    size: int
    status: int


class Step(NamedTuple):
    """One step of a compiled layout: a run of integers with its packer, or one field of another kind.

    A plain tuple, because the codec takes a step apart for every few octets. ``name`` is the first field's and
    ``size`` the octets of the whole run, or the most of the one field.
    """

    kind: Kind
    name: str
    size: int
    names: tuple[str, ...]
    packer: Packer
    fields: tuple[Field, ...]


class Write(NamedTuple):
    """The same step the other way round. A run of integers takes its values out of a PDU's fields by ``values_of`` and
    packs them by ``pack``; of the others strings have neither."""

    name: str
    values_of: Callable[[Mapping[str, Any]], tuple[Any, ...]] | None
    pack: Callable[..., bytes] | None
    is_string: bool
    step: Step


class Layout(msgspec.Struct, frozen=True):
    """A PDU's mandatory part. ``is_body_ignored``: the answer never depends on what follows the header."""

    command_id: int
    name: str
    fields: tuple[Field, ...]
    steps: tuple[Step, ...]
    writes: tuple[Write, ...]
    names: frozenset[str]
    is_body_ignored: bool = False


_STATUS_BY_NAME: Final = {
    "service_type": 0x15,
    "dl_name": 0x0B,
    "destination_addr": 0x0B,
    "schedule_delivery_time": 0x61,
    "validity_period": 0x62,
    "short_message": 0x01,
    "dest_address": 0x33,
}


def _status(name: str) -> int:
    if name.startswith("source_addr"):
        return 0x0A
    if name.startswith("dest_addr_"):
        return 0x0B
    return _STATUS_BY_NAME.get(name, 0x02)


def _integer(name: str, size: int = 1) -> Field:
    return Field(name, Kind.INTEGER, size, _status(name))


def _string(name: str, size: int) -> Field:
    return Field(name, Kind.STRING, size, _status(name))


def _time(name: str) -> Field:
    return Field(name, Kind.TIME, 17, _status(name))


def _address(prefix: str, name: str, size: int = 21) -> tuple[Field, ...]:
    return (_integer(f"{prefix}_addr_ton"), _integer(f"{prefix}_addr_npi"), _string(name, size))


PASSWORD_OCTETS: Final = 9
LONG_PASSWORD_OCTETS: Final = 65

_TEXT = Field("short_message", Kind.TEXT, 255, _status("short_message"))
_SERVICE = _string("service_type", 6)
_SOURCE = _address("source", "source_addr")
_DESTINATION = _address("dest", "destination_addr")
_MESSAGE_ID = _string("message_id", 65)
_SCHEDULE = _time("schedule_delivery_time")
_VALIDITY = _time("validity_period")
_FLAGS = (_integer("esm_class"), _integer("protocol_id"), _integer("priority_flag"))
_CODING = (
    _integer("registered_delivery"),
    _integer("replace_if_present_flag"),
    _integer("data_coding"),
    _integer("sm_default_msg_id"),
)
_MESSAGE = (*_FLAGS, _SCHEDULE, _VALIDITY, *_CODING, _TEXT)
# A carrier's deliver_sm is not refused for an odd time nobody reads: it would come back after every
# reconnect.
_DELIVERY = (*_FLAGS, _string(_SCHEDULE.name, 17), _string(_VALIDITY.name, 17), *_CODING, _TEXT)


def _bind(password_octets: int) -> tuple[Field, ...]:
    return (
        _string("system_id", 16),
        _string("password", password_octets),
        _string("system_type", 13),
        _integer("interface_version"),
        _integer("addr_ton"),
        _integer("addr_npi"),
        _string("address_range", 41),
    )


def _outbind(password_octets: int) -> tuple[Field, ...]:
    return (_string("system_id", 16), _string("password", password_octets))


# Destinations of submit_multi: dest_flag, then one of these; failed addresses of its response.
ADDRESS_FLAG: Final = 1
LIST_FLAG: Final = 2
MAX_DESTINATIONS: Final = 254
DESTINATION_FIELDS: Final = {ADDRESS_FLAG: _DESTINATION, LIST_FLAG: (_string("dl_name", 21),)}
FAILURE_FIELDS: Final = (*_DESTINATION, _integer("error_status_code", 4))

_BIND_RESP = (_string("system_id", 16),)
_ID_ONLY = (_MESSAGE_ID,)

_FIELDS: Final[dict[int, tuple[str, tuple[Field, ...]]]] = {
    BIND_RECEIVER: ("bind_receiver", _bind(PASSWORD_OCTETS)),
    BIND_RECEIVER | RESPONSE_BIT: ("bind_receiver_resp", _BIND_RESP),
    BIND_TRANSMITTER: ("bind_transmitter", _bind(PASSWORD_OCTETS)),
    BIND_TRANSMITTER | RESPONSE_BIT: ("bind_transmitter_resp", _BIND_RESP),
    BIND_TRANSCEIVER: ("bind_transceiver", _bind(PASSWORD_OCTETS)),
    BIND_TRANSCEIVER | RESPONSE_BIT: ("bind_transceiver_resp", _BIND_RESP),
    OUTBIND: ("outbind", _outbind(PASSWORD_OCTETS)),
    UNBIND: ("unbind", ()),
    UNBIND_RESP: ("unbind_resp", ()),
    ENQUIRE_LINK: ("enquire_link", ()),
    ENQUIRE_LINK_RESP: ("enquire_link_resp", ()),
    GENERIC_NACK: ("generic_nack", ()),
    SUBMIT_SM: ("submit_sm", (_SERVICE, *_SOURCE, *_DESTINATION, *_MESSAGE)),
    SUBMIT_SM_RESP: ("submit_sm_resp", _ID_ONLY),
    DELIVER_SM: ("deliver_sm", (_SERVICE, *_SOURCE, *_DESTINATION, *_DELIVERY)),
    DELIVER_SM_RESP: ("deliver_sm_resp", _ID_ONLY),
    SUBMIT_MULTI: (
        "submit_multi",
        (_SERVICE, *_SOURCE, Field("dest_address", Kind.DESTINATIONS, 1, _status("dest_address")), *_MESSAGE),
    ),
    SUBMIT_MULTI | RESPONSE_BIT: (
        "submit_multi_resp",
        (_MESSAGE_ID, Field("unsuccess_sme", Kind.FAILURES, 1, 0x02)),
    ),
    DATA_SM: (
        "data_sm",
        (
            _SERVICE,
            *_address("source", "source_addr", 65),
            *_address("dest", "destination_addr", 65),
            _integer("esm_class"),
            _integer("registered_delivery"),
            _integer("data_coding"),
        ),
    ),
    DATA_SM_RESP: ("data_sm_resp", _ID_ONLY),
    QUERY_SM: ("query_sm", (_MESSAGE_ID, *_SOURCE)),
    QUERY_SM | RESPONSE_BIT: (
        "query_sm_resp",
        # Carriers also send twelve digits, so this time is any string that fits.
        (_MESSAGE_ID, _string("final_date", 17), _integer("message_state"), _integer("error_code")),
    ),
    CANCEL_SM: ("cancel_sm", (_SERVICE, _MESSAGE_ID, *_SOURCE, *_DESTINATION)),
    CANCEL_SM | RESPONSE_BIT: ("cancel_sm_resp", ()),
    REPLACE_SM: (
        "replace_sm",
        (
            _MESSAGE_ID,
            *_SOURCE,
            _SCHEDULE,
            _VALIDITY,
            _integer("registered_delivery"),
            _integer("sm_default_msg_id"),
            _TEXT,
        ),
    ),
    REPLACE_SM | RESPONSE_BIT: ("replace_sm_resp", ()),
    ALERT_NOTIFICATION: (
        "alert_notification",
        (*_address("source", "source_addr", 65), *_address("esme", "esme_addr", 65)),
    ),
    BROADCAST_SM: (
        "broadcast_sm",
        (
            _SERVICE,
            *_SOURCE,
            _MESSAGE_ID,
            _integer("priority_flag"),
            _SCHEDULE,
            _VALIDITY,
            _integer("replace_if_present_flag"),
            _integer("data_coding"),
            _integer("sm_default_msg_id"),
        ),
    ),
    BROADCAST_SM | RESPONSE_BIT: ("broadcast_sm_resp", _ID_ONLY),
    QUERY_BROADCAST_SM: ("query_broadcast_sm", (_MESSAGE_ID, *_SOURCE)),
    QUERY_BROADCAST_SM | RESPONSE_BIT: ("query_broadcast_sm_resp", _ID_ONLY),
    CANCEL_BROADCAST_SM: ("cancel_broadcast_sm", (_SERVICE, _MESSAGE_ID, *_SOURCE)),
    CANCEL_BROADCAST_SM | RESPONSE_BIT: ("cancel_broadcast_sm_resp", ()),
}

_FORMATS: Final = {1: "B", 2: "H", 4: "I"}


def _step(fields: tuple[Field, ...]) -> Step:
    codes = "".join(_FORMATS[field.size] for field in fields if field.kind is Kind.INTEGER)
    packer = Packer(f">{codes}")
    size = packer.size or fields[0].size
    names = tuple(field.name for field in fields)
    return Step(fields[0].kind, names[0], size, names, packer, fields)


def _write(step: Step) -> Write:
    if step.kind is Kind.INTEGER:
        return Write(step.name, _values_of(step.names), step.packer.pack, False, step)
    return Write(step.name, None, None, step.kind in (Kind.STRING, Kind.TIME), step)


def _values_of(names: tuple[str, ...]) -> Callable[[Mapping[str, Any]], tuple[Any, ...]]:
    if len(names) > 1:
        return itemgetter(*names)
    name = names[0]
    return lambda fields: (fields[name],)


def compile_steps(fields: tuple[Field, ...]) -> tuple[Step, ...]:
    """Group integers that stand side by side; every other field is a step of its own."""
    steps: list[Step] = []
    run: list[Field] = []
    for field in fields:
        if field.kind is Kind.INTEGER:
            run.append(field)
            continue
        if run:
            steps.append(_step(tuple(run)))
            run = []
        steps.append(_step((field,)))
    if run:
        steps.append(_step(tuple(run)))
    return tuple(steps)


def compile_writes(fields: tuple[Field, ...]) -> tuple[Write, ...]:
    """The steps as the builder takes them."""
    return tuple(_write(step) for step in compile_steps(fields))


# The peer's life and a goodbye are answered whatever stands behind the header.
_BODY_IGNORED: Final = frozenset({ENQUIRE_LINK, ENQUIRE_LINK_RESP, UNBIND, UNBIND_RESP, GENERIC_NACK})


def _layout(command_id: int, name: str, fields: tuple[Field, ...]) -> Layout:
    names = frozenset(field.name for field in fields)
    steps, writes = compile_steps(fields), compile_writes(fields)
    return Layout(command_id, name, fields, steps, writes, names, command_id in _BODY_IGNORED)


LAYOUTS: Final[dict[int, Layout]] = {
    command_id: _layout(command_id, name, fields) for command_id, (name, fields) in _FIELDS.items()
}
# Many customers and carriers use more than the eight characters of the books.
LONG_PASSWORD_LAYOUTS: Final[dict[int, Layout]] = {
    **LAYOUTS,
    **{command: _layout(command, LAYOUTS[command].name, _bind(LONG_PASSWORD_OCTETS)) for command in BINDS},
    OUTBIND: _layout(OUTBIND, "outbind", _outbind(LONG_PASSWORD_OCTETS)),
}
DESTINATION_STEPS: Final = {flag: compile_steps(fields) for flag, fields in DESTINATION_FIELDS.items()}
FAILURE_STEPS: Final = compile_steps(FAILURE_FIELDS)
DESTINATION_WRITES: Final = {flag: compile_writes(fields) for flag, fields in DESTINATION_FIELDS.items()}
FAILURE_WRITES: Final = compile_writes(FAILURE_FIELDS)

COMMANDS: Final[dict[str, int]] = {layout.name: command_id for command_id, layout in LAYOUTS.items()}


def command_name(command_id: int) -> str:
    """The name of the specification, or the id in hexadecimal when it has none."""
    layout = LAYOUTS.get(command_id)
    return layout.name if layout is not None else f"0x{command_id:08x}"
