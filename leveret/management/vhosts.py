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
    """The virtual host. Raises: UnknownError that suggests a name that is close."""
    vhost = broker.vhosts.get(name)
    if vhost is None:
        raise unknown("virtual host", name, broker.vhosts)
    return vhost


def list_vhosts(broker: Broker) -> list[dict[str, object]]:
    """All virtual hosts: name, description, tags, default queue type, limits, how much there is of what they limit."""
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
    """A virtual host that is made when nothing is left of the one before it that had the same name."""

    def __init__(self, broker: Broker, name: str, add: Callable[[], None]) -> None:
        super().__init__()
        self._broker = broker
        self._name = name
        self._add = add

    def is_done(self) -> bool:
        """Whether it can be made."""
        return self._name not in self._broker.leaving

    def result(self) -> object:
        """Make it. Raises: InvalidError when somebody else was faster."""
        self._add()
        return None


def add_vhost(
    broker: Broker, name: str, description: str = "", tags: list[str] | str = "", default_queue_type: str = ""
) -> Promise | None:
    """Make a virtual host. Nobody may enter it until permissions are set."""

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
    """Change what is said about a virtual host; what is not given stays."""
    find_vhost(broker, name)
    put_vhost(broker, name, description, tags, default_queue_type)


def put_vhost(
    broker: Broker, name: str, description: str | None, tags: list[str] | str | None, default_queue_type: str | None
) -> None:
    """Make a virtual host, or change what is said about it."""
    if not name:
        raise InvalidError("a virtual host needs a name")
    check_name(name)
    if default_queue_type and default_queue_type not in QUEUE_TYPES:
        raise InvalidError(f"'{default_queue_type}' is no queue type; there are {', '.join(QUEUE_TYPES)}")
    broker.add_vhost(name, description, None if tags is None else read_tags(tags), default_queue_type)


def trace_vhost(broker: Broker, name: str, on: bool = True) -> None:
    """Copy every message that is published or delivered to amq.rabbitmq.trace, until switched off or restarted."""
    found = find_vhost(broker, name)
    found.trace(on)


def protect_vhost(broker: Broker, name: str, on: bool = True) -> None:
    """Let nobody delete a virtual host, until that is switched off."""
    find_vhost(broker, name)
    broker.protect_vhost(name, on)


class Deletion(Promise):
    """A virtual host on its way out: it is gone at once, but what was in it goes in pieces."""

    def __init__(self, clearing: Clearing) -> None:
        super().__init__()
        self._clearing = clearing

    def is_done(self) -> bool:
        """Whether nothing is left of it."""
        return self._clearing.is_done

    def result(self) -> object:
        """Nothing to say."""
        return None


def delete_vhost(broker: Broker, name: str) -> Promise:
    """Delete a virtual host with everything in it; its connections are closed."""
    if not broker.has_aside(form.VHOST, name):
        find_vhost(broker, name)
    return Deletion(broker.delete_vhost(name))


def read_tags(tags: list[str] | str) -> tuple[str, ...]:
    """Tags as a list or, as old RabbitMQ wrote them, as text with commas; each once."""
    items = tags.split(",") if isinstance(tags, str) else tags
    return tuple(dict.fromkeys(item.strip() for item in items if item.strip()))
