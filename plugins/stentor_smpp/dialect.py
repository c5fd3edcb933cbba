"""The keys with which a channel speaks its carrier's dialect: what messages are packed from, how answers are read.

``config`` adds the keys of the link, and both together are the channel's. What depends on more than one key is checked
in ``checks``.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, field

from stentor.text.coding import Alphabet, Coding
from stentor.text.languages import Language
from stentor_smpp.rules import (
    ClassWord,
    DataCodings,
    DestinationRule,
    LanguageName,
    OriginatorRule,
    PriorityFlags,
    ServiceType,
    StateWord,
    StatusRule,
    TLVRule,
)


class Submitting(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How messages are addressed and packed (SMPP 3.4 section 4.4.1)."""

    # -- addresses --------------------------------------------------------------------------------------------------

    service_type: Annotated[ServiceType, Meta(description="Sent with each message; usually empty.")] = ""
    number_ton: Annotated[
        int, Meta(ge=0, le=255, description="TON of originators that are international numbers.")
    ] = 1
    number_npi: Annotated[int, Meta(ge=0, le=255, description="NPI of the same.")] = 1
    number_service_type: Annotated[
        ServiceType, Meta(description="service_type of the same; empty: `service_type`.")
    ] = ""
    short_code_ton: Annotated[int, Meta(ge=0, le=255, description="TON of short-code originators.")] = 3
    short_code_npi: Annotated[int, Meta(ge=0, le=255, description="NPI of the same.")] = 0
    short_code_service_type: Annotated[
        ServiceType, Meta(description="service_type of the same; empty: `service_type`.")
    ] = ""
    name_ton: Annotated[
        int, Meta(ge=0, le=255, description="TON of originators that are names (alphanumeric).")
    ] = 5
    name_npi: Annotated[int, Meta(ge=0, le=255, description="NPI of the same.")] = 0
    name_service_type: Annotated[
        ServiceType, Meta(description="service_type of the same; empty: `service_type`.")
    ] = ""
    empty_ton: Annotated[
        int, Meta(ge=0, le=255, description="TON of messages without originator: the carrier's default.")
    ] = 0
    empty_npi: Annotated[int, Meta(ge=0, le=255, description="NPI of the same.")] = 0
    originators: Annotated[
        dict[str, OriginatorRule], Meta(description="Originators announced unlike others of their kind.")
    ] = field(default_factory=dict)
    destination_ton: Annotated[int, Meta(ge=0, le=255, description="TON of destinations.")] = 1
    destination_npi: Annotated[int, Meta(ge=0, le=255, description="NPI of destinations.")] = 1
    destinations: Annotated[
        dict[str, DestinationRule],
        Meta(
            description="Destinations written in another way, by their beginning with `+`; the longest that "
            "fits counts."
        ),
    ] = field(default_factory=dict)

    # -- alphabets --------------------------------------------------------------------------------------------------

    default_alphabet: Annotated[
        Literal["gsm7", "gsm7_packed", "latin1", "ascii", "windows1252", "ucs2"],
        Meta(
            description="What the carrier means by data_coding 0, in both directions; ask it, for texts spoil "
            "otherwise. `ucs2`: no 7-bit text at all."
        ),
    ] = "gsm7"
    national_languages: Annotated[
        tuple[LanguageName, ...],
        Meta(
            description="Languages whose tables may keep a text 7-bit; the carrier and the handsets must know them."
        ),
    ] = ()
    latin1: Annotated[
        bool,
        Meta(
            description="Send a text as Latin-1 that GSM 7-bit cannot carry and Latin-1 can, instead of UCS-2."
        ),
    ] = False
    data_codings: Annotated[
        DataCodings,
        Meta(description="data_coding by encoding, for messages without a class; what is left out stays."),
    ] = DataCodings()

    # -- flags ------------------------------------------------------------------------------------------------------

    message_mode: Annotated[
        Literal["default", "datagram", "forward", "store_and_forward"],
        Meta(description="The messaging mode in esm_class."),
    ] = "default"
    protocol_id: Annotated[int, Meta(ge=0, le=255, description="protocol_id (TP-PID) of each message.")] = 0
    priority_flags: Annotated[
        PriorityFlags, Meta(description="priority_flag for each priority of a message.")
    ] = PriorityFlags()
    message_class: (
        Annotated[
            int,
            Meta(
                ge=0,
                le=3,
                description="Class of each message, 0 to 3; without it none. A flash message has 0.",
            ),
        ]
        | None
    ) = None
    class_coding: Annotated[
        Literal["0xF0", "0x10"],
        Meta(
            description="Which data_coding says a class: that of message classes (0xF0) or the general one of "
            "TS 23.038 (0x10). UCS-2 has the second only."
        ),
    ] = "0xF0"
    replace_if_present: Annotated[
        bool,
        Meta(
            description="Let a message replace one that still waits at the carrier, with the same originator and "
            "destination."
        ),
    ] = False
    registered_delivery: Annotated[
        Literal["all", "failure", "success", "none"],
        Meta(
            description="Which receipts are asked for, of messages that want them. Success alone is SMPP 5.0."
        ),
    ] = "all"
    intermediate_receipts: Annotated[
        bool, Meta(description="Ask for receipts of intermediate states as well.")
    ] = False
    handset_acknowledgement: Annotated[
        Literal["none", "delivery", "user", "both"],
        Meta(description="Which acknowledgements of the handset are asked for, with the receipt."),
    ] = "none"

    # -- validity and schedule --------------------------------------------------------------------------------------

    validity: Annotated[
        Literal["relative", "absolute", "none"],
        Meta(
            description="How the carrier is told how long a message is good: as a span, as a time in UTC, or not."
        ),
    ] = "relative"
    validity_longest_s: Annotated[
        float,
        Meta(ge=0, le=30 * 86_400, description="The carrier is never told a longer validity; 0: no limit."),
    ] = field(default=0.0, name="validity_longest")

    schedule: Annotated[
        Literal["relative", "absolute", "none"],
        Meta(
            description="How a message for later is handed to the carrier ahead of its time, in "
            "schedule_delivery_time: as a span, as a time in UTC, or not: then it waits here until it is due."
        ),
    ] = "none"
    schedule_ahead_s: Annotated[
        float,
        Meta(
            ge=1,
            le=30 * 86_400,
            description="How long before it is due the carrier is handed such a message at most; ask it.",
        ),
    ] = field(default=86_400.0, name="schedule_ahead")

    # -- long messages and TLVs -------------------------------------------------------------------------------------

    long_messages: Annotated[
        Literal["udh8", "udh16", "sar", "payload"],
        Meta(
            description="How a text of several segments travels: segments with a header whose reference has 8 or "
            "16 bits, segments with the TLVs sar_*, or whole in message_payload."
        ),
    ] = "udh8"
    tlvs: Annotated[tuple[TLVRule, ...], Meta(description="TLVs that go with each message.")] = ()
    user_message_reference: Annotated[
        bool, Meta(description="Send a reference of ours in the TLV user_message_reference.")
    ] = False
    tlvs_to_old_peers: Annotated[
        bool, Meta(description="Send TLVs also to an SMSC that announced a version below 3.4.")
    ] = False

    @property
    def alphabet(self) -> Alphabet:
        """``default_alphabet``, as the engine names it."""
        return Alphabet(self.default_alphabet)

    @property
    def coding(self) -> Coding:
        """How the carrier takes texts."""
        return Coding(
            self.alphabet,
            tuple(Language[name.upper()] for name in self.national_languages),
            self.latin1,
            self.long_messages == "udh16",
        )


class Dialect(Submitting, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """And how answers and receipts are read (sections 5.1.3 and 5.2.28, appendix B)."""

    statuses: Annotated[
        dict[str, ClassWord | StatusRule],
        Meta(
            description="What the carrier means by a command_status, by number or name: a class, or a table with "
            "more."
        ),
    ] = field(default_factory=dict)
    message_ids: Annotated[
        Literal["auto", "fold", "exact", "dec_dec", "hex_dec", "dec_hex", "hex_hex"],
        Meta(
            description="How the id in a response and the id in its receipt relate: found out, equal but for case "
            "and leading zeros, exactly equal, or in which notation each is."
        ),
    ] = "auto"
    states: Annotated[
        dict[str, StateWord],
        Meta(
            description="What the carrier's own words in `stat:` mean, before the usual ones are looked at."
        ),
    ] = field(default_factory=dict)
    accepted_means: Annotated[
        Literal["sent", "delivered", "unknown"],
        Meta(description="What the state ACCEPTED says; `sent`: more is to come."),
    ] = "sent"
    unknown_means: Annotated[
        Literal["sent", "undelivered", "unknown"],
        Meta(description="What the state UNKNOWN says, and words nobody knows; `sent`: more is to come."),
    ] = "unknown"
    receipts_by_text: Annotated[
        bool,
        Meta(
            description="Take a message that reads like a receipt for one even without a mark. A handset could have "
            "typed it."
        ),
    ] = False
    receipts_echo_reference: Annotated[
        bool,
        Meta(description="Receipts repeat user_message_reference, so they settle doubt about lost answers."),
    ] = False
    utc_offset: Annotated[
        str,
        Meta(
            pattern=r"^[+-](0[0-9]|1[0-4]):[0-5][0-9]$",
            title='hours and minutes ahead of UTC, like "+05:30"',
            description="How far the dates in the carrier's receipts are ahead of UTC.",
        ),
    ] = "+00:00"
