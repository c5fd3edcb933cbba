"""The tables inside a channel's table: rules for originators, destinations, statuses and vendor TLVs.

What a type cannot say about them is said by ``checks``.
"""

import difflib
from collections.abc import Iterable
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, field

Octet = Annotated[int, Meta(ge=0, le=255)]
ServiceType = Annotated[
    str, Meta(max_length=5, pattern=r"^[\x20-\x7e]*$", title="at most 5 characters of ASCII")
]

ClassWord = Literal["success", "throttle", "temporary", "permanent", "session", "bind_fatal"]
LanguageName = Literal[
    "turkish",
    "spanish",
    "portuguese",
    "bengali",
    "gujarati",
    "hindi",
    "kannada",
    "malayalam",
    "oriya",
    "punjabi",
    "tamil",
    "telugu",
    "urdu",
]
StateWord = Literal["sent", "delivered", "undelivered", "rejected", "expired", "deleted", "unknown"]
TLVType = Literal["string", "text", "octets", "int1", "int2", "int4"]


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What every inner table derives from."""


class DataCodings(Rule, frozen=True):
    """data_coding by encoding; the usual values of SMPP 3.4 section 5.2.19."""

    gsm7: Annotated[Octet, Meta(description="data_coding of texts in the carrier's default alphabet.")] = 0x00
    ucs2: Annotated[Octet, Meta(description="data_coding of UCS-2.")] = 0x08
    binary: Annotated[Octet, Meta(description="data_coding of binary data.")] = 0x04
    latin1: Annotated[Octet, Meta(description="data_coding of Latin-1.")] = 0x03


class PriorityFlags(Rule, frozen=True):
    """priority_flag for each priority of a message (SMPP 3.4 section 5.2.14)."""

    urgent: Annotated[int, Meta(ge=0, le=3, description="priority_flag of urgent messages.")] = 0
    high: Annotated[int, Meta(ge=0, le=3, description="priority_flag of high ones.")] = 0
    normal: Annotated[int, Meta(ge=0, le=3, description="priority_flag of normal ones.")] = 0
    bulk: Annotated[int, Meta(ge=0, le=3, description="priority_flag of bulk.")] = 0


class OriginatorRule(Rule, frozen=True):
    """How one originator is announced; what is left out is that of its kind."""

    ton: Annotated[int, Meta(ge=0, le=255, description="source_addr_ton of this originator.")] | None = None
    npi: Annotated[int, Meta(ge=0, le=255, description="source_addr_npi of this originator.")] | None = None
    service_type: (
        Annotated[ServiceType, Meta(description="service_type of messages from this originator.")] | None
    ) = None


class DestinationRule(Rule, frozen=True):
    """How destinations with one beginning are written."""

    ton: Annotated[int, Meta(ge=0, le=255, description="dest_addr_ton of these destinations.")] = 1
    npi: Annotated[int, Meta(ge=0, le=255, description="dest_addr_npi of these destinations.")] = 1
    strip: Annotated[
        str,
        Meta(
            pattern=r"^(\+[0-9]{0,15})?$",
            title='the beginning of a number, like "+91"',
            description="What is taken off their front; empty keeps the `+`.",
        ),
    ] = "+"
    add: Annotated[
        str,
        Meta(
            pattern=r"^[0-9*#+]{0,15}$",
            title='at most 15 digits, like "0"',
            description="What is put in front instead.",
        ),
    ] = ""


class StatusRule(Rule, frozen=True):
    """What one command_status means."""

    status_class: Annotated[
        ClassWord,
        Meta(
            description="`success`; `throttle`: again, and slower; `temporary`: again later; `permanent`: never; "
            "`session`: the session is to blame, again after a pause of the lane; `bind_fatal`: likewise."
        ),
    ] = field(name="class")
    code: Annotated[str, Meta(description="The message's `error.code`; empty: what the class implies.")] = ""
    pause_s: Annotated[
        float,
        Meta(
            ge=0,
            le=86_400,
            description="At least so long a pause: of the message (`temporary`) or of the lane (the others).",
        ),
    ] = field(default=0.0, name="pause")


class TLVRule(Rule, frozen=True):
    """A TLV that goes with each message."""

    tag: Annotated[
        Annotated[int, Meta(ge=1, le=0xFFFF)] | str,
        Meta(description='A number, hexadecimal in a text (`"0x1400"`), or a name of the specification.'),
    ]
    type: Annotated[
        TLVType,
        Meta(
            description="`string`: characters and a NUL; `text`: without the NUL; `octets`: hexadecimal; `int1`, "
            "`int2`, `int4`: a number of so many octets."
        ),
    ] = "string"
    value: Annotated[int | str, Meta(description="The same for every message.")] | None = None
    metadata: Annotated[str, Meta(description="Or: the key of the message's metadata that holds it.")] = ""
    required: Annotated[
        bool, Meta(description="Refuse messages without that key, instead of sending them without the TLV.")
    ] = False
    default: Annotated[int | str, Meta(description="For messages without that key.")] | None = None


def nearest(word: str, known: Iterable[str]) -> str | None:
    """``did you mean "temporary"?`` or None."""
    found = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f'did you mean "{found[0]}"?' if found else None
