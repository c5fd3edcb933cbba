"""The keys of a channel whose driver is ``smpp``, each with its default and the sentence that documents it.

Here are those of the link to the SMSC; what is said over it is in ``dialect``.
"""

from typing import Annotated, Final

from msgspec import Meta, field

from stentor_smpp.dialect import Dialect
from stentor_smpp.tables import BindTable, Kind, TLSTable

SECRETS: Final = frozenset({"password"})


class SMPPConfig(Dialect, frozen=True, forbid_unknown_fields=True, kw_only=True):
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
    fallback_hosts: Annotated[
        tuple[str, ...],
        Meta(
            max_length=16,
            description="Further addresses of the same carrier, each a host or host:port. When a session ends or "
            "cannot be had, it is tried at the next.",
        ),
    ] = ()
    tls: Annotated[
        bool | TLSTable,
        Meta(description="Encrypt: true, or a table (see Connections and TLS in the driver's README)."),
    ] = False
    bind: Annotated[Kind, Meta(description="What a session may do: send, receive, or both.")] = "transceiver"
    sessions: Annotated[int, Meta(ge=1, le=64, description="Sessions of that kind held at once.")] = 1
    receivers: Annotated[
        int,
        Meta(
            ge=0,
            le=64,
            description="Receiver sessions held beside transmitters, for carriers that keep the two apart.",
        ),
    ] = 0
    binds: Annotated[
        tuple[BindTable, ...],
        Meta(
            max_length=64,
            description="Sessions told one by one, instead of bind, sessions and receivers: kind, and where they "
            "differ from the channel sessions, host, port, system_id, password, window.",
        ),
    ] = ()
    window: Annotated[
        int, Meta(ge=1, le=100_000, description="Requests in flight per session; ask the carrier.")
    ] = 10
    address_range: Annotated[
        str,
        Meta(
            max_length=40,
            pattern=r"^[\x20-\x7e]*$",
            description="Destinations a receiver asks for; usually empty.",
        ),
    ] = ""
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
            description="Pause after the carrier refused the login, which doubles each time; hammering gets "
            "accounts locked.",
        ),
    ] = field(default=60.0, name="refused_pause")
    refused_longest_s: Annotated[
        float, Meta(ge=0.01, le=86400, description="No pause after a refused login grows longer than this.")
    ] = field(default=600.0, name="refused_longest")
    query_after_s: Annotated[
        float,
        Meta(
            ge=0, le=2_592_000, description="How late a receipt may be before the carrier is asked; 0: never."
        ),
    ] = field(default=0.0, name="query_after")
    queries_in_flight: Annotated[
        int,
        Meta(ge=1, le=100, description="Questions to the carrier without an answer, beside the window."),
    ] = 5
    cancel: Annotated[
        bool, Meta(description="The carrier takes cancel_sm: what has left can be cancelled there.")
    ] = False
