"""Verbs on virtual hosts."""

from __future__ import annotations

from collections.abc import Callable

from leveret.core.broker import Broker
from leveret.core.clearing import Clearing
from leveret.core.definition import form
from leveret.core.errors.administration import InvalidError, Promise
from leveret.core.policy.checks import QUEUE_TYPES
from leveret.core.vhost import VirtualHost
from leveret.management.errors import check_name, unknown


def find_vhost(broker: Broker, name: str) -> VirtualHost:
    """The virtual host. Raises: UnknownError, which suggests a similar name."""
    vhost = broker.vhosts.get(name)
    if vhost is None:
        raise unknown("virtual host", name, broker.vhosts)
    return vhost


def list_vhosts(broker: Broker) -> list[dict[str, object]]:
    """All virtual hosts: name, description, tags, default queue type, limits, and current counts."""
    return [
        {
            "name": vhost.name,
            "description": vhost.description,
            "tags": list(vhost.tags),
            "default_queue_type": vhost.default_queue_type or "classic",
            "protected_from_deletion": vhost.protected,
            "limits": dict(vhost.limits),
            "tracing": vhost.tracing,
            "connections": vhost.connections,
            "queues": len(vhost.queues),
            "exchanges": len(vhost.exchanges),
            "bindings": vhost.bindings,
            "consumers": vhost.consumers,
        }
        for vhost in sorted(broker.vhosts.values(), key=lambda vhost: vhost.name)
    ]


class Addition(Promise):
    """Adds a virtual host once the previous one with the same name is completely deleted."""

    def __init__(self, broker: Broker, name: str, add: Callable[[], None]) -> None:
        super().__init__()
        self._broker = broker
        self._name = name
        self._add = add

    def is_done(self) -> bool:
        """Whether it can be added."""
        return self._name not in self._broker.leaving

    def result(self) -> object:
        """Add it. Raises: InvalidError, if it has been added meanwhile."""
        self._add()
        return None


def add_vhost(
    broker: Broker, name: str, description: str = "", tags: list[str] | str = "", default_queue_type: str = ""
) -> Promise | None:
    """Add a virtual host. No user has access until you set permissions."""

    def add() -> None:
        if name in broker.vhosts:
            raise InvalidError(f"virtual host '{name}' exists; change it with `leveret vhosts set`")
        put_vhost(broker, name, description, tags, default_queue_type)

    if name in broker.leaving:
        return Addition(broker, name, add)
    add()
    return None


def set_vhost(
    broker: Broker,
    name: str,
    description: str | None = None,
    tags: list[str] | str | None = None,
    default_queue_type: str | None = None,
) -> None:
    """Change the given properties of a virtual host."""
    find_vhost(broker, name)
    put_vhost(broker, name, description, tags, default_queue_type)


def put_vhost(
    broker: Broker, name: str, description: str | None, tags: list[str] | str | None, default_queue_type: str | None
) -> None:
    """Add or change a virtual host."""
    if not name:
        raise InvalidError("a virtual host needs a name")
    check_name(name)
    if default_queue_type and default_queue_type not in QUEUE_TYPES:
        raise InvalidError(f"'{default_queue_type}' is not a queue type; choose from {', '.join(QUEUE_TYPES)}")
    broker.add_vhost(name, description, None if tags is None else read_tags(tags), default_queue_type)


def trace_vhost(broker: Broker, name: str, on: bool = True) -> None:
    """Copy every published or delivered message to amq.rabbitmq.trace, until switched off or restarted."""
    found = find_vhost(broker, name)
    found.trace(on)


def protect_vhost(broker: Broker, name: str, on: bool = True) -> None:
    """Protect a virtual host from deletion, until switched off."""
    find_vhost(broker, name)
    broker.protect_vhost(name, on)


class Deletion(Promise):
    """The deletion of a virtual host: its name is gone at once, its content is deleted in steps."""

    def __init__(self, clearing: Clearing) -> None:
        super().__init__()
        self._clearing = clearing

    def is_done(self) -> bool:
        """Whether everything is deleted."""
        return self._clearing.is_done

    def result(self) -> object:
        """No result."""
        return None


def delete_vhost(broker: Broker, name: str) -> Promise:
    """Delete a virtual host and everything in it, and close its connections."""
    if not broker.has_aside(form.VHOST, name):
        find_vhost(broker, name)
    return Deletion(broker.delete_vhost(name))


def read_tags(tags: list[str] | str) -> tuple[str, ...]:
    """Unique tags from a list or, as in old RabbitMQ, comma-separated text."""
    items = tags.split(",") if isinstance(tags, str) else tags
    return tuple(dict.fromkeys(item.strip() for item in items if item.strip()))
