"""Verbs on permissions and topic permissions of users in virtual hosts."""

from __future__ import annotations

from leveret.core.broker import Broker
from leveret.core.definition import form
from leveret.core.errors.administration import InvalidError
from leveret.management.errors import unknown
from leveret.management.users import find_user
from leveret.management.vhosts import find_vhost


def list_permissions(broker: Broker, user: str | None = None, vhost: str | None = None) -> list[dict[str, object]]:
    """Permissions, optionally only of one user or in one virtual host."""
    _check_given(broker, user, vhost)
    return [
        {
            "user": each.name,
            "vhost": name,
            "configure": permission.configure,
            "write": permission.write,
            "read": permission.read,
        }
        for each in sorted(broker.users, key=lambda each: each.name)
        for name, permission in sorted(each.permissions.items())
        if user in (None, each.name) and vhost in (None, name)
    ]


def set_permissions(broker: Broker, user: str, vhost: str, configure: str, write: str, read: str) -> None:
    """Set the patterns for names that a user may configure, write to and read from."""
    _check_given(broker, user, vhost)
    broker.users.set_permission(user, vhost, configure, write, read)


def clear_permissions(broker: Broker, user: str, vhost: str) -> None:
    """Remove all permissions of a user in a virtual host."""
    _check_given(broker, user, vhost)
    has_any = vhost in find_user(broker, user).permissions
    if not has_any and not broker.has_aside(form.PERMISSION, user, vhost):
        raise InvalidError(f"user '{user}' has no permissions in virtual host '{vhost}'")
    broker.users.clear_permission(user, vhost)


def list_topic_permissions(
    broker: Broker, user: str | None = None, vhost: str | None = None
) -> list[dict[str, object]]:
    """Topic permissions, optionally only of one user or in one virtual host."""
    _check_given(broker, user, vhost)
    return [
        {"user": each.name, "vhost": name, "exchange": exchange, "write": permission.write, "read": permission.read}
        for each in sorted(broker.users, key=lambda each: each.name)
        for name, permissions in sorted(each.topic_permissions.items())
        for exchange, permission in sorted(permissions.items())
        if user in (None, each.name) and vhost in (None, name)
    ]


def set_topic_permissions(broker: Broker, user: str, vhost: str, exchange: str, write: str, read: str) -> None:
    """Restrict the routing keys that a user may use with a topic exchange."""
    _check_given(broker, user, vhost)
    exchanges = find_vhost(broker, vhost).exchanges
    if exchange not in exchanges:
        raise unknown("exchange", exchange, exchanges)
    broker.users.set_topic_permission(user, vhost, exchange, write, read)


def clear_topic_permissions(broker: Broker, user: str, vhost: str, exchange: str | None = None) -> None:
    """Remove the topic permission for an exchange, or all of a user in a virtual host if none is given."""
    _check_given(broker, user, vhost)
    permissions = find_user(broker, user).topic_permissions.get(vhost, {})
    names = [user, vhost] if exchange is None else [user, vhost, exchange]
    has_any = bool(permissions) and exchange in (None, *permissions)
    if not has_any and not broker.has_aside(form.TOPIC_PERMISSION, *names):
        where = f"virtual host '{vhost}'" if exchange is None else f"exchange '{exchange}' of virtual host '{vhost}'"
        raise InvalidError(f"user '{user}' has no topic permissions for {where}")
    broker.users.clear_topic_permission(user, vhost, exchange)


def _check_given(broker: Broker, user: str | None, vhost: str | None) -> None:
    if user is not None:
        find_user(broker, user)
    if vhost is not None:
        find_vhost(broker, vhost)
