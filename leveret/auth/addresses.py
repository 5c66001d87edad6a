"""Addresses of clients: which of them are on this machine, and which belong together.

What is no address is nobody's: it is not on this machine.
"""

from __future__ import annotations

import ipaddress
from typing import Final

SITE_BITS: Final = 64  # of an IPv6 address: whoever has one has all that begin alike


def is_loopback(host: str) -> bool:
    """Whether this is the address of a client on this machine. Source: rabbit_net.erl is_loopback."""
    address = _address(host)
    return address is not None and address.is_loopback


def site(host: str) -> str:
    """What stands for an address where something is shared out fairly: itself, or the network of an IPv6 address."""
    address = _address(host)
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.IPv6Network((address, SITE_BITS), strict=False).network_address)
    return host if address is None else str(address)


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address, of IPv4 if it is one in the clothes of IPv6; None for anything else."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address
