"""Names to addresses without blocking: a few lookups at a time, one for each name, remembered for a short while.

While the resolver is down or slow, what was known of a name serves on for up to an hour. What says that there is no
such name is believed at once.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Sequence
from typing import Final

import msgspec

FRESH_S: Final = (
    30.0  # short enough to follow a carrier that moves, long enough to spare the resolver a burst
)
STALE_S: Final = 3600.0
PATIENCE_S: Final = 1.0
"""How long a lookup is waited for by who could go by what was known before."""
AGAIN_S: Final = 10.0
"""So long that is then done without asking again."""
NAMES: Final = 1_000
_NO_SUCH_NAME: Final = frozenset({socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)})
LOOKUPS: Final = 4  # threads that may hang in a resolver at once; event loops have few


class _Known(msgspec.Struct):
    """Addresses of a name. They are not asked for again before ``fresh_until``, and of no use after ``stale_until``."""

    addresses: tuple[str, ...]
    fresh_until: float
    stale_until: float


class Resolver:
    """Looks names up with the event loop's getaddrinfo. Bound: 1,000 names; the one looked up first is forgotten."""

    def __init__(self) -> None:
        self._known: dict[str, _Known] = {}
        self._lookups: dict[str, asyncio.Task[tuple[str, ...] | OSError]] = {}
        self._turns = asyncio.Semaphore(LOOKUPS)

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        """The addresses of ``host``, in the order to try them. Raises OSError when it has none."""
        if is_address(host):
            return (host,)
        known, now = self._known.get(host), asyncio.get_running_loop().time()
        if known is not None and known.fresh_until > now:
            return known.addresses
        if known is not None and known.stale_until <= now:
            known = None
        lookup = self._lookups.get(host)
        if lookup is None:
            lookup = self._lookups[host] = asyncio.create_task(
                self._look_up(host, port), name=f"look up {host}"
            )
        # Who gives up waiting leaves the lookup to whoever asks next: a thread cannot be called back anyway.
        await asyncio.wait({lookup}, timeout=PATIENCE_S if known is not None else None)
        if not lookup.done():
            assert known is not None, "only then there is a limit"
            return self._serve_on(known)
        if lookup.cancelled():
            raise OSError("the client was closed")
        found = lookup.result()
        if not isinstance(found, OSError):
            return found
        if known is None or found.errno in _NO_SUCH_NAME:
            raise found
        return self._serve_on(known)

    def _serve_on(self, known: _Known) -> tuple[str, ...]:
        known.fresh_until = asyncio.get_running_loop().time() + AGAIN_S
        return known.addresses

    async def close(self) -> None:
        """End what is under way."""
        lookups = list(self._lookups.values())
        for lookup in lookups:
            lookup.cancel()
        await asyncio.gather(*lookups, return_exceptions=True)

    async def _look_up(self, host: str, port: int) -> tuple[str, ...] | OSError:
        loop = asyncio.get_running_loop()
        try:
            async with self._turns:
                found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            return error
        except UnicodeError as error:
            return OSError(f"not a name: {error}")
        finally:
            del self._lookups[host]
        addresses = tuple(dict.fromkeys(str(each[4][0]) for each in found))
        self._known.pop(host, None)
        if len(self._known) >= NAMES:
            del self._known[next(iter(self._known))]
        now = loop.time()
        self._known[host] = _Known(addresses, now + FRESH_S, now + STALE_S)
        return addresses


def is_address(host: str) -> bool:
    """True for an IPv4 or IPv6 address in its usual form; the odd forms of libc are looked up like names."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_own_address(address: str) -> bool:
    """True if this host has the address: only then can a socket be bound to it."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((address, 0))
    except OSError:
        return False
    return True
