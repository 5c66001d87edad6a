"""Credentials from a password or a password hash, given to a verb or in a definitions file."""

from __future__ import annotations

import base64
import binascii

from leveret.auth.passwords import (
    ARGON2,
    MOST_CHARACTERS,
    NOBODY,
    SALT_SIZE,
    SALTED,
    SHA256,
    argon2,
    is_too_dear,
    salted,
)
from leveret.core.access.user import Credential
from leveret.core.errors.administration import InvalidError

MAX_PASSWORD = 65535  # characters


def read_credential(password: str | None, password_hash: str | None, algorithm: str | None) -> Credential:
    """A credential from a hash, else from a password, else one that no password matches.

    algorithm: of the hash, or to hash the password with; None for RabbitMQ's default, or Argon2 for a password.
    Raises: InvalidError.
    """
    if password_hash is not None:
        return _read_hash(password_hash, algorithm or SHA256)
    if password is None:
        return NOBODY
    if not password:
        raise InvalidError("the password must not be empty: a login with an empty password is not possible")
    if len(password) > MAX_PASSWORD:
        raise InvalidError(f"the password has {len(password)} characters; at most {MAX_PASSWORD} are allowed")
    if algorithm in (None, ARGON2):
        return argon2(password)
    _check_algorithm(algorithm)
    return salted(password, algorithm)


def _check_algorithm(algorithm: str) -> None:
    if algorithm not in SALTED and algorithm != ARGON2:
        raise InvalidError(f"'{algorithm}' is not a hashing algorithm; choose from {', '.join([*SALTED, ARGON2])}")


def _read_hash(text: str, algorithm: str) -> Credential:
    if not text:
        return NOBODY
    _check_algorithm(algorithm)
    if algorithm == ARGON2:
        if not text.startswith("$argon2"):
            raise InvalidError("an Argon2 hash must begin with $argon2")
        if is_too_dear(text):
            raise InvalidError("the Argon2 hash takes too long to check; make one that takes less than a second")
        return Credential(algorithm, text)
    if len(text) > MOST_CHARACTERS:
        raise InvalidError(f"the password hash has {len(text)} characters; no hash has more than {MOST_CHARACTERS}")
    try:
        size = len(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError):
        raise InvalidError("the password hash is not base64") from None
    if size <= SALT_SIZE:
        raise InvalidError("the password hash is too short: it must contain a salt and a hash")
    return Credential(algorithm, text)
