"""The tables inside a channel's table: ``[[binds]]`` and ``[tls]``. Types alone; ``places`` says what they mean."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Kind = Literal["transceiver", "transmitter", "receiver"]


class TLSTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a connection is encrypted, and how the peer proves who it is. What is not set is as with ``tls = true``."""

    verify: Annotated[
        bool,
        Meta(description="Whether the peer must prove who it is. Without it anybody may be the carrier."),
    ] = True
    ca_file: Annotated[
        str,
        Meta(description="PEM file of who signs the carrier's certificate; empty: the system's authorities."),
    ] = ""
    fingerprint: Annotated[
        str,
        Meta(
            pattern=r"^$|^[0-9A-Fa-f]{2}(:?[0-9A-Fa-f]{2}){31}$",
            title="a SHA-256 fingerprint, 64 hexadecimal digits",
            description="SHA-256 of the one certificate that is accepted, whoever signed it and whatever its name.",
        ),
    ] = ""
    server_name: Annotated[
        str,
        Meta(max_length=253, description="The name in the carrier's certificate, if it is not the host's."),
    ] = ""
    certificate_file: Annotated[
        str, Meta(description="PEM file of our certificate, for carriers that ask for one.")
    ] = ""
    key_file: Annotated[
        str, Meta(description="PEM file of its key, without a pass phrase; empty: it is in the same file.")
    ] = ""
    minimum_version: Annotated[
        Literal["1.2", "1.3"], Meta(description="The oldest version of TLS that is spoken.")
    ] = "1.2"


class BindTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Sessions of one kind; what is not set is as for the channel."""

    kind: Annotated[Kind, Meta(description="What these sessions may do: send, receive, or both.")]
    sessions: Annotated[int, Meta(ge=1, le=64, description="How many of them are held at once.")] = 1
    host: (
        Annotated[
            str,
            Meta(
                min_length=1,
                max_length=253,
                description="Where they are held, if elsewhere; `fallback_hosts` then do not count.",
            ),
        ]
        | None
    ) = None
    port: Annotated[int, Meta(ge=1, le=65535, description="Its TCP port.")] | None = None
    system_id: (
        Annotated[str, Meta(max_length=15, pattern=r"^[\x20-\x7e]*$", description="A login of their own.")]
        | None
    ) = None
    password: (
        Annotated[
            str, Meta(max_length=64, pattern=r"^[\x20-\x7e]*$", description="The password of that login.")
        ]
        | None
    ) = None
    window: Annotated[int, Meta(ge=1, le=100_000, description="Requests in flight per session.")] | None = (
        None
    )
