"""Which IP addresses a request to a URL of somebody else's choice may go to: public ones of other hosts.

Judges addresses, never names, and so must be asked about the address that is connected to, after DNS. An IPv6
address that carries an IPv4 address inside is judged by both.
"""

import ipaddress
from collections.abc import Iterator
from typing import Final

import msgspec

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# IANA's registries of special-purpose addresses (RFC 6890), their blocks that are nobody's public server.
_REFUSED: Final = tuple(
    (ipaddress.ip_network(network), reason)
    for network, reason in (
        ("0.0.0.0/8", "unspecified"),
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "behind a carrier's NAT"),
        ("127.0.0.0/8", "loopback"),
        ("169.254.0.0/16", "link-local"),
        ("172.16.0.0/12", "private"),
        ("192.0.0.0/24", "reserved"),
        ("192.0.2.0/24", "reserved"),
        ("192.88.99.0/24", "reserved"),
        ("192.168.0.0/16", "private"),
        ("198.18.0.0/15", "reserved"),
        ("198.51.100.0/24", "reserved"),
        ("203.0.113.0/24", "reserved"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),
        ("::/128", "unspecified"),
        ("::1/128", "loopback"),
        ("64:ff9b:1::/48", "private"),
        ("100::/64", "reserved"),
        ("2001:2::/48", "reserved"),
        ("2001:10::/28", "reserved"),
        ("2001:db8::/32", "reserved"),
        ("3fff::/20", "reserved"),
        ("5f00::/16", "reserved"),
        ("fc00::/7", "private"),
        ("fe80::/10", "link-local"),
        ("fec0::/10", "private"),
        ("ff00::/8", "multicast"),
    )
)
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052 §2.1
_COMPATIBLE: Final = ipaddress.IPv6Network("::/96")  # RFC 4291 §2.5.5.1
_TRANSLATED: Final = ipaddress.IPv6Network("::ffff:0:0:0/96")  # RFC 2765 §2.1
_ISATAP: Final = (0x00005EFE, 0x02005EFE)  # RFC 5214 §6.1


class AddressGuard(msgspec.Struct, frozen=True):
    """The judge. ``allowed``: networks that may be gone to all the same, as ``10.1.0.0/16``; what it lists is allowed
    in every form. Raises ValueError when made from something that is no network."""

    allowed: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for network in self.allowed:
            ipaddress.ip_network(network)

    def refusal(self, address: str, *, is_own: bool = False) -> str | None:
        """Why this address is out of bounds, in a word or two; None if it may be gone to. ``is_own``: this host has it.

        Raises ValueError for what is no address.
        """
        forms = tuple(_forms(ipaddress.ip_address(address.partition("%")[0])))
        allowed = tuple(ipaddress.ip_network(network) for network in self.allowed)
        if any(form in network for form in forms for network in allowed):
            return None
        if is_own:
            return "this host's own"
        for form in forms:
            for network, reason in _REFUSED:
                if form in network:
                    return reason
        return None


def _forms(address: Address) -> Iterator[Address]:
    """The address itself and every IPv4 address inside it."""
    yield address
    if isinstance(address, ipaddress.IPv4Address):
        return
    if address.ipv4_mapped is not None:
        yield address.ipv4_mapped
    if address.sixtofour is not None:
        yield address.sixtofour
    if address.teredo is not None:
        yield from address.teredo
    low, number = int(address) & 0xFFFF_FFFF, int(address)
    if (
        address in _NAT64
        or address in _TRANSLATED
        or (address in _COMPATIBLE and number > 1)
        or (number >> 32) & 0xFFFF_FFFF in _ISATAP
    ):
        yield ipaddress.IPv4Address(low)
