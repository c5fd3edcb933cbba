"""Who tries too many credentials is not believed what could be guessed: a bounded count of wrong ones by address.

What is counted are different ones. A phone repeats the same for ever, and phones share addresses: a fleet that moves
over comes with as many tokens of another server as it has phones, all from one address, and registers next. Tokens of
phones are nothing that can be guessed, so they are not counted at all; what can be is a password that somebody chose,
a code, and the private token of the configuration.
"""

from collections import OrderedDict
from typing import Final

ADDRESSES: Final = 10_000
FAILURES: Final = 30
WINDOW_S: Final = 60.0


class Guard:
    """At most FAILURES different ones in WINDOW_S of one address; beyond ADDRESSES the one that failed longest ago is
    forgotten. ``refused`` counts who was turned away."""

    __slots__ = ("_failures", "refused")

    def __init__(self) -> None:
        self._failures: OrderedDict[str, tuple[float, set[int]]] = OrderedDict()
        self.refused = 0

    def is_barred(self, address: str, now: float) -> bool:
        """Too many failures in the last minute?"""
        found = self._failures.get(host_of(address))
        return found is not None and len(found[1]) >= FAILURES and now - found[0] < WINDOW_S

    def failed(self, address: str, credentials: str, now: float) -> None:
        """These, an Authorization field's value, are nobody's."""
        host = host_of(address)
        since, tried = self._failures.get(host, (now, set()))
        if now - since >= WINDOW_S:
            since, tried = now, set()
        if len(tried) < FAILURES:
            tried.add(hash(credentials))
        self._failures[host] = since, tried
        self._failures.move_to_end(host)
        if len(self._failures) > ADDRESSES:
            self._failures.popitem(last=False)


def host_of(address: str) -> str:
    """The host of ``host:port``: an IPv6 one counts by its network of 64 bits, which one client has whole."""
    host = address.rpartition(":")[0].strip("[]")
    return ":".join(host.split(":")[:4]) if ":" in host else host
