"""Addresses of clients: which are on this machine, and which belong to one site.

An invalid address does not count as one of this machine.
"""

from __future__ import annotations

import ipaddress
from typing import Final

SITE_BITS: Final = 64  # network prefix of an IPv6 address: a client can use every address in it


def is_loopback(host: str) -> bool:
    """Whether this is the address of a client on this machine. Source: rabbit_net.erl is_loopback."""
    address = _address(host)
    return address is not None and address.is_loopback


def site(host: str) -> str:
    """The key of an address for fair sharing: the address itself, or the /64 network of an IPv6 address."""
    address = _address(host)
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.IPv6Network((address, SITE_BITS), strict=False).network_address)
    return host if address is None else str(address)


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address, with an IPv4-mapped one as IPv4; None if invalid."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address
