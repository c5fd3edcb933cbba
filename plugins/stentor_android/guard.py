"""Who fails to say who he is too often is not listened to for a while: a bounded count of failures by address."""

from collections import OrderedDict
from typing import Final

ADDRESSES: Final = 10_000
FAILURES: Final = 30
WINDOW_S: Final = 60.0


class Guard:
    """At most FAILURES in WINDOW_S of one address; beyond ADDRESSES the one that failed longest ago is forgotten.

    A fleet behind one address that comes back to a server which lost it registers anew at once: the number leaves room
    for that, and a successful request takes nothing away.
    """

    __slots__ = ("_failures", "refused")

    def __init__(self) -> None:
        self._failures: OrderedDict[str, tuple[int, float]] = OrderedDict()
        self.refused = 0

    def is_barred(self, address: str, now: float) -> bool:
        """Too many failures in the last minute?"""
        found = self._failures.get(host_of(address))
        is_barred = found is not None and found[0] >= FAILURES and now - found[1] < WINDOW_S
        self.refused += is_barred
        return is_barred

    def failed(self, address: str, now: float) -> None:
        host = host_of(address)
        count, since = self._failures.get(host, (0, now))
        if now - since >= WINDOW_S:
            count, since = 0, now
        self._failures[host] = count + 1, since
        self._failures.move_to_end(host)
        if len(self._failures) > ADDRESSES:
            self._failures.popitem(last=False)


def host_of(address: str) -> str:
    """The host of ``host:port``: an IPv6 one counts by its network of 64 bits, which one client has whole."""
    host = address.rpartition(":")[0].strip("[]")
    return ":".join(host.split(":")[:4]) if ":" in host else host
