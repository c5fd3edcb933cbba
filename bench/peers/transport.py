"""The socket of one connection of the simulated SMSC, and what can be wrong with it: stalls, small pieces, TLS.

Writing never waits: what the socket does not take is kept and sent by a task. Invariant: octets leave in the order
they were written, and none after ``close``.
"""

import socket
import ssl
from collections.abc import Callable
from typing import Final

import trio

from bench.peers.tls import Tls

READ_OCTETS: Final = 256 * 1024
PIECE_PAUSE_S: Final = 0.001


class Transport:
    """``lost`` is called once when the connection turns out to be gone. ``piece`` is the most octets of a write, 0 for
    any number."""

    def __init__(
        self,
        sock: socket.socket,
        nursery: trio.Nursery,
        lost: Callable[[], None],
        *,
        context: ssl.SSLContext | None = None,
        piece: int = 0,
        has_delayed_acks: bool = False,
    ) -> None:
        self._sock = sock
        self._nursery = nursery
        self._lost = lost
        self._tls = Tls(context) if context is not None else None
        self._piece = piece
        self._has_delayed_acks = has_delayed_acks
        self._unsent = bytearray()
        self._is_writing = False
        self._is_closed = False
        self.is_held = False

    @property
    def unsent(self) -> int:
        """Octets that wait for the socket."""
        return len(self._unsent)

    async def read(self) -> bytes:
        """Octets as they come; empty at the end. Raises OSError and trio.ClosedResourceError."""
        while True:
            await trio.lowlevel.wait_readable(self._sock)
            try:
                data = self._sock.recv(READ_OCTETS)
            except BlockingIOError:
                continue
            if self._has_delayed_acks:
                self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 0)
            if self._tls is None or not data:
                return data
            plain = self._tls.receive(data)
            self._send(self._tls.output())
            if plain:
                return plain

    def write(self, octets: bytes) -> None:
        """Send now what the socket takes, the rest later."""
        if self._tls is not None:
            self._tls.protect(octets)
            octets = self._tls.output()
        self._send(octets)

    def hold(self) -> None:
        """Send nothing until ``release``."""
        self.is_held = True

    def release(self) -> None:
        """Send again, first what was held."""
        self.is_held = False
        self._send(b"")

    def close(self) -> None:
        """Once; whoever reads or writes is woken."""
        self._is_closed = True
        trio.lowlevel.notify_closing(self._sock)
        self._sock.close()

    def _send(self, octets: bytes) -> None:
        if self._is_closed:
            return
        sent = 0
        if not (self._unsent or self.is_held or self._piece or not octets):
            try:
                sent = self._sock.send(octets)
            except BlockingIOError:
                sent = 0
            except OSError:
                self._lost()
                return
        if sent < len(octets):
            self._unsent += memoryview(octets)[sent:]
        if self._unsent and not self._is_writing and not self.is_held:
            self._is_writing = True
            self._nursery.start_soon(self._send_rest)

    async def _send_rest(self) -> None:
        try:
            while self._unsent and not self._is_closed and not self.is_held:
                await trio.lowlevel.wait_writable(self._sock)
                size = self._piece or len(self._unsent)
                try:
                    del self._unsent[: self._sock.send(self._unsent[:size])]
                except BlockingIOError:
                    continue
                if self._piece:
                    await trio.sleep(PIECE_PAUSE_S)
        except (OSError, trio.ClosedResourceError):
            self._lost()
        finally:
            self._is_writing = False
