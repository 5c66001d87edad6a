"""The TLS fields of a connection."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

import msgspec


class TlsDetails(msgspec.Struct, kw_only=True):
    """TLS of one connection. Fields are empty if the client sent no certificate, and null without TLS."""

    ssl: bool
    ssl_protocol: str | None
    ssl_cipher: str | None
    ssl_hash: str | None
    ssl_key_exchange: str | None
    peer_cert_subject: str | None
    peer_cert_issuer: str | None
    peer_cert_validity: str | None
    peer_cert_serial_number: str | None


WITHOUT_TLS = dict.fromkeys(set(TlsDetails.__struct_fields__) - {"ssl"}, "")
"""The fields of a single connection without TLS; in lists they are null. As in RabbitMQ."""


def tls_details(transport: asyncio.BaseTransport | None) -> dict[str, Any]:
    """The fields of TlsDetails."""
    tls: ssl.SSLObject | None = None if transport is None else transport.get_extra_info("ssl_object")
    if tls is None:
        return dict.fromkeys(TlsDetails.__struct_fields__) | {"ssl": False}
    cipher = tls.cipher()
    name = cipher[0] if cipher is not None else ""
    peer: Any = tls.getpeercert() or {}
    return {
        "ssl": True,
        "ssl_protocol": (tls.version() or "").lower(),
        "ssl_cipher": name,
        "ssl_hash": name.rpartition("_" if "_" in name else "-")[2].lower(),
        "ssl_key_exchange": name.partition("-")[0].lower() if "-" in name else "any",
        "peer_cert_subject": _names(peer.get("subject")),
        "peer_cert_issuer": _names(peer.get("issuer")),
        "peer_cert_validity": f"{peer['notBefore']} - {peer['notAfter']}" if peer else "",
        "peer_cert_serial_number": peer.get("serialNumber", ""),
    }


def _names(found: Any) -> str:
    """A distinguished name, as CN=...,O=...."""
    pairs = [pair for part in found or () for pair in part]
    short = {"commonName": "CN", "organizationName": "O", "organizationalUnitName": "OU", "countryName": "C"}
    return ",".join(f"{short.get(name, name)}={value}" for name, value in pairs)
