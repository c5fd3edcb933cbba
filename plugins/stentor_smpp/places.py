"""Which sessions a channel holds, and where: from its configuration to one *place* for each session.

Pure. A channel says it in short (``bind``, ``sessions``, ``receivers``) or at length (``[[binds]]``, for carriers with
several hosts or a login for each direction), never both. ``check_connections`` refuses what cannot work together.
"""

import re
from typing import Final

import msgspec

from stentor.errors import ConfigError
from stentor_smpp.config import SMPPConfig
from stentor_smpp.tables import BindTable, Kind, TLSTable

Address = tuple[str, int]

_SHORT: Final = {"transceiver": "trx", "transmitter": "tx", "receiver": "rx"}
_ADDRESS: Final = re.compile(r"\[([0-9A-Fa-f:.]+)\](?::([0-9]{1,5}))?|([^\s:\[\]]+)(?::([0-9]{1,5}))?")


class Place(msgspec.Struct, frozen=True):
    """One session to be held. ``addresses`` are tried in turn; ``login`` is equal for places of one account."""

    key: str
    kind: Kind
    addresses: tuple[Address, ...]
    system_id: str
    password: str
    window: int

    @property
    def is_sending(self) -> bool:
        """True where messages may be submitted."""
        return self.kind != "receiver"

    @property
    def login(self) -> tuple[str, tuple[Address, ...]]:
        return self.system_id, self.addresses

    def __repr__(self) -> str:
        return f"Place({self.key})"


def places(config: SMPPConfig) -> list[Place]:
    """One for each session, in the order of the configuration; keys count each kind from 1."""
    tables = config.binds or _in_short(config)
    counts = dict.fromkeys(_SHORT, 0)
    found: list[Place] = []
    for table in tables:
        addresses = _addresses(config, table)
        for _ in range(table.sessions):
            counts[table.kind] += 1
            found.append(
                Place(
                    key=f"{_SHORT[table.kind]}-{counts[table.kind]}",
                    kind=table.kind,
                    addresses=addresses,
                    system_id=config.system_id if table.system_id is None else table.system_id,
                    password=config.password if table.password is None else table.password,
                    window=table.window or config.window,
                )
            )
    return found


def _in_short(config: SMPPConfig) -> list[BindTable]:
    tables = [BindTable(kind=config.bind, sessions=config.sessions)]
    if config.receivers:
        tables.append(BindTable(kind="receiver", sessions=config.receivers))
    return tables


def _addresses(config: SMPPConfig, table: BindTable) -> tuple[Address, ...]:
    port = table.port or config.port
    if table.host is not None:
        return ((table.host, port),)
    others = (address(text, port) for text in config.fallback_hosts)
    return ((config.host, port), *(found for found in others if found is not None))


def address(text: str, port: int) -> Address | None:
    """``host``, ``host:port`` or ``[IPv6]:port``; None for what is none of these."""
    match = _ADDRESS.fullmatch(text)
    if match is None:
        return None
    number = int(match[2] or match[4] or port)
    return (match[1] or match[3], number) if 1 <= number <= 65535 else None


def can_send(config: SMPPConfig) -> bool:
    """Whether any session may submit."""
    return any(kind != "receiver" for kind in _kinds(config))


def can_receive(config: SMPPConfig) -> bool:
    """Whether any session takes messages and receipts."""
    return any(kind != "transmitter" for kind in _kinds(config))


def _kinds(config: SMPPConfig) -> list[Kind]:
    return [table.kind for table in config.binds or _in_short(config)]


def check_connections(config: SMPPConfig) -> None:
    """Raises ConfigError naming the key that cannot stand as it does."""
    _check_sessions(config)
    for index, text in enumerate(config.fallback_hosts):
        if address(text, config.port) is None:
            raise ConfigError(
                f"fallback_hosts[{index}]", f'"{text}" is no address', 'write "smsc2.example" or "host:2776"'
            )
    if config.reconnect_first_s > config.reconnect_longest_s:
        raise ConfigError("reconnect_first", "is longer than reconnect_longest")
    if config.refused_pause_s > config.refused_longest_s:
        raise ConfigError("refused_pause", "is longer than refused_longest")
    if isinstance(config.tls, TLSTable):
        _check_tls(config.tls)


def _check_sessions(config: SMPPConfig) -> None:
    if config.binds:
        for key, is_set in (
            ("bind", config.bind != "transceiver"),
            ("sessions", config.sessions != 1),
            ("receivers", config.receivers != 0),
        ):
            if is_set:
                raise ConfigError(key, "stands beside [[binds]]", "say it in [[binds]] alone")
    elif config.receivers and config.bind != "transmitter":
        hint = "leave it out: a transceiver receives too" if config.bind == "transceiver" else "use sessions"
        raise ConfigError("receivers", 'goes with bind = "transmitter" only', hint)
    for index, table in enumerate(config.binds):
        if table.kind == "receiver" and table.window is not None:
            raise ConfigError(f"binds[{index}].window", "a receiver sends nothing, so it has no window")
    if not can_send(config):
        for key, is_set in (("query_after", config.query_after_s > 0), ("cancel", config.cancel)):
            if is_set:
                raise ConfigError(key, "needs a session that sends", "a receiver may not ask the carrier")


def _check_tls(tls: TLSTable) -> None:
    if tls.key_file and not tls.certificate_file:
        raise ConfigError("tls.key_file", "stands without tls.certificate_file")
    if not tls.verify:
        for key in ("ca_file", "fingerprint"):
            if getattr(tls, key):
                raise ConfigError(
                    f"tls.{key}", "stands beside tls.verify = false, so nobody would look at it"
                )
    if tls.fingerprint and tls.ca_file:
        raise ConfigError(
            "tls.ca_file", "stands beside tls.fingerprint", "a pinned certificate needs no authority"
        )
