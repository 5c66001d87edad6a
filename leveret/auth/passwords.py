"""Password hashes: salted hashes as in RabbitMQ, and Argon2.

Argon2 deliberately takes tens of milliseconds and megabytes; see is_slow(). Its library is loaded with the first such
hash.
Source: rabbit_password.erl.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import hmac
import os
import re
from typing import TYPE_CHECKING, Final

from leveret.core.access.user import Credential

if TYPE_CHECKING:
    from argon2 import PasswordHasher

ARGON2: Final = "argon2"
SHA256: Final = "rabbit_password_hashing_sha256"
MD5: Final = "rabbit_password_hashing_md5"
SALTED: Final = {
    SHA256: "sha256",
    "rabbit_password_hashing_sha512": "sha512",
    MD5: "md5",
}
SALT_SIZE: Final = 4  # bytes in front of RabbitMQ's hashes
TIME_COST: Final = 2  # passes; with the memory these are what OWASP recommends for Argon2id
MEMORY_KIB: Final = 19 * 1024
MOST_MEMORY_KIB: Final = 256 * 1024  # of an imported hash, which may have been computed with any parameters
MOST_WORK_KIB: Final = 1024 * 1024  # memory times passes: about a second
MOST_LANES: Final = 64
MOST_CHARACTERS: Final = 1024
COSTS: Final = re.compile(r"[$,]([mtp])=([0-9]{1,20})(?=[$,])")
NOBODY: Final = Credential("", "")  # matches no password


def salted(password: str, algorithm: str = SHA256) -> Credential:
    """Hash a password as in RabbitMQ. algorithm: one of SALTED."""
    salt = os.urandom(SALT_SIZE)
    return Credential(algorithm, base64.b64encode(salt + _salted_hash(algorithm, salt, password)).decode())


def argon2(password: str) -> Credential:
    """Hash a new password. Takes tens of milliseconds."""
    return Credential(ARGON2, _hasher().hash(_octets(password)))


def impossible() -> Credential:
    """A credential that matches no password; its check takes as long as that of argon2()."""
    salt, hash_ = (base64.b64encode(os.urandom(size)).decode().rstrip("=") for size in (16, 32))
    return Credential(ARGON2, f"$argon2id$v=19$m={MEMORY_KIB},t={TIME_COST},p=1${salt}${hash_}")


def is_too_dear(hash_: str) -> bool:
    """Whether an Argon2 hash requires too much time or memory to check."""
    if len(hash_) > MOST_CHARACTERS:
        return True
    costs = {name: int(value) for name, value in COSTS.findall(hash_)}
    memory_kib, passes = costs.get("m", 0), costs.get("t", 0)
    return memory_kib > MOST_MEMORY_KIB or memory_kib * passes > MOST_WORK_KIB or costs.get("p", 0) > MOST_LANES


def is_slow(credential: Credential) -> bool:
    """Whether a check takes too long for the event loop."""
    return credential.algorithm == ARGON2


def fits(credential: Credential, password: str) -> bool:
    """Whether a password matches. The empty password never does."""
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
    if is_too_dear(hash_):
        hash_ = impossible().hash
    from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError

    try:
        return _hasher().verify(hash_, _octets(password))
    except VerifyMismatchError:
        return False
    except (VerificationError, InvalidHashError):  # not a valid hash
        with contextlib.suppress(VerificationError):
            _hasher().verify(impossible().hash, _octets(password))  # so that the time does not reveal the user
        return False


def _hasher() -> PasswordHasher:
    from argon2 import PasswordHasher

    return PasswordHasher(time_cost=TIME_COST, memory_cost=MEMORY_KIB, parallelism=1)


def _salted_hash(algorithm: str, salt: bytes, password: str) -> bytes:
    return hashlib.new(SALTED[algorithm], salt + _octets(password), usedforsecurity=False).digest()


def _octets(password: str) -> bytes:
    return password.encode("utf-8", "surrogateescape")
