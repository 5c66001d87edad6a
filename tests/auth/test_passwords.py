"""Hashes as RabbitMQ makes them, and Argon2."""

from __future__ import annotations

import subprocess
import sys

import pytest

from leveret.auth.passwords import ARGON2, NOBODY, SALTED, argon2, fits, impossible, is_slow, is_too_dear, salted
from leveret.core.access.user import Credential
from leveret.core.errors.administration import InvalidError
from leveret.management.credentials import read_credential

BY_RABBITMQ = {  # of the password guest
    "rabbit_password_hashing_sha256": "J4i+Cj1vj7qJFhYZD+PDScK+DbpnSm6OsjRuCdjWq8UGODSJ",
}
SLOW = argon2("secret")


@pytest.mark.parametrize("algorithm", BY_RABBITMQ)
def test_hashes_made_by_rabbitmq(algorithm: str) -> None:
    credential = Credential(algorithm, BY_RABBITMQ[algorithm])
    assert fits(credential, "guest")
    assert not fits(credential, "Guest")


@pytest.mark.parametrize("algorithm", SALTED)
@pytest.mark.parametrize("password", ["x", "pässword", "long" * 100, "\udcff"])
def test_salted_hashes(algorithm: str, password: str) -> None:
    credential = salted(password, algorithm)
    assert credential.algorithm == algorithm
    assert credential.hash != salted(password, algorithm).hash
    assert fits(credential, password)
    assert not fits(credential, password + "x")
    assert not is_slow(credential)


def test_argon2() -> None:
    assert SLOW.hash.startswith("$argon2id$")
    assert is_slow(SLOW)
    assert fits(SLOW, "secret")
    assert not fits(SLOW, "Secret")


@pytest.mark.parametrize(
    "credential",
    [
        NOBODY,
        impossible(),
        Credential("rabbit_password_hashing_sha256", ""),
        Credential("rabbit_password_hashing_sha256", "no base64"),
        Credential("rabbit_password_hashing_sha256", "AAAA"),
        Credential("unknown", SLOW.hash),
        Credential(ARGON2, ""),
        Credential(ARGON2, "$argon2id$broken"),
    ],
    ids=lambda credential: f"{credential.algorithm} {credential.hash[:9]}",
)
@pytest.mark.parametrize("password", ["", "x"])
def test_what_no_password_fits(credential: Credential, password: str) -> None:
    assert not fits(credential, password)


@pytest.mark.parametrize("costs", ["m=19456,t=4294967295,p=1", "m=4294967295,t=1,p=1", "m=19456,t=2,p=9999999"])
def test_hashes_that_take_too_long_are_not_computed(costs: str) -> None:
    dear = SLOW.hash.replace("m=19456,t=2,p=1", costs)
    assert is_too_dear(dear)
    assert not fits(Credential(ARGON2, dear), "secret")
    with pytest.raises(InvalidError, match="takes too long to check"):
        read_credential(None, dear, ARGON2)
    assert not is_too_dear(SLOW.hash)
    assert read_credential(None, SLOW.hash, ARGON2).hash == SLOW.hash


def test_the_empty_password_never_fits() -> None:
    assert not fits(salted(""), "")


def test_argon2_is_not_loaded_before_it_is_needed() -> None:
    program = "import sys, leveret.node.node; sys.exit('argon2' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
