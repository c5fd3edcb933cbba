"""One place at the SMSC, held for as long as its channel lives.

A *bind* connects, binds, lives until its session ends, gives back what was in flight, and tries again after a pause,
at the next address if there are several. Its lane exists while it is bound. Pure decisions are the session's
(``session``), the pauses' and the offer's; ``handler`` tells the host, ``connection`` moves the octets.
"""

import asyncio
from typing import Any, Final

from stentor.driver import LaneStatus
from stentor_smpp import tls
from stentor_smpp.connection import Connection, within
from stentor_smpp.events import Bound, Ended, EndReason
from stentor_smpp.fields import BIND_RECEIVER, BIND_TRANSCEIVER, BIND_TRANSMITTER
from stentor_smpp.handler import Handler
from stentor_smpp.pauses import Pauses, is_login_refused
from stentor_smpp.places import Place
from stentor_smpp.session import INTERFACE_VERSION, Session
from stentor_smpp.shared import Shared
from stentor_smpp.status import lookup

_COMMANDS: Final = {
    "transceiver": BIND_TRANSCEIVER,
    "transmitter": BIND_TRANSMITTER,
    "receiver": BIND_RECEIVER,
}
_FLUSH_S: Final = 1.0
"""How long the last octets of a session may take to leave."""


class Bind(Handler):
    """One place and its connections, one after the other."""

    __slots__ = (
        "_address_at",
        "_bound_at",
        "_connecting",
        "_ended",
        "_others",
        "_pauses",
        "_stop",
        "_trouble",
        "_turnstile",
        "detail",
        "since_ms",
        "state",
    )

    def __init__(self, shared: Shared, place: Place, others: "list[Bind]") -> None:
        super().__init__(shared, place)
        config = shared.config
        self.state = "connecting"
        self.detail = ""
        self.since_ms = shared.host.clock.wall_ms()
        self._others = others
        self._address_at = 0
        self._bound_at: float | None = None
        self._connecting: asyncio.Timeout | None = None
        self._ended: Ended | None = None
        self._pauses = Pauses(
            config.reconnect_first_s,
            config.reconnect_longest_s,
            config.refused_pause_s,
            config.refused_longest_s,
        )
        self._stop = asyncio.Event()
        self._trouble = ""
        self._turnstile = shared.turnstile(place)

    @property
    def peer(self) -> str:
        """Where it is connected, or tries to be."""
        host, port = self.place.addresses[self._address_at]
        return f"{host}:{port}"

    @property
    def is_bound(self) -> bool:
        return self.connection is not None and self.connection.session.is_bound

    def status(self) -> LaneStatus:
        is_receiving = self.is_bound and self.place.kind != "transmitter"
        detail, ids = self.detail, self._shared.ids.detail
        if ids and self.state == "bound":
            detail = f"{detail}; message ids: {ids}" if detail else f"message ids: {ids}"
        return LaneStatus(self.key, self.state, self.peer, self.since_ms, detail, is_receiving)

    def _set_state(self, state: str, detail: str = "") -> None:
        self.state, self.detail, self.since_ms = state, detail, self._host.clock.wall_ms()

    # -- one life after the other -----------------------------------------------------------------------------------

    async def run(self) -> None:
        """Connect, live, pause, again; until drained."""
        while not self.is_draining:
            await self._turnstile.pass_through()
            if self.is_draining:
                break
            pause_s = await self._live()
            if self.is_draining:
                break
            self._set_state("waiting", f"trying again in {pause_s:.1f} s: {self._trouble}")
            self._address_at = (self._address_at + 1) % len(self.place.addresses)
            await within(pause_s, self._stop)
        self._set_state("closed")

    async def _live(self) -> float:
        """One connection from start to end; returns how long to pause after it."""
        self._set_state("connecting")
        self._bound_at = None
        self._ended = None
        try:
            await self._connect()
            connection = self.connection
            assert connection is not None
            await connection.ended.wait()
            await within(_FLUSH_S, connection.closed)
        except TimeoutError:
            self._fail(f"no connection to {self.peer} in {self._shared.config.connect_s:g} s")
        except (OSError, UnicodeError) as error:
            # UnicodeError: a host that cannot be a name.
            self._cannot_connect(error)
        finally:
            self._leave_behind()
        return self._pause_s()

    async def _connect(self) -> None:
        """Returns with ``self.connection`` set and its bind on the way."""
        config = self._shared.config
        settings = self._shared.settings(self.place.window)
        host, port = self.place.addresses[self._address_at]
        options: dict[str, Any] = {}
        table = self._shared.tls
        if table is not None:
            options = {
                "ssl": self._shared.context(),
                "server_hostname": table.server_name or host,
                "ssl_handshake_timeout": config.connect_s,
                "ssl_shutdown_timeout": _FLUSH_S,
            }
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(config.connect_s) as self._connecting:
                await loop.create_connection(
                    lambda: Connection(self, Session(settings, self.now())), host, port, **options
                )
        finally:
            self._connecting = None

    def _cannot_connect(self, error: OSError | UnicodeError) -> None:
        table = self._shared.tls
        reason = None
        if table is not None:
            # What is wrong may be a file of ours, and it may have been mended by the next attempt.
            self._shared.forget_context()
            reason = tls.sentence(error, table.server_name or self.place.addresses[self._address_at][0])
        self._fail(f"cannot connect to {self.peer}: {reason or error}")

    def explain(self, error: Exception) -> str:
        """Why a connection was lost; TLS may say so only after its handshake."""
        if self._shared.tls is None:
            return str(error)
        self._shared.forget_context()
        return tls.sentence(error, self._shared.tls.server_name) or str(error)

    def begin(self, connection: Connection) -> None:
        """The connection stands: ask to be bound."""
        self.connection = connection
        table = self._shared.tls
        fault = tls.pin_fault(table.fingerprint, connection.encryption) if table is not None else ""
        if self.is_draining or fault:
            connection.session.close(fault or "drained")
            return
        self._set_state("binding")
        connection.session.bind(_COMMANDS[self.place.kind], self._credentials(), self.now())

    def _credentials(self) -> dict[str, object]:
        config = self._shared.config
        return {
            "system_id": self.place.system_id,
            "password": self.place.password,
            "system_type": config.system_type,
            "interface_version": INTERFACE_VERSION,
            "addr_ton": 0,
            "addr_npi": 0,
            "address_range": config.address_range,
        }

    def _bound(self, event: Bound, connection: Connection) -> None:
        self._bound_at = self.now()
        self._packer = self._shared.packer(event.peer_version)
        self._shared.ids.watch()
        self._pauses.bound()
        self._turnstile.welcome()
        parts = [f"to {event.system_id}"] if event.system_id else []
        if not self.place.is_sending:
            parts.append("receives only")
        if self._shared.tls is not None:
            parts.append(tls.describe(self._shared.tls, connection.encryption))
        self._set_state("bound", ", ".join(parts))
        self._host.log.info("bound", lane=self.key, peer=self.peer, smsc=event.system_id)
        if self.place.is_sending and not self.is_draining:
            self.offer.reset()
            self._host.lane(self.key, self.offer.size)

    def _end(self, event: Ended, connection: Connection) -> None:
        self._ended = event
        connection.ended.set()
        connection.idle.set()
        text = f"{event.reason.value}: {event.detail}" if event.detail else event.reason.value
        if event.status:
            text = f"{event.reason.value} with {lookup(event.status).name} (0x{event.status:08X})"
        self._fail(text)

    def _leave_behind(self) -> None:
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.stop()

    def _fail(self, text: str) -> None:
        if not self.is_draining:
            self._trouble = text
            self._shared.fail(f"{self.key}: {text}")

    def _pause_s(self) -> float:
        ended, chance = self._ended, self._host.random()
        if ended is None or ended.reason is not EndReason.BIND_REFUSED:
            if self._bound_at is None:
                self._turnstile.lost()
            stood_s = 0.0 if self._bound_at is None else self.now() - self._bound_at
            return self._pauses.lost(stood_s, chance)
        if not is_login_refused(ended.status):
            self._turnstile.lost()
            return self._pauses.refused(ended.status, chance)
        if any(other.is_bound for other in self._others if other.place.login == self.place.login):
            # The login is good, the carrier has enough of our sessions: nobody else's affair.
            return self._pauses.refused(ended.status, chance)
        pause_s = self._pauses.refused(ended.status, chance, self._turnstile.refusals)
        self._turnstile.refused(pause_s)
        return pause_s

    # -- the end ----------------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Take nothing new and connect no more."""
        self.is_draining = True
        self._stop.set()
        if self._connecting is not None:
            self._connecting.reschedule(0.0)
        if self.place.is_sending and self.is_bound:
            self._host.lane(self.key, 0)

    async def drain(self, deadline: float) -> None:
        """Wait for what is in flight, say goodbye, close. What is still open at the deadline is in doubt."""
        connection = self.connection
        if connection is None:
            return
        if not await within(deadline - self.now(), connection.idle):
            in_flight = connection.in_flight
            self._host.log.warning("drain ran out of time", lane=self.key, in_flight=in_flight)
        connection.leave()
        await within(deadline - self.now(), connection.closed)
        connection.stop()
