"""The TLS context of the broker, and errors in its files."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Iterable
from pathlib import Path

from leveret.node.config import Config
from leveret.server.guests import reason
from leveret.server.listener import Listener

log = logging.getLogger("leveret.node")


class TlsError(Exception):
    """A file cannot be used. The text names it and says what to do."""


def reload(listeners: Iterable[Listener], config: Config) -> None:
    """Reload the files for new connections. If they cannot be used, the old certificate stays in use."""
    try:
        context = make_context(config)
    except TlsError as error:
        log.error("%s; the old certificate stays in use", error)
    else:
        for listener in listeners:
            listener.context = context
        log.info("reloaded the certificate %s", config.tls_certificate)


def make_context(config: Config) -> ssl.SSLContext:
    """The TLS context of a server. Raises: TlsError."""
    certificate, key = config.tls_certificate, config.tls_key or config.tls_certificate
    if b"CERTIFICATE-----" not in _read("tls-certificate", certificate):
        raise TlsError(f"there is no PEM certificate in {certificate}; check --tls-certificate")
    if b"PRIVATE KEY-----" not in _read("tls-key", key):
        option = "check --tls-key" if config.tls_key else "give its file with --tls-key"
        raise TlsError(f"there is no PEM private key in {key}; {option}")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate, key, _no_passphrase)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            wrong = f"the private key in {key} does not belong to the first certificate in {certificate}"
            raise TlsError(f"{wrong}; check --tls-certificate and --tls-key") from None
        wrong = f"cannot use the certificate in {certificate} with the private key in {key}"
        raise TlsError(f"{wrong}: {reason(error)}; check --tls-certificate and --tls-key") from None
    except _EncryptedError:
        raise TlsError(f"the private key in {key} is encrypted; remove its passphrase with openssl pkey") from None
    if config.tls_ca:
        _verify_clients(context, config)
    return context


def _verify_clients(context: ssl.SSLContext, config: Config) -> None:
    _read("tls-ca", config.tls_ca)
    try:
        context.load_verify_locations(config.tls_ca)
    except ssl.SSLError as error:
        raise TlsError(f"cannot use the CAs in {config.tls_ca}: {reason(error)}; check --tls-ca") from None
    context.verify_mode = ssl.CERT_REQUIRED if config.tls_require_client_certificate else ssl.CERT_OPTIONAL


class _EncryptedError(Exception):
    """A private key needs a passphrase."""


def _no_passphrase() -> str:
    """Called for the passphrase of a key. By default, OpenSSL would ask at the terminal."""
    raise _EncryptedError


def _read(name: str, path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise TlsError(f"cannot read {path}: {error.strerror}; check --{name}") from None
