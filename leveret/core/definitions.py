"""Durable declarations as they rest in the DefinitionLog: keys as JSON lists of names, values as field tables."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from leveret.core.access import Permission, TopicPermission, User
from leveret.core.exchange import Binding, Exchange
from leveret.core.queue import Queue
from leveret.wire.fields import Field, Table, array, boolean, decode_table, long, longstr, table, table_bytes

if TYPE_CHECKING:
    from leveret.core.vhost import VirtualHost

DEFAULTS: Final = "defaults"  # its one entry says that the user and the virtual host of a new broker were made
VHOST: Final = "vhost"
VHOST_LIMIT: Final = "vhost-limit"
USER: Final = "user"
PERMISSION: Final = "permission"
TOPIC_PERMISSION: Final = "topic-permission"
USER_LIMIT: Final = "user-limit"
EXCHANGE: Final = "exchange"
QUEUE: Final = "queue"
BINDING: Final = "binding"


def key(*names: str) -> str:
    """What something with these names rests under."""
    return json.dumps(list(names))


def vhost_value(vhost: VirtualHost) -> bytes:
    """What is said about a virtual host."""
    return table_bytes(
        {
            "description": longstr(vhost.description),
            "tags": _array(vhost.tags),
            "default_queue_type": longstr(vhost.default_queue_type),
            "protected": boolean(vhost.protected),
        }
    )


def user_value(user: User) -> bytes:
    """A user, without its permissions and limits."""
    return table_bytes(
        {
            "algorithm": longstr(user.credential.algorithm),
            "hash": longstr(user.credential.hash),
            "tags": _array(user.tags),
        }
    )


def permission_value(permission: Permission) -> bytes:
    """The patterns of a permission."""
    return table_bytes(
        {
            "configure": longstr(permission.configure),
            "write": longstr(permission.write),
            "read": longstr(permission.read),
        }
    )


def topic_permission_value(permission: TopicPermission) -> bytes:
    """The patterns of a topic permission."""
    return table_bytes({"write": longstr(permission.write), "read": longstr(permission.read)})


def limits_value(limits: dict[str, int]) -> bytes:
    """All limits of a user or a virtual host."""
    return table_bytes({name: long(value) for name, value in limits.items()})


def exchange_key(exchange: Exchange) -> str:
    """What an exchange rests under."""
    return json.dumps([exchange.vhost.name, exchange.name])


def exchange_value(exchange: Exchange) -> bytes:
    """All that is needed to declare it again."""
    return table_bytes(
        {
            "type": longstr(exchange.kind),
            "auto_delete": boolean(exchange.auto_delete),
            "internal": boolean(exchange.internal),
            "arguments": table(exchange.arguments),
        }
    )


def queue_key(queue: Queue) -> str:
    """What a queue rests under."""
    return json.dumps([queue.vhost.name, queue.name])


def queue_value(queue: Queue) -> bytes:
    """All that is needed to declare it again, and its name in the message log."""
    return table_bytes(
        {
            "id": long(queue.queue_id),
            "auto_delete": boolean(queue.auto_delete),
            "arguments": table(queue.arguments),
        }
    )


def binding_key(binding: Binding) -> str:
    """What a binding rests under: it has no other content than its identity."""
    names = [binding.source.vhost.name, binding.source.name, binding.kind, binding.destination, binding.key]
    return json.dumps([*names, table_bytes(binding.arguments).hex()])


def names(key: str) -> list[str]:
    """The names in a key."""
    return [str(name) for name in json.loads(key)]


def read_table(value: bytes) -> Table:
    """A value as it was written."""
    return decode_table(value, 0, len(value))


def texts(field: Field) -> tuple[str, ...]:
    """The texts in an array."""
    items = field.value
    assert isinstance(items, list)
    return tuple([item.text for item in items])


def integers(value: Table) -> dict[str, int]:
    """The numbers in a table."""
    return {name: field.integer for name, field in value.items()}


def _array(items: tuple[str, ...]) -> Field:
    return array([longstr(item) for item in items])
