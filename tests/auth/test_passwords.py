"""Hashes as RabbitMQ makes them, Argon2, and who logs in with them."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time

import pytest

from leveret.auth.authenticator import LoginRefused
from leveret.auth.internal import InternalAuthenticator
from leveret.auth.passwords import ARGON2, NOBODY, SALTED, argon2, fits, is_slow, salted
from leveret.core.access import Credential
from leveret.core.broker import Broker
from tests.session.peer import make_broker

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


def test_the_empty_password_never_fits() -> None:
    assert not fits(salted(""), "")


# -- logins


def users(credential: Credential) -> Broker:
    """A broker with the user u, and guest."""
    broker = make_broker()
    broker.users.put("u", credential)
    broker.users.put("guest", salted("guest"))
    return broker


def test_cheap_logins_are_answered_at_once() -> None:
    broker = users(salted("secret"))
    authenticator = InternalAuthenticator(broker.users, ("guest",))
    assert authenticator.authenticate_now("u", "secret", False) is broker.users.get("u")
    assert authenticator.authenticate_now("guest", "guest", True) is broker.users.get("guest")
    for name, password, text in (
        ("u", "wrong", "user 'u' - invalid credentials"),
        ("none", "secret", "user 'none' - invalid credentials"),
        ("u", "", "user 'u' attempted to log in with a blank password"),
        ("guest", "guest", "user 'guest' can only connect via localhost"),
    ):
        with pytest.raises(LoginRefused, match=text):
            authenticator.authenticate_now(name, password, False)


def test_slow_logins_are_computed_once_and_then_known() -> None:
    broker = users(SLOW)
    authenticator = InternalAuthenticator(broker.users, ())
    assert authenticator.authenticate_now("u", "secret", False) is None

    async def log_in() -> None:
        logins = [authenticator.authenticate("u", "secret", False) for _ in range(200)]
        assert set(await asyncio.gather(*logins)) == {broker.users.get("u")}
        with pytest.raises(LoginRefused, match="invalid credentials"):
            await authenticator.authenticate("u", "wrong", False)

    began = time.monotonic()
    asyncio.run(log_in())
    assert time.monotonic() - began < 5  # 200 computations take longer
    assert authenticator.authenticate_now("u", "secret", False) is broker.users.get("u")
    assert authenticator.authenticate_now("u", "other", False) is None


def test_a_new_password_ends_what_is_known() -> None:
    broker = users(SLOW)
    authenticator = InternalAuthenticator(broker.users, ())
    asyncio.run(authenticator.authenticate("u", "secret", False))
    broker.users.put("u", argon2("other"))
    with pytest.raises(LoginRefused):
        asyncio.run(authenticator.authenticate("u", "secret", False))
    broker.users.delete("u")
    with pytest.raises(LoginRefused):
        asyncio.run(authenticator.authenticate("u", "other", False))


def test_a_slow_login_that_is_given_up_does_not_fail_the_others() -> None:
    broker = users(SLOW)
    authenticator = InternalAuthenticator(broker.users, ())

    async def log_in() -> None:
        first = asyncio.ensure_future(authenticator.authenticate("u", "secret", False))
        second = asyncio.ensure_future(authenticator.authenticate("u", "secret", False))
        await asyncio.sleep(0)
        first.cancel()
        assert await second is broker.users.get("u")

    asyncio.run(log_in())


def test_argon2_is_not_loaded_before_it_is_needed() -> None:
    program = "import sys, leveret.node.node; sys.exit('argon2' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
