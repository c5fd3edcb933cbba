"""TLS between a socket and a connection, without any I/O: octets in, octets out."""

import ssl


def server_context(certificate: str, key: str, client_ca: str = "") -> ssl.SSLContext:
    """For a server; with ``client_ca`` clients must show a certificate of that authority. Raises OSError."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key or None)
    if client_ca:
        context.load_verify_locations(client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


class Tls:
    """The server's end of one connection. ``output`` is to be sent after every call."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._object = context.wrap_bio(self._in, self._out, server_side=True)
        self._is_open = False
        self._early = b""

    def receive(self, octets: bytes) -> bytes:
        """What the octets from the socket say; empty while the handshake lasts. Raises ssl.SSLError."""
        self._in.write(octets)
        if not self._is_open:
            try:
                self._object.do_handshake()
            except ssl.SSLWantReadError:
                return b""
            self._is_open = True
            self.protect(self._early)
            self._early = b""
        parts: list[bytes] = []
        while True:
            try:
                part = self._object.read(65536)
            except (ssl.SSLWantReadError, ssl.SSLZeroReturnError):
                part = b""
            if not part:
                return b"".join(parts)
            parts.append(part)

    def protect(self, octets: bytes) -> None:
        """Put octets into the output; before the handshake is over they wait."""
        if not self._is_open:
            self._early += octets
        elif octets:
            self._object.write(octets)

    def output(self) -> bytes:
        """Octets for the socket."""
        return self._out.read()
