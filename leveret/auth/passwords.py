"""Passwords and what is kept of them: salted hashes as RabbitMQ makes them, and Argon2.

Argon2 takes tens of milliseconds and megabytes on purpose; is_slow() says where that is to be expected. Its library
is loaded when the first such hash is made or checked.
Source: rabbit_password.erl.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
from typing import TYPE_CHECKING, Final

from leveret.core.access import Credential

if TYPE_CHECKING:
    from argon2 import PasswordHasher

ARGON2: Final = "argon2"
SHA256: Final = "rabbit_password_hashing_sha256"
SALTED: Final = {
    SHA256: "sha256",
    "rabbit_password_hashing_sha512": "sha512",
    "rabbit_password_hashing_md5": "md5",
}
SALT_SIZE: Final = 4  # bytes in front of RabbitMQ's hashes
TIME_COST: Final = 2  # passes; with the memory these are what OWASP recommends for Argon2id
MEMORY_KIB: Final = 19 * 1024
NOBODY: Final = Credential("", "")  # no password fits


def salted(password: str, algorithm: str = SHA256) -> Credential:
    """Hash a password as RabbitMQ does. algorithm: one of SALTED."""
    salt = os.urandom(SALT_SIZE)
    return Credential(algorithm, base64.b64encode(salt + _salted_hash(algorithm, salt, password)).decode())


def argon2(password: str) -> Credential:
    """Hash a new password. Takes tens of milliseconds."""
    return Credential(ARGON2, _hasher().hash(_octets(password)))


def is_slow(credential: Credential) -> bool:
    """Whether a check takes too long for the event loop."""
    return credential.algorithm == ARGON2


def fits(credential: Credential, password: str) -> bool:
    """Whether the password is the one. The empty password never is."""
    if not password:
        return False
    if credential.algorithm == ARGON2:
        return _fits_argon2(credential.hash, password)
    if credential.algorithm not in SALTED:
        return False
    try:
        kept = base64.b64decode(credential.hash, validate=True)
    except (binascii.Error, ValueError):
        return False
    salt, expected = kept[:SALT_SIZE], kept[SALT_SIZE:]
    return hmac.compare_digest(expected, _salted_hash(credential.algorithm, salt, password))


def _fits_argon2(hash_: str, password: str) -> bool:
    from argon2.exceptions import InvalidHashError, VerificationError

    try:
        return _hasher().verify(hash_, _octets(password))
    except (VerificationError, InvalidHashError):
        return False


def _hasher() -> PasswordHasher:
    from argon2 import PasswordHasher

    return PasswordHasher(time_cost=TIME_COST, memory_cost=MEMORY_KIB, parallelism=1)


def _salted_hash(algorithm: str, salt: bytes, password: str) -> bytes:
    return hashlib.new(SALTED[algorithm], salt + _octets(password), usedforsecurity=False).digest()


def _octets(password: str) -> bytes:
    return password.encode("utf-8", "surrogateescape")
