"""Verbs on limits of virtual hosts and users. A negative number means no limit; 0 allows nothing."""

from __future__ import annotations

from leveret.core.broker import Broker
from leveret.core.definition import form
from leveret.core.errors.administration import InvalidError
from leveret.management.users import find_user
from leveret.management.vhosts import find_vhost


def list_vhost_limits(broker: Broker, vhost: str | None = None) -> list[dict[str, object]]:
    """The limits of virtual hosts that have any."""
    if vhost is not None:
        find_vhost(broker, vhost)
    found = sorted(broker.vhosts.values(), key=lambda each: each.name)
    return [
        {"vhost": each.name, "value": dict(each.limits)} for each in found if _wanted(each.name, vhost, each.limits)
    ]


def set_vhost_limits(broker: Broker, vhost: str, limits: dict[str, int]) -> None:
    """Set limits of a virtual host. Others stay unchanged."""
    find_vhost(broker, vhost)
    broker.set_vhost_limits(vhost, limits)


def clear_vhost_limits(broker: Broker, vhost: str, limit: str | None = None) -> None:
    """Remove one or all limits of a virtual host."""
    limits = find_vhost(broker, vhost).limits
    if not broker.has_aside(form.VHOST_LIMIT, vhost):
        _check_set(f"virtual host '{vhost}'", limits, limit)
    broker.clear_vhost_limits(vhost, limit)


def list_user_limits(broker: Broker, user: str | None = None) -> list[dict[str, object]]:
    """The limits of users that have any."""
    if user is not None:
        find_user(broker, user)
    found = sorted(broker.users, key=lambda each: each.name)
    return [{"user": each.name, "value": dict(each.limits)} for each in found if _wanted(each.name, user, each.limits)]


def set_user_limits(broker: Broker, user: str, limits: dict[str, int]) -> None:
    """Set limits of a user. Others stay unchanged."""
    find_user(broker, user)
    broker.users.set_limits(user, limits)


def clear_user_limits(broker: Broker, user: str, limit: str | None = None) -> None:
    """Remove one or all limits of a user."""
    limits = find_user(broker, user).limits
    if not broker.has_aside(form.USER_LIMIT, user):
        _check_set(f"user '{user}'", limits, limit)
    broker.users.clear_limits(user, limit)


def _wanted(name: str, asked: str | None, limits: dict[str, int]) -> bool:
    return bool(limits) and asked in (None, name)


def _check_set(owner: str, limits: dict[str, int], limit: str | None) -> None:
    if not limits or limit not in (None, *limits):
        raise InvalidError(f"{owner} has no limit{'' if limit is None else f' {limit}'}")
