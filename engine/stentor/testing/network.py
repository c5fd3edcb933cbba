"""A network in memory: connections between protocols of one loop, and what can happen to octets on their way.

Owns what stands between a driver and its peer. A transport behaves as asyncio's TCP transport does: octets arrive in
order and in any pieces, a side that does not read fills the other side's buffer, which then pauses its protocol; an
end of file leaves one direction open; a reset loses what is on its way. Invariants: after ``connection_lost`` a
protocol hears nothing more; octets beyond a cut are never delivered.
"""

import asyncio
import enum
from collections.abc import Callable
from typing import Any, Final

import msgspec

RECEIVE_OCTETS: Final = 64 * 1024
"""What one side takes off the wire before its protocol has read it."""
_HIGH: Final = 64 * 1024


class Reach(enum.Enum):
    """What becomes of an attempt to connect."""

    OPEN = "a listener answers"
    REFUSED = "nobody listens"
    SILENT = "no answer, ever"
    NO_NAME = "the name is unknown"


class Cut(msgspec.Struct, frozen=True):
    """Reset a connection once it has carried ``octets`` in one direction; all of those are delivered."""

    octets: int
    is_to_server: bool


class MemoryTransport(asyncio.Transport):
    """One side of a connection. ``received`` counts the octets its protocol was given."""

    def __init__(self, link: "Link", protocol: asyncio.Protocol, names: tuple[Any, Any]) -> None:
        super().__init__({"sockname": names[0], "peername": names[1]})
        self.link = link
        self.received = 0
        self.is_lost = False
        self.other: MemoryTransport
        self._protocol = protocol
        self._loop = link.network.loop
        self._unsent = bytearray()
        self._inbox = bytearray()
        self._carried = 0
        self._limit: int | None = None
        self._is_reading = True
        self._is_read_due = self._is_carry_due = False
        self._is_closing = self._is_finished = self._is_other_finished = self._is_full = False
        self._high, self._low = _HIGH, _HIGH // 4

    # -- what a protocol may ask of its transport ------------------------------------------------------------

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._protocol

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        assert isinstance(protocol, asyncio.Protocol)
        self._protocol = protocol

    def is_closing(self) -> bool:
        return self._is_closing or self.is_lost

    def is_reading(self) -> bool:
        return self._is_reading and not self.is_closing()

    def pause_reading(self) -> None:
        self._is_reading = False

    def resume_reading(self) -> None:
        self._is_reading = True
        self._read_soon()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._high = _HIGH if high is None else high
        self._low = self._high // 4 if low is None else low

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._low, self._high

    def get_write_buffer_size(self) -> int:
        return len(self._unsent)

    def can_write_eof(self) -> bool:
        return True

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._is_finished:
            raise RuntimeError("write after write_eof")
        if self.is_lost or not data:
            return
        self._unsent += data
        self._carry()

    def write_eof(self) -> None:
        self._is_finished = True
        self._carry()

    def close(self) -> None:
        if not self.is_closing():
            self._is_closing = True
            self._carry()

    def abort(self) -> None:
        self.link.reset(self)

    # -- the wire --------------------------------------------------------------------------------------------

    def limit(self, octets: int) -> None:
        """Reset the connection after ``octets`` more of what this side sends."""
        self._limit = self._carried + octets

    def clog(self) -> None:
        """Fill what this side takes off the wire, so that nothing more leaves the other side while it does not read."""
        self._inbox += bytes(RECEIVE_OCTETS - len(self._inbox))

    def lose(self, error: Exception | None) -> None:
        """The connection is over for this side."""
        if self.is_lost:
            return
        self.is_lost = True
        self._unsent.clear()
        self._inbox.clear()
        self._loop.call_soon(self._protocol.connection_lost, error)

    @property
    def _is_at_limit(self) -> bool:
        return self._limit is not None and self._carried >= self._limit

    def _carry(self) -> None:
        """Move what the other side has room for, and tell the protocol how full the buffer is."""
        self._is_carry_due = False
        if self.is_lost:
            return
        other, unsent = self.other, self._unsent
        count = min(len(unsent), RECEIVE_OCTETS - len(other._inbox))
        if self._limit is not None:
            count = min(count, self._limit - self._carried)
        if other.is_lost:
            count = len(unsent)
        elif count > 0:
            other._inbox += memoryview(unsent)[:count]
            other._read_soon()
        if count > 0:
            del unsent[:count]
            self._carried += count
        self._tell_pressure()
        if self._is_at_limit:
            if not other._inbox:
                self._loop.call_soon(self.link.reset)
        elif not unsent and (self._is_closing or self._is_finished):
            other._finish()
            if self._is_closing:
                self.lose(None)

    def _tell_pressure(self) -> None:
        if not self._is_full and len(self._unsent) > self._high:
            self._is_full = True
            self._protocol.pause_writing()
        elif self._is_full and len(self._unsent) <= self._low:
            self._is_full = False
            self._protocol.resume_writing()

    def _finish(self) -> None:
        self._is_other_finished = True
        self._read_soon()

    def _read_soon(self) -> None:
        if not self._is_read_due:
            self._is_read_due = True
            delay_s = self.link.network.latency_s
            if delay_s:
                self._loop.call_later(delay_s, self._read)
            else:
                self._loop.call_soon(self._read)

    def _read(self) -> None:
        self._is_read_due = False
        if not self._is_reading or self.is_closing():
            return
        if self._inbox:
            piece = bytes(self._inbox[: self.link.network.piece])
            del self._inbox[: len(piece)]
            self.received += len(piece)
            self._hear(lambda: self._protocol.data_received(piece))
            self.other._carry_soon()
            if self.other._is_at_limit and not self._inbox:
                self._loop.call_soon(self.link.reset)
            elif self._inbox or self._is_other_finished:
                self._read_soon()
        elif self._is_other_finished:
            self._is_other_finished = False
            if not self._hear(self._protocol.eof_received):
                self.close()

    def _carry_soon(self) -> None:
        if not self._is_carry_due and (self._unsent or self._is_closing):
            self._is_carry_due = True
            self._loop.call_soon(self._carry)

    def _hear(self, call: Callable[[], object]) -> object:
        """As asyncio does: an exception that a protocol lets out is reported, and ends the connection."""
        try:
            return call()
        except Exception as error:
            context = {"message": "an exception escaped from a protocol", "exception": error}
            self._loop.call_exception_handler(context)
            self.link.reset(self, error)
            return None


class Link:
    """One connection. ``client`` is the side that connected."""

    def __init__(
        self, network: "Network", client: asyncio.Protocol, server: asyncio.Protocol, address: tuple[str, int]
    ) -> None:
        self.network = network
        here = ("client.test", 40_000 + len(network.links))
        self.client = MemoryTransport(self, client, (here, address))
        self.server = MemoryTransport(self, server, (address, here))
        self.client.other, self.server.other = self.server, self.client

    def reset(self, by: MemoryTransport | None = None, error: Exception | None = None) -> None:
        """Both sides lose the connection, and what was on its way; the side that did it hears of no error."""
        for side in (self.client, self.server):
            side.lose(error if side is by else ConnectionResetError(104, "Connection reset by peer"))


class MemoryServer:
    """What ``create_server`` returns."""

    def __init__(self, network: "Network", address: tuple[str, int]) -> None:
        self._network = network
        self._address = address
        self.sockets: tuple[Any, ...] = ()

    def is_serving(self) -> bool:
        return self._address in self._network.listeners

    def close(self) -> None:
        self._network.listeners.pop(self._address, None)

    def close_clients(self) -> None:
        for link in self._network.links:
            link.server.close()

    async def wait_closed(self) -> None:
        return

    async def start_serving(self) -> None:
        return

    def get_loop(self) -> asyncio.AbstractEventLoop:
        return self._network.loop


class Network:
    """Every connection of a loop, past ones included, and the levers.

    ``reach`` is what attempts to connect meet; ``cut`` is applied to the next connection and then gone; ``piece`` is
    the most one delivery holds; ``latency_s`` how long octets travel; ``attempts`` when connecting was tried.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.reach = Reach.OPEN
        self.cut: Cut | None = None
        self.piece = RECEIVE_OCTETS
        self.latency_s = 0.0
        self.attempts: list[float] = []
        self.links: list[Link] = []
        self.listeners: dict[tuple[str, int], Callable[[], asyncio.BaseProtocol]] = {}

    @property
    def open_links(self) -> list[Link]:
        """Connections that stand on both sides."""
        return [link for link in self.links if not (link.client.is_lost or link.server.is_lost)]

    def reset_all(self) -> None:
        for link in self.links:
            link.reset()

    async def connect(
        self, factory: Callable[[], asyncio.BaseProtocol], address: tuple[str, int]
    ) -> tuple[MemoryTransport, asyncio.BaseProtocol]:
        self.attempts.append(self.loop.time())
        await asyncio.sleep(self.latency_s)
        if self.reach is Reach.SILENT:
            await self.loop.create_future()
        if self.reach is Reach.NO_NAME:
            raise OSError(-2, "Name or service not known")
        listener = self.listeners.get(address)
        if self.reach is Reach.REFUSED or listener is None:
            raise ConnectionRefusedError(111, f"Connect call failed {address}")
        client, server = factory(), listener()
        assert isinstance(client, asyncio.Protocol)
        assert isinstance(server, asyncio.Protocol)
        link = Link(self, client, server, address)
        self.links.append(link)
        cut, self.cut = self.cut, None
        if cut is not None and cut.octets:
            (link.client if cut.is_to_server else link.server).limit(cut.octets)
        elif cut is not None:
            self.loop.call_soon(link.reset)
        self.loop.call_soon(server.connection_made, link.server)
        client.connection_made(link.client)
        return link.client, client
