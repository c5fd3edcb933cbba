"""What a carrier sends to a channel: from a request to the host, and the answer once it is durable.

What comes in one turn of the loop goes to the host in one call, and not before the answers of the same turn: a carrier
may report a message in the moment it takes it, over another connection.

Invariants: an item is acknowledged only after the host has settled it; what is not settled is bounded, and beyond the
bound a carrier is asked to come again; a message that is repeated, with the carrier's id, is one message.
"""

from collections import Counter
from collections.abc import Callable
from typing import Final

from stentor.driver import Host, HTTPExchange, Inbound
from stentor.errors import Overloaded
from stentor_http.carrier import Carrier
from stentor_http.errands import Errands
from stentor_http.inbound import Accepted, Kind, Rejected, Wanting, receive
from stentor_http.parts import PartTally
from stentor_http.repetitions import Repetitions
from stentor_http.trouble import Trouble

BODY_LIMIT: Final = 256 * 1024  # the longest of them, a batch of receipts, is some 100 KiB
UNSETTLED_OCTETS: Final = 8 * 1024 * 1024
UNSETTLED_REQUESTS: Final = 10_000
WARN_EVERY_S: Final = 60.0
_AGAIN: Final = (("Retry-After", "5"),)
_WHY: Final = {
    "token": "its URL has not the channel's hook_token",
    "signature": "its signature is wrong (is the key of the channel the one it was signed with?)",
    "source": "it is not from where the channel's settings say (a topic that they do not name?)",
    "stale": "it was signed too long ago (do the clocks agree?)",
    "unreadable": "it cannot be read",
    "method": "it came by a method that the description does not know",
}
"""What an operator is told of a rejection who waits for receipts in vain."""
_KINDS: Final[dict[str, Kind]] = {"/receipt": "receipt", "/mo": "mo"}


class Inbox:
    """Handles the requests below ``/in/CHANNEL``. ``errands``: None where no request can refer to something elsewhere;
    ``flush_later`` calls a function at the end of the loop's turn, when
    the outcomes of answers that came in it have been told."""

    def __init__(
        self,
        carrier: Carrier,
        host: Host,
        counters: "Counter[str]",
        flush_later: Callable[[Callable[[], None]], object],
        trouble: Trouble,
        errands: Errands | None = None,
    ) -> None:
        self._trouble = trouble
        self._errands = errands
        self._carrier = carrier
        self._host = host
        self._counters = counters
        kept = host.kept()
        self._tally = PartTally(keep=self.keep, kept=kept)
        self._repetitions = Repetitions(self.keep, kept)
        self._requests = 0
        self._octets = 0
        self._flush_later = flush_later
        self._gathered: list[tuple[HTTPExchange, Accepted]] = []
        self._warned_at = float("-inf")
        self.prefix = f"/in/{host.channel}"

    def handle(self, exchange: HTTPExchange) -> None:
        """Take one request; its response is given now or when its items are settled."""
        kind = _KINDS.get(exchange.head.path.removeprefix(self.prefix))
        if kind is None:
            exchange.respond(404, b"", "text/plain")
            return
        if self._requests >= UNSETTLED_REQUESTS or self._octets + len(exchange.body) > UNSETTLED_OCTETS:
            self._counters["hook_overloaded"] += 1
            exchange.respond(503, b"", "text/plain", _AGAIN)
            return
        self._counters[f"hook_{kind}"] += 1
        self._judge(exchange, kind)

    def _judge(self, exchange: HTTPExchange, kind: Kind, url: str = "", fetched: bytes | None = None) -> None:
        """``fetched`` is what was at the URL that the request refers to."""
        wall_ms = self._host.clock.wall_ms()
        found = receive(self._carrier, kind, exchange.head, exchange.body, wall_ms, fetched)
        if isinstance(found, Wanting):
            url = found.url
            self._after(url, exchange, lambda content: self._judge(exchange, kind, url, content))
        elif isinstance(found, Rejected):
            if url and found.fault is not None:
                assert self._errands is not None, "it was fetched"
                self._errands.forget(url)
            self._reject(exchange, kind, found)
        elif found.visit:
            self._after(found.visit, exchange, lambda _: self._accept(exchange, found))
        else:
            self._accept(exchange, found)

    def _after(self, url: str, exchange: HTTPExchange, then: Callable[[bytes], None]) -> None:
        """Go on with what is at the URL; while it cannot be had the carrier is asked to come again."""
        assert self._errands is not None, "there are some where a request can refer to something"
        octets = len(exchange.body)
        self._requests += 1
        self._octets += octets

        def fetched(content: bytes | None) -> None:
            self._requests -= 1
            self._octets -= octets
            if content is None:
                exchange.respond(503, b"", "text/plain", _AGAIN)
            else:
                then(content)

        self._errands.fetch(url, fetched)

    def _accept(self, exchange: HTTPExchange, found: Accepted) -> None:
        self._counters["hook_skipped"] += found.skipped
        if found.items:
            self._give(exchange, found, len(exchange.body))
        else:
            exchange.respond(found.status, found.body, found.content_type)

    def _give(self, exchange: HTTPExchange, found: Accepted, octets: int) -> None:
        self._requests += 1
        self._octets += octets
        if not self._gathered:
            self._flush_later(self.flush)
        self._gathered.append((exchange, found))

    def flush(self) -> None:
        """Give the host what was gathered."""
        gathered, self._gathered = self._gathered, []
        if not gathered:
            return
        octets = sum([len(exchange.body) for exchange, _ in gathered])

        def settled(is_durable: bool) -> None:
            self._requests -= len(gathered)
            self._octets -= octets
            if not is_durable:
                self._counters["hook_refused"] += len(gathered)
            for exchange, found in gathered:
                if is_durable:
                    exchange.respond(found.status, found.body, found.content_type)
                else:
                    exchange.respond(503, b"", "text/plain", _AGAIN)

        # Here and not earlier: what is kept of them must be durable with them, in one commit.
        wall_ms, take = self._host.clock.wall_ms(), self._tally.take
        items = [
            item if isinstance(item, Inbound) else take(*item, wall_ms)
            for _, found in gathered
            for item in found.items
        ]
        fresh = self._repetitions.take_out(items, wall_ms)
        self._counters["hook_repeated"] += len(items) - len(fresh)
        # Without any item too: what is repeated may not be durable yet.
        self._host.receive(fresh, settled)

    def keep(self, name: str, value: bytes | None) -> None:
        try:
            self._host.keep(name, value)
        except Overloaded:
            self._counters["unkept"] += 1

    def _reject(self, exchange: HTTPExchange, kind: Kind, found: Rejected) -> None:
        self._counters[f"hook_rejected_{found.reason}"] += 1
        exchange.respond(found.status, found.body, "text/plain")
        if found.fault is not None:
            self._trouble.tell(found.fault)
        now = self._host.clock.now()
        if now - self._warned_at >= WARN_EVERY_S:
            self._warned_at = now
            if found.reason in _WHY:
                # Once a minute at most: whoever reaches the URL can cause it, and must not hide what else is wrong.
                what = "a receipt" if kind == "receipt" else "a message that came in"
                self._trouble.note(f"{what} was rejected: {_WHY[found.reason]}")
            self._host.log.warning(
                "a request to the channel was rejected", reason=found.reason, peer=exchange.address
            )
