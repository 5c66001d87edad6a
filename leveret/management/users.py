"""Verbs on users."""

from __future__ import annotations

from leveret.core.access.user import User
from leveret.core.broker import Broker
from leveret.core.definition import form
from leveret.core.errors.administration import InvalidError
from leveret.management.credentials import read_credential
from leveret.management.errors import check_name, unknown
from leveret.management.vhosts import read_tags


def find_user(broker: Broker, name: str) -> User:
    """The user. Raises: UnknownError, which suggests a similar name."""
    user = broker.users.get(name)
    if user is None:
        raise unknown("user", name, [user.name for user in broker.users])
    return user


def list_users(broker: Broker) -> list[dict[str, object]]:
    """All users: name, tags, limits."""
    return [
        {"name": user.name, "tags": list(user.tags), "limits": dict(user.limits)}
        for user in sorted(broker.users, key=lambda user: user.name)
    ]


def add_user(
    broker: Broker,
    name: str,
    password: str | None = None,
    password_hash: str | None = None,
    hashing_algorithm: str | None = None,
    tags: list[str] | str = "",
) -> None:
    """Add a user. The user has no access until you set permissions, and cannot log in without a password."""
    check_user_name(name)
    if broker.users.get(name) is not None:
        raise InvalidError(f"user '{name}' exists; change it with `leveret users password` or `leveret users tags`")
    broker.users.put(name, read_credential(password, password_hash, hashing_algorithm), read_tags(tags))


def check_user_name(name: str) -> None:
    """Validate the name of a user. Raises: InvalidError."""
    if not name:
        raise InvalidError("a user needs a name")
    check_name(name)


def change_password(
    broker: Broker,
    name: str,
    password: str | None = None,
    password_hash: str | None = None,
    hashing_algorithm: str | None = None,
) -> None:
    """Change the password of a user. Connections stay open."""
    find_user(broker, name)
    if password is None and password_hash is None:
        raise InvalidError("give a password or a password_hash")
    broker.users.put(name, read_credential(password, password_hash, hashing_algorithm))


def set_user_tags(broker: Broker, name: str, tags: list[str] | str) -> None:
    """Replace the tags of a user."""
    find_user(broker, name)
    broker.users.set_tags(name, read_tags(tags))


def delete_user(broker: Broker, name: str) -> None:
    """Delete a user and the user's permissions, and close the user's connections."""
    if not broker.has_aside(form.USER, name):
        find_user(broker, name)
    broker.users.delete(name)
