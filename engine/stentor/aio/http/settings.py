"""What an HTTP client is told: limits, time-outs, certificates, proxy, guard."""

import msgspec

from stentor.guard import AddressGuard


class ClientSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of one client, which serves one purpose: one channel, or all webhooks.

    ``connections`` bounds all of them, ``connections_per_origin`` those to one scheme, host and port; requests beyond
    wait their turn. ``idle_s``: how long an unused connection is kept, to be chosen shorter than servers do.

    Time-outs, each for one phase: ``connect_s`` name and TCP together, ``tls_s`` the handshake (and a proxy's
    CONNECT), ``write_s`` to hand over the request, ``answer_s`` from there to the first octet, ``body_s`` from there
    to the last.

    ``body_limit`` octets of an answer's body are taken; a longer one is a BAD_ANSWER, or with ``cuts_body`` is cut.
    ``ca_file``: authorities instead of the system's. ``certificate_file`` and ``key_file``: our own. ``proxy``:
    ``http://[user:password@]host:port``, a secret; plain requests go to it, TLS goes through it by CONNECT. ``guard``
    judges every address before it is connected to; names behind a proxy are the proxy's to judge.
    """

    connections: int = 100
    connections_per_origin: int = 100
    idle_s: float = 15.0
    connect_s: float = 10.0
    tls_s: float = 10.0
    write_s: float = 20.0
    answer_s: float = 30.0
    body_s: float = 30.0
    body_limit: int = 1024 * 1024
    cuts_body: bool = False
    verify: bool = True
    ca_file: str = ""
    certificate_file: str = ""
    key_file: str = ""
    proxy: str = ""
    guard: AddressGuard | None = None
    user_agent: str = "stentor"


class ClientStatistics(msgspec.Struct, frozen=True):
    """Connections now (``open`` = ``idle`` + in use), requests ``waiting`` for one, and counts since the start.

    ``failures`` is keyed by the value of the FailureKind.
    """

    open: int
    idle: int
    in_use: int
    waiting: int
    made: int
    reused: int
    failures: dict[str, int]
