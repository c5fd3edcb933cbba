"""Names to addresses without blocking: a few lookups at a time, one for each name, remembered for a short while."""

import asyncio
import ipaddress
import socket
from collections.abc import Sequence
from typing import Final

import msgspec

FRESH_S: Final = (
    30.0  # short enough to follow a carrier that moves, long enough to spare the resolver a burst
)
NAMES: Final = 1_000
LOOKUPS: Final = 4  # threads that may hang in a resolver at once; event loops have few


class _Known(msgspec.Struct, frozen=True):
    addresses: tuple[str, ...]
    until: float


class Resolver:
    """Looks names up with the event loop's getaddrinfo. Bound: 1,000 names; when full it starts afresh."""

    def __init__(self) -> None:
        self._known: dict[str, _Known] = {}
        self._lookups: dict[str, asyncio.Task[tuple[str, ...] | OSError]] = {}
        self._turns = asyncio.Semaphore(LOOKUPS)

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        """The addresses of ``host``, in the order to try them. Raises OSError when it has none."""
        if is_address(host):
            return (host,)
        known = self._known.get(host)
        if known is not None and known.until > asyncio.get_running_loop().time():
            return known.addresses
        lookup = self._lookups.get(host)
        if lookup is None:
            lookup = self._lookups[host] = asyncio.create_task(
                self._look_up(host, port), name=f"look up {host}"
            )
        # Who gives up waiting leaves the lookup to whoever asks next: a thread cannot be called back anyway.
        await asyncio.wait({lookup})
        if lookup.cancelled():
            raise OSError("the client was closed")
        found = lookup.result()
        if isinstance(found, OSError):
            raise found
        return found

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
        if len(self._known) >= NAMES:
            self._known.clear()
        self._known[host] = _Known(addresses, loop.time() + FRESH_S)
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
