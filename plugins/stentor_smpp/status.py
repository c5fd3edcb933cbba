"""The command_status table: what each code is called and what it means for the message it answers.

Owns the names and classes of SMPP 3.4 section 5.1.3 and SMPP 5.0 section 4.7.6. A status is 32 bits wide;
every value has an entry: codes 0x400 to 0x4FF belong to the carrier, all others that are not listed are
reserved, and both count as temporary until a channel's own table says otherwise.
"""

from enum import Enum
from typing import Final

import msgspec


class StatusClass(Enum):
    """What a sending client does with the message after this status."""

    SUCCESS = "success"
    THROTTLE = "throttle"
    TEMPORARY = "temporary"
    PERMANENT = "permanent"
    SESSION = "session"
    BIND_FATAL = "bind_fatal"


class StatusInfo(msgspec.Struct, frozen=True, gc=False):
    """One row of the table; ``is_listed`` is false for vendor and reserved codes."""

    code: int
    name: str
    status_class: StatusClass
    is_listed: bool = True


ROK: Final = 0x00
RINVMSGLEN: Final = 0x01
RINVCMDLEN: Final = 0x02
RINVCMDID: Final = 0x03
RINVBNDSTS: Final = 0x04
RALYBND: Final = 0x05
RSYSERR: Final = 0x08
RINVSRCADR: Final = 0x0A
RINVDSTADR: Final = 0x0B
RINVMSGID: Final = 0x0C
RBINDFAIL: Final = 0x0D
RINVPASWD: Final = 0x0E
RINVSYSID: Final = 0x0F
RMSGQFUL: Final = 0x14
RINVSERTYP: Final = 0x15
RINVNUMDESTS: Final = 0x33
RINVDESTFLAG: Final = 0x40
RTHROTTLED: Final = 0x58
RINVSCHED: Final = 0x61
RINVEXPIRY: Final = 0x62
RX_T_APPN: Final = 0x64
RX_P_APPN: Final = 0x65
RX_R_APPN: Final = 0x66
RINVTLVSTREAM: Final = 0xC0
RMISSINGTLV: Final = 0xC3
RUNKNOWNERR: Final = 0xFF

VENDOR_FIRST: Final = 0x400
VENDOR_LAST: Final = 0x4FF

# One line a class keeps the classification readable; 3.4 names, without the common prefix ESME_.
_BY_CLASS: Final[dict[StatusClass, dict[int, str]]] = {
    StatusClass.SUCCESS: {0x00: "ROK"},
    StatusClass.THROTTLE: {0x14: "RMSGQFUL", 0x58: "RTHROTTLED"},
    StatusClass.SESSION: {0x04: "RINVBNDSTS", 0x05: "RALYBND"},
    StatusClass.BIND_FATAL: {0x0D: "RBINDFAIL", 0x0E: "RINVPASWD", 0x0F: "RINVSYSID", 0x53: "RINVSYSTYP"},
    StatusClass.TEMPORARY: {
        0x08: "RSYSERR",
        0x45: "RSUBMITFAIL",
        0x64: "RX_T_APPN",
        0x67: "RQUERYFAIL",
        0xFE: "RDELIVERYFAILURE",
        0xFF: "RUNKNOWNERR",
        0x102: "RSERTYPUNAVAIL",
    },
    StatusClass.PERMANENT: {
        0x01: "RINVMSGLEN",
        0x02: "RINVCMDLEN",
        0x03: "RINVCMDID",
        0x06: "RINVPRTFLG",
        0x07: "RINVREGDLVFLG",
        0x0A: "RINVSRCADR",
        0x0B: "RINVDSTADR",
        0x0C: "RINVMSGID",
        0x11: "RCANCELFAIL",
        0x13: "RREPLACEFAIL",
        0x15: "RINVSERTYP",
        0x33: "RINVNUMDESTS",
        0x34: "RINVDLNAME",
        0x40: "RINVDESTFLAG",
        0x42: "RINVSUBREP",
        0x43: "RINVESMCLASS",
        0x44: "RCNTSUBDL",
        0x48: "RINVSRCTON",
        0x49: "RINVSRCNPI",
        0x50: "RINVDSTTON",
        0x51: "RINVDSTNPI",
        0x54: "RINVREPFLAG",
        0x55: "RINVNUMMSGS",
        0x61: "RINVSCHED",
        0x62: "RINVEXPIRY",
        0x63: "RINVDFTMSGID",
        0x65: "RX_P_APPN",
        0x66: "RX_R_APPN",
        0xC0: "RINVOPTPARSTREAM",
        0xC1: "ROPTPARNOTALLWD",
        0xC2: "RINVPARLEN",
        0xC3: "RMISSINGOPTPARAM",
        0xC4: "RINVOPTPARAMVAL",
        0x100: "RSERTYPUNAUTH",
        0x101: "RPROHIBITED",
        0x103: "RSERTYPDENIED",
        0x104: "RINVDCS",
        0x105: "RINVSRCADDRSUBUNIT",
        0x106: "RINVDSTADDRSUBUNIT",
        0x107: "RINVBCASTFREQINT",
        0x108: "RINVBCASTALIAS_NAME",
        0x109: "RINVBCASTAREAFMT",
        0x10A: "RINVNUMBCAST_AREAS",
        0x10B: "RINVBCASTCNTTYPE",
        0x10C: "RINVBCASTMSGCLASS",
        0x10D: "RBCASTFAIL",
        0x10E: "RBCASTQUERYFAIL",
        0x10F: "RBCASTCANCELFAIL",
        0x110: "RINVBCAST_REP",
        0x111: "RINVBCASTSRVGRP",
        0x112: "RINVBCASTCHANIND",
    },
}

STATUSES: Final[dict[int, StatusInfo]] = {
    code: StatusInfo(code, f"ESME_{name}", status_class)
    for status_class, names in _BY_CLASS.items()
    for code, name in names.items()
}


def lookup(code: int) -> StatusInfo:
    """The row of ``code``; vendor and reserved codes get a row made for them, of class temporary."""
    known = STATUSES.get(code)
    if known is not None:
        return known
    origin = "vendor" if VENDOR_FIRST <= code <= VENDOR_LAST else "reserved"
    return StatusInfo(code, f"{origin} 0x{code:08x}", StatusClass.TEMPORARY, is_listed=False)


_CODES_BY_NAME: Final = {info.name: code for code, info in STATUSES.items()}


def parse_status(text: str) -> int | None:
    """The code of ``0x45``, ``69``, ``ESME_RSUBMITFAIL`` or ``RSUBMITFAIL``; None for anything else."""
    name = text.upper()
    if (code := _CODES_BY_NAME.get(name, _CODES_BY_NAME.get(f"ESME_{name}"))) is not None:
        return code
    digits, base = (name[2:], 16) if name.startswith("0X") else (name, 10)
    try:
        code = int(digits, base) if digits.isascii() and digits.isalnum() else -1
    except ValueError:
        return None
    return code if 0 <= code <= 0xFFFF_FFFF else None
