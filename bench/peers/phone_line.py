"""One connection of a simulated phone, plain or with TLS, and what the phone knows of a server's address."""

import socket
import ssl
from typing import Final
from urllib.parse import urlsplit

import trio

READ_OCTETS: Final = 64 * 1024
_PORTS: Final = {"http": 80, "https": 443}


class Address:
    """Where an ``http://`` or ``https://`` URL leads. Raises ValueError for any other."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in _PORTS or not parts.hostname:
            raise ValueError(f"{url!r} is no http://HOST:PORT/PATH")
        self.is_secure = parts.scheme == "https"
        self.host = parts.hostname
        self.port = parts.port or _PORTS[parts.scheme]
        self.path = parts.path

    @property
    def authority(self) -> str:
        return f"{self.host}:{self.port}"


class Line:
    """A connection. What ends it is an OSError, or the end of what it reads."""

    def __init__(
        self, sock: trio.socket.SocketType, secured: trio.SSLStream[trio.SocketStream] | None
    ) -> None:
        self._sock = sock
        self._secured = secured

    async def send(self, data: bytes) -> None:
        if self._secured is not None:
            try:
                await self._secured.send_all(data)
            except trio.BrokenResourceError as error:
                raise ConnectionError(str(error.__cause__ or error)) from error
            return
        sent = await self._sock.send(data)
        while sent < len(data):
            sent += await self._sock.send(data[sent:])

    async def receive(self) -> bytes:
        """Empty at the end."""
        if self._secured is None:
            return await self._sock.recv(READ_OCTETS)
        try:
            return bytes(await self._secured.receive_some(READ_OCTETS))
        except trio.BrokenResourceError as error:
            raise ConnectionError(str(error.__cause__ or error)) from error

    def close(self) -> None:
        """At once, as an app does that has no time for goodbyes."""
        self._sock.close()


async def connect(address: Address, trust: ssl.SSLContext | None) -> Line:
    """A connection, secured as its address says by who is trusted. Raises OSError, also for a certificate that is not
    believed."""
    sock = trio.socket.socket()
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await sock.connect((address.host, address.port))
        if not address.is_secure:
            return Line(sock, None)
        assert trust is not None, "made with the site"
        stream = trio.SocketStream(sock)
        secured = trio.SSLStream(stream, trust, server_hostname=address.host, https_compatible=True)
        try:
            await secured.do_handshake()
        except trio.BrokenResourceError as error:
            raise ConnectionError(str(error.__cause__ or error)) from error
        return Line(sock, secured)
    except BaseException:
        sock.close()
        raise


def trusting(ca: str) -> ssl.SSLContext:
    """Believes certificates of the authority in this file, or of the machine's own where none is named. As the app, it
    speaks HTTP/1.1 and TLS from 1.2."""
    context = ssl.create_default_context(cafile=ca or None)
    context.set_alpn_protocols(["http/1.1"])
    return context
