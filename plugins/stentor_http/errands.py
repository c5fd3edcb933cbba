"""Fetches what a carrier's request refers to: the certificate it is signed by, or a URL that confirms a subscription.

By a client of its own, which trusts the system's authorities whatever the channel trusts, goes to public addresses
only, and takes 64 KiB. Invariants: one errand is under way at a time; what waits is bounded, and so is what is kept;
what could not be had is left alone for a while, however many requests want it, and never takes the place of what
could; whoever asked is told, in the end.
"""

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Final

import msgspec

from stentor.aio.http import Client, ClientSettings
from stentor.driver import Host
from stentor.guard import AddressGuard
from stentor.wire.calls import HTTPReply, HTTPRequest, InvalidRequest
from stentor_http.trouble import Trouble

KEPT: Final = 16
KEPT_S: Final = 86_400.0
FAILED_S: Final = 10.0
WAITING: Final = 16
"""Different URLs; requests that want them are bounded by the inbox."""
LIMIT: Final = 64 * 1024
PATIENCE_S: Final = 10.0

Then = Callable[[bytes | None], None]
"""Is given what was found, None for nothing."""


class Kept(msgspec.Struct, frozen=True, gc=False):
    """What a URL held, None if it could not be had; believed until ``until``."""

    content: bytes | None
    until: float


class Errands:
    """The errands of one channel. ``proxy``: as the client of the channel has it."""

    def __init__(self, host: Host, counters: "Counter[str]", trouble: Trouble, proxy: str) -> None:
        self._host, self._counters, self._trouble = host, counters, trouble
        self._proxy = proxy
        self._kept: OrderedDict[str, Kept] = OrderedDict()
        self._jobs: OrderedDict[str, list[Then]] = OrderedDict()
        self._news = asyncio.Event()
        self._is_over = False

    def fetch(self, url: str, then: Then) -> None:
        """Have what is at the URL, which stays there: it is kept for a day. ``then`` may be called at once."""
        kept = self._kept.get(url)
        if kept is not None and kept.until > self._host.clock.now():
            then(kept.content)
        elif self._is_over or (url not in self._jobs and len(self._jobs) >= WAITING):
            self._counters["errands_unrun"] += 1
            then(None)
        else:
            self._jobs.setdefault(url, []).append(then)
            self._news.set()

    def forget(self, url: str) -> None:
        """It was not what it should have been; in a while it may be."""
        self._keep(url, None)

    async def run(self) -> None:
        """For as long as the channel lives."""
        client = Client(self._settings(), random=self._host.random)
        try:
            while True:
                while not self._jobs:
                    self._news.clear()
                    await self._news.wait()
                url = next(iter(self._jobs))
                content = await self._get(client, url)
                self._keep(url, content)
                for then in self._jobs.pop(url):
                    then(content)
        finally:
            await client.close(0.0)

    def give_up(self) -> None:
        """The end: nobody waits any longer."""
        self._is_over = True
        jobs, self._jobs = self._jobs, OrderedDict()
        for waiting in jobs.values():
            for then in waiting:
                then(None)

    async def _get(self, client: Client, url: str) -> bytes | None:
        self._counters["errands"] += 1
        try:
            if not url.startswith("https://"):
                raise InvalidRequest("it is no https URL")
            answer = await client.send(HTTPRequest("GET", url))
        except InvalidRequest as error:
            detail = str(error)
        else:
            if isinstance(answer, HTTPReply) and answer.status == 200:
                return answer.body
            detail = f"status {answer.status}" if isinstance(answer, HTTPReply) else answer.detail
        self._counters["errands_failed"] += 1
        self._trouble.tell(
            f"{url.partition('?')[0]} could not be fetched, which a request referred to: {detail}"
        )
        return None

    def _keep(self, url: str, content: bytes | None) -> None:
        until = self._host.clock.now() + (FAILED_S if content is None else KEPT_S)
        self._kept[url] = Kept(content, until)
        self._kept.move_to_end(url)
        if len(self._kept) > KEPT:
            failed = (name for name, kept in self._kept.items() if kept.content is None)
            del self._kept[next(failed, next(iter(self._kept)))]

    def _settings(self) -> ClientSettings:
        return ClientSettings(
            connections=1,
            connections_per_origin=1,
            connect_s=PATIENCE_S,
            tls_s=PATIENCE_S,
            answer_s=PATIENCE_S,
            body_s=PATIENCE_S,
            body_limit=LIMIT,
            proxy=self._proxy,
            guard=AddressGuard(),
        )
