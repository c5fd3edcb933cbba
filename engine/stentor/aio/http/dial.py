"""Making connections: name, address guard, TCP, the proxy's tunnel, TLS. Not an octet of a request leaves here."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Sequence

from stentor.aio.http.link import Fault, Link, reason
from stentor.aio.http.resolve import is_address, is_own_address
from stentor.aio.http.settings import ClientSettings
from stentor.wire.answer import Answer
from stentor.wire.asking import URL, read_proxy, write_connect
from stentor.wire.calls import FailureKind

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]


class Dialler:
    """Makes the connections of one client."""

    def __init__(self, settings: ClientSettings, resolve: Resolve, lost: Callable[[Link], None]) -> None:
        self._settings = settings
        self._resolve = resolve
        self._lost = lost
        self._context: ssl.SSLContext | None = None
        self.proxy = read_proxy(settings.proxy)

    async def connect(self, url: URL) -> Link | Fault:
        """A connection over which requests to the URL's origin can go, or why there is none."""
        settings, proxy = self._settings, self.proxy
        # An address behind a proxy is judged here too; a name is for the proxy to look up and to judge.
        if proxy is not None and (refusal := self._refusal(url.host)):
            return Fault(FailureKind.FORBIDDEN, f"{url.host} is {refusal}")
        host, port = (url.host, url.port) if proxy is None else (proxy.host, proxy.port)
        try:
            async with asyncio.timeout(settings.connect_s) as scope:
                link = await self._dial(host, port, scope)
        except TimeoutError:
            return _nothing(f"no connection to {host}:{port} within {settings.connect_s:g} s")
        if not isinstance(link, Link) or not url.is_tls:
            return link
        try:
            async with asyncio.timeout(settings.tls_s):
                fault = await self._tunnel(link, url) or await self._encrypt(link, url)
        except TimeoutError:
            fault = _nothing(f"no TLS with {url.host} within {settings.tls_s:g} s")
        except BaseException:
            link.abort()
            raise
        if fault is not None:
            link.abort()
            return fault
        return link

    # ---- TCP

    async def _dial(self, host: str, port: int, scope: asyncio.Timeout) -> Link | Fault:
        """Try the host's addresses in turn. Each may take its share of the time that is left."""
        try:
            addresses = await self._resolve(host, port)
        except OSError as error:
            return _nothing(f"no address for {host}: {reason(error)}")
        fault = _nothing(f"no address for {host}")
        loop = asyncio.get_running_loop()
        for position, address in enumerate(addresses):
            if self.proxy is None and (refusal := self._refusal(address)):
                fault = Fault(FailureKind.FORBIDDEN, f"{host} leads to an address that is {refusal}")
                continue
            ends_at = scope.when()
            assert ends_at is not None
            share_s = (ends_at - loop.time()) / (len(addresses) - position)
            try:
                async with asyncio.timeout(share_s):
                    _, link = await loop.create_connection(self._make, address, port)
            except TimeoutError as error:
                if error.errno is None and position + 1 == len(addresses):
                    raise
                fault = _nothing(f"no connection to {host}:{port}: timed out")
            except OSError as error:
                fault = _nothing(f"no connection to {host}:{port}: {reason(error)}")
            else:
                return link
        return fault

    def _make(self) -> Link:
        return Link(self._settings, self._lost)

    def _refusal(self, address: str) -> str | None:
        guard = self._settings.guard
        if guard is None:
            return None
        if not is_address(address.partition("%")[0]):
            return None if self.proxy is not None else "not an IP address"
        return guard.refusal(address, is_own=is_own_address(address))

    # ---- TLS

    async def _tunnel(self, link: Link, url: URL) -> Fault | None:
        if self.proxy is None:
            return None
        answer = await link.exchange(write_connect(url, self.proxy), has_body=False)
        if not isinstance(answer, Answer):
            return _nothing(f"the proxy gave no tunnel to {url.host}: {answer.detail}")
        if not 200 <= answer.status < 300:
            return _nothing(f"the proxy gave no tunnel to {url.host}: status {answer.status}")
        return None

    async def _encrypt(self, link: Link, url: URL) -> Fault | None:
        settings = self._settings
        try:
            context = self._context = self._context or make_context(settings)
        except OSError as error:  # SSLError is one
            return _nothing(f"the certificate files cannot be used: {reason(error)}")
        if not link.is_open:
            return _nothing(f"TLS with {url.host} failed: the connection was closed")
        try:
            transport = await asyncio.get_running_loop().start_tls(
                link.transport,
                link,
                context,
                server_hostname=url.host,
                ssl_handshake_timeout=settings.tls_s,
                ssl_shutdown_timeout=settings.tls_s,
            )
        except ssl.SSLCertVerificationError as error:
            return _nothing(f"the certificate of {url.host} is not accepted: {error.verify_message}")
        except OSError as error:
            return _nothing(f"TLS with {url.host} failed: {reason(error)}")
        if transport is None or not link.is_open:
            return _nothing(f"TLS with {url.host} failed: the connection was closed")
        link.start(transport)
        return None


def make_context(settings: ClientSettings) -> ssl.SSLContext:
    """A client's context. Raises OSError (ssl.SSLError is one) for files that cannot be used."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    if not settings.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif settings.ca_file:
        context.load_verify_locations(settings.ca_file)
    else:
        context.load_default_certs()
    if settings.certificate_file:
        context.load_cert_chain(settings.certificate_file, settings.key_file or None, _no_pass_phrase)
    return context


def _no_pass_phrase() -> str:
    # Otherwise OpenSSL would ask at the terminal and the daemon would stand still.
    raise ssl.SSLError("the key file has a pass phrase, and nobody is there to type it")


def _nothing(detail: str) -> Fault:
    return Fault(FailureKind.NOTHING_LEFT, detail)
