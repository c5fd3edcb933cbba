"""The keys of a channel whose driver is ``smpp``, each with its default and the sentence that documents it."""

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, field

SECRETS: Final = frozenset({"password"})


class SMPPConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One account at one carrier."""

    host: Annotated[str, Meta(min_length=1, max_length=253, description="The SMSC's name or address.")]
    port: Annotated[int, Meta(ge=1, le=65535, description="The SMSC's TCP port.")] = 2775
    system_id: Annotated[
        str, Meta(max_length=15, pattern=r"^[\x20-\x7e]*$", description="Login the carrier gave.")
    ]
    password: Annotated[
        str, Meta(max_length=64, pattern=r"^[\x20-\x7e]*$", description="Password the carrier gave.")
    ] = ""
    system_type: Annotated[
        str,
        Meta(
            max_length=12,
            pattern=r"^[\x20-\x7e]*$",
            description="Some carriers insist on a value; usually empty.",
        ),
    ] = ""
    bind: Annotated[
        Literal["transceiver", "transmitter", "receiver"],
        Meta(description="What a session may do: send, receive, or both."),
    ] = "transceiver"
    sessions: Annotated[int, Meta(ge=1, le=64, description="Sessions of that kind held at once.")] = 1
    receivers: Annotated[
        int,
        Meta(
            ge=0,
            le=64,
            description="Receiver sessions held beside transmitters, for carriers that keep the two apart.",
        ),
    ] = 0
    window: Annotated[
        int, Meta(ge=1, le=100_000, description="Requests in flight per session; ask the carrier.")
    ] = 10
    service_type: Annotated[
        str,
        Meta(max_length=5, pattern=r"^[\x20-\x7e]*$", description="Sent with each message; usually empty."),
    ] = ""
    address_range: Annotated[
        str,
        Meta(
            max_length=40,
            pattern=r"^[\x20-\x7e]*$",
            description="Destinations a receiver asks for; usually empty.",
        ),
    ] = ""
    short_code_ton: Annotated[int, Meta(ge=0, le=255, description="TON of short-code originators.")] = 3
    short_code_npi: Annotated[int, Meta(ge=0, le=255, description="NPI of short-code originators.")] = 0
    message_ids: Annotated[
        Literal["fold", "exact", "dec_dec", "hex_dec", "dec_hex", "hex_hex"],
        Meta(
            description="How the id in a response and the id in its receipt relate: equal but for case and leading "
            "zeros, exactly equal, or in which notation each is."
        ),
    ] = "fold"
    validity: Annotated[
        bool, Meta(description="Pass the message's validity on to the carrier, as a relative time.")
    ] = True
    wide_reference: Annotated[
        bool, Meta(description="Number long messages with 16 bits instead of 8; costs a character a segment.")
    ] = False
    enquire_link_s: Annotated[
        float, Meta(ge=0.1, le=3600, description="Silence after which the peer is asked for a sign of life.")
    ] = field(default=30.0, name="enquire_link")
    enquire_response_s: Annotated[
        float,
        Meta(ge=0.1, le=600, description="How long that answer may take before the link counts as dead."),
    ] = field(default=10.0, name="enquire_response")
    response_s: Annotated[
        float,
        Meta(ge=0.1, le=3600, description="How long a submission waits for its answer; then it is in doubt."),
    ] = field(default=30.0, name="response")
    connect_s: Annotated[
        float, Meta(ge=0.1, le=600, description="How long connecting and binding may take, each.")
    ] = field(default=10.0, name="connect")
    reconnect_first_s: Annotated[
        float,
        Meta(ge=0.01, le=3600, description="Pause before the second try to connect; doubles each time."),
    ] = field(default=1.0, name="reconnect_first")
    reconnect_longest_s: Annotated[
        float, Meta(ge=0.01, le=86400, description="No pause between tries grows longer than this.")
    ] = field(default=60.0, name="reconnect_longest")
    refused_pause_s: Annotated[
        float,
        Meta(
            ge=0.01,
            le=86400,
            description="Pause after the carrier refused the login; hammering gets accounts locked.",
        ),
    ] = field(default=60.0, name="refused_pause")
