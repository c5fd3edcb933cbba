"""Sending a request and giving what became of it, over a pool of connections.

Nothing is sent twice, with one exception: a repeatable request whose kept connection was closed before an octet of an
answer came goes out once more, over a new connection. Redirects are answers like any other: a credential never
follows one.
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

from stentor.aio.http.dial import Dialler, Resolve
from stentor.aio.http.link import Fault, Link, Write
from stentor.aio.http.pool import Origin, Pool
from stentor.aio.http.resolve import Resolver
from stentor.aio.http.settings import ClientSettings, ClientStatistics
from stentor.wire.answer import Answer
from stentor.wire.asking import URL, begin_request, read_url, write_request
from stentor.wire.calls import FailureKind, HTTPFailure, HTTPReply, HTTPRequest

_GOODBYE_S = 1.0
Done = Callable[[HTTPReply | HTTPFailure | None], None]
_CLOSED = Fault(FailureKind.NOTHING_LEFT, "the client is closed")


class Client:
    """Sends requests over connections that it keeps. Belongs to one event loop. Costs no task and no timer a request.

    ``random`` spreads the times at which kept connections are closed; ``resolve`` gives the addresses of a host and
    port, or raises OSError; ``reset`` is called when the last connection was idle and was reset, not closed: the
    server may be gone. Raises InvalidRequest for a proxy that cannot be read.
    """

    def __init__(
        self,
        settings: ClientSettings,
        *,
        random: Callable[[], float],
        resolve: Resolve | None = None,
        reset: Callable[[], None] | None = None,
    ) -> None:
        self._settings = settings
        self._random = random
        self._time = asyncio.get_running_loop().time
        self._reset = reset
        self._resolver = Resolver()
        self._dialler = Dialler(settings, resolve or self._resolver, self._lose)
        self._forwarder = self._dialler.proxy
        self._pool = Pool(settings.connections, settings.connections_per_origin)
        self._links: set[Link] = set()
        self._sweep_timer: asyncio.TimerHandle | None = None
        self._is_closed = False
        self._all_gone = asyncio.Event()
        self._made = 0
        self._reused = 0
        self._failures = {kind.value: 0 for kind in FailureKind}

    async def send(self, request: HTTPRequest) -> HTTPReply | HTTPFailure:
        """One exchange. What the other side does is a value.

        Raises InvalidRequest, before anything is done. Cancelling closes the connection in use.
        """
        url = read_url(request.url)
        forwarder = None if url.is_tls else self._forwarder
        octets = write_request(request, url, self._settings.user_agent, forwarder)
        time = self._time
        began = time()
        pool = self._pool
        origin = await pool.enter(url.origin)
        kept: Link | None = None
        try:
            link = pool.take(origin, began)
            was_kept = link is not None
            self._reused += was_kept
            found = link or await self._connect(url)
            has_body = request.method != "HEAD"
            result = await found.exchange(octets, has_body=has_body) if isinstance(found, Link) else found
            if was_kept and request.is_repeatable and isinstance(result, Fault) and result.is_stale:
                found = await self._connect(url)
                result = await found.exchange(octets, has_body=has_body) if isinstance(found, Link) else found
            if isinstance(result, Answer):
                assert isinstance(found, Link)
                kept = self._keep(found, time()) if found.is_reusable_after(result) else None
                if kept is None:
                    found.close()
        finally:
            pool.leave(origin, kept)
        took_s = time() - began
        if isinstance(result, Answer):
            assert isinstance(found, Link)
            return HTTPReply(result.status, result.fields, result.body, took_s, found.remote, result.is_cut)
        self._failures[result.kind.value] += 1
        return HTTPFailure(result.kind, result.detail, took_s)

    def beginning(self, method: str, fields: Sequence[tuple[str, str]], url: URL) -> bytes:
        """How all requests begin that are alike but for their last fields and their body. Raises InvalidRequest."""
        forwarder = None if url.is_tls else self._forwarder
        return begin_request(method, fields, url, self._settings.user_agent, forwarder)

    def seize(self, url: URL, done: Done) -> Write | None:
        """An idle connection for a repeatable request: what is to be called, at once, with all its octets. None, and
        nothing is done, if there is none.

        ``done`` is called later, once: with the outcome, or None if the connection turned out to have been closed and
        the request is to be sent by :meth:`send`. No task, no future and no timer comes of it.
        """
        now = self._time()
        seized = self._pool.seize(url.origin, now)
        if seized is None:
            return None
        origin, link = seized
        self._reused += 1
        return link.expect(partial(self._ended, origin, link, now, done), now)

    def _ended(self, origin: Origin, link: Link, began: float, done: Done, result: Answer | Fault) -> None:
        now = self._time()
        if not isinstance(result, Answer):
            self._pool.leave(origin)
            if result.is_stale and not self._is_closed:
                done(None)
                return
            self._failures[result.kind.value] += 1
            done(HTTPFailure(result.kind, result.detail, now - began))
            return
        kept: Link | None = None
        if link.is_reusable_after(result):
            kept = self._keep(link, now)
        else:
            link.close()
        self._pool.leave(origin, kept)
        done(HTTPReply(result.status, result.fields, result.body, now - began, link.remote, result.is_cut))

    async def connect(self, url_text: str) -> HTTPFailure | None:
        """Have a connection to the URL's origin that can be used, without a request; None when there is one.

        Raises InvalidRequest.
        """
        url = read_url(url_text)
        began = asyncio.get_running_loop().time()
        origin = await self._pool.enter(url.origin)
        kept: Link | None = None
        try:
            found = self._pool.take(origin, began) or await self._connect(url)
            if isinstance(found, Link):
                kept = self._keep(found, asyncio.get_running_loop().time())
        finally:
            self._pool.leave(origin, kept)
        if not isinstance(found, Fault):
            return None
        return HTTPFailure(found.kind, found.detail, asyncio.get_running_loop().time() - began)

    async def close(self, within_s: float = _GOODBYE_S) -> None:
        """Close every connection and wait until they are closed, at most so long for servers to say goodbye; further
        requests fail with NOTHING_LEFT, those under way with MAY_HAVE_LEFT."""
        self._is_closed = True
        if self._sweep_timer is not None:
            self._sweep_timer.cancel()
            self._sweep_timer = None
        self._pool.let_all_in()
        await self._resolver.close()
        for link in list(self._links):
            link.close()
        for limit_s in (within_s, _GOODBYE_S):
            try:
                async with asyncio.timeout(limit_s):
                    await self._until_gone()
            except TimeoutError:
                for link in list(self._links):
                    link.abort()

    def statistics(self) -> ClientStatistics:
        """A picture of now."""
        pool = self._pool
        return ClientStatistics(
            open=len(self._links),
            idle=pool.idle,
            in_use=pool.in_use,
            waiting=pool.waiting,
            made=self._made,
            reused=self._reused,
            failures=dict(self._failures),
        )

    # ---- connections

    async def _connect(self, url: URL) -> Link | Fault:
        if self._is_closed:
            return _CLOSED
        if len(self._links) >= self._settings.connections:
            oldest = self._pool.oldest()
            if oldest is not None:
                self._pool.discard(oldest)
                oldest.close()
        link = await self._dialler.connect(url)
        if isinstance(link, Fault):
            return link
        if self._is_closed:
            link.abort()
            return _CLOSED
        if not link.is_open:
            return Fault(FailureKind.NOTHING_LEFT, f"{url.host} closed the connection at once")
        link.origin = url.origin
        # Connections made in one burst would otherwise be closed in one.
        link.idle_s *= 1.0 - self._random() / 4
        self._links.add(link)
        self._made += 1
        return link

    def _keep(self, link: Link, now: float) -> Link | None:
        if self._is_closed:
            link.close()
            return None
        link.idle_at = now
        if self._sweep_timer is None:
            self._sweep_later()
        return link

    def _lose(self, link: Link) -> None:
        was_idle = self._pool.discard(link)
        self._links.discard(link)
        if self._links:
            return
        self._all_gone.set()
        if was_idle and link.error is not None and self._reset is not None and not self._is_closed:
            self._reset()

    async def _until_gone(self) -> None:
        while self._links:
            self._all_gone.clear()
            await self._all_gone.wait()

    # ---- idle connections

    def _sweep_later(self) -> None:
        self._sweep_timer = asyncio.get_running_loop().call_later(self._settings.idle_s / 2, self._sweep)

    def _sweep(self) -> None:
        """Close what has been idle for too long; one timer for all, and none while nothing is idle."""
        self._sweep_timer = None
        for link in self._pool.expired(asyncio.get_running_loop().time()):
            self._pool.discard(link)
            link.close()
        if self._pool.idle:
            self._sweep_later()
