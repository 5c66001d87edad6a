"""Durable declarations as they rest in the DefinitionLog: keys as JSON lists of names, values as field tables.

Whoever changes something makes its value first: what cannot be written is refused before anything has changed.
"""

from __future__ import annotations

import json
from typing import Final

from leveret.core.access.user import Credential, Permission, TopicPermission
from leveret.core.errors.bounds import IDS, LIMIT, MILLISECONDS
from leveret.core.errors.hints import Origin
from leveret.core.exchange.exchange import Binding, Exchange
from leveret.core.policy.policy import APPLY_TO, Policy
from leveret.core.queue.queue import Queue
from leveret.core.turn.clock import Clock
from leveret.wire.fields import (
    Field,
    Table,
    array,
    boolean,
    decode_table,
    in_order,
    long,
    longstr,
    table,
    table_bytes,
)

DEFAULTS: Final = "defaults"  # its one entry says that the user and the virtual host of a new broker were made
CLOCK: Final = "clock"  # its one entry says how the time of deadlines stands to the time of day
VHOST: Final = "vhost"
LEAVING: Final = "leaving"  # a virtual host that is deleted and still has something in it
VHOST_LIMIT: Final = "vhost-limit"
USER: Final = "user"
PERMISSION: Final = "permission"
TOPIC_PERMISSION: Final = "topic-permission"
USER_LIMIT: Final = "user-limit"
EXCHANGE: Final = "exchange"
QUEUE: Final = "queue"
BINDING: Final = "binding"
POLICY: Final = "policy"
OPERATOR_POLICY: Final = "operator-policy"
STORED_DEPTH: Final = 1024  # levels of a value: more than any version has taken, with those around it here
VHOST_KINDS: Final = (POLICY, OPERATOR_POLICY, EXCHANGE, QUEUE, BINDING)  # in the order in which they come back


def key(*names: str) -> str:
    """What something with these names rests under."""
    return json.dumps(list(names))


def clock_value(clock: Clock) -> bytes:
    """What the next run has to know of the time."""
    return table_bytes({"drift_ms": long(clock.drift_ms), "wall_ms": long(clock.wall_ms)})


def vhost_value(description: str, tags: tuple[str, ...], default_queue_type: str, protected: bool) -> bytes:
    """What is said about a virtual host."""
    return table_bytes(
        {
            "description": longstr(description),
            "tags": _array(tags),
            "default_queue_type": longstr(default_queue_type),
            "protected": boolean(protected),
        }
    )


def user_value(credential: Credential, tags: tuple[str, ...]) -> bytes:
    """A user, without its permissions and limits."""
    return table_bytes(
        {
            "algorithm": longstr(credential.algorithm),
            "hash": longstr(credential.hash),
            "tags": _array(tags),
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
    """All that is needed to declare it again, and its name in the message log if it has one."""
    value = {
        "type": longstr(exchange.kind),
        "auto_delete": boolean(exchange.auto_delete),
        "internal": boolean(exchange.internal),
        "arguments": table(exchange.arguments),
        "origin": _origin(exchange.origin),
    }
    if exchange.log_id:
        value["id"] = long(exchange.log_id)
    return table_bytes(value)


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
            "origin": _origin(queue.origin),
        }
    )


def binding_key(binding: Binding) -> str:
    """What a binding rests under: it has no other content than its identity."""
    names = [binding.source.vhost.name, binding.source.name, binding.kind, binding.destination, binding.key]
    return json.dumps([*names, binding.encoded.hex()])


def binding_names(names: list[str]) -> list[str]:
    """The names in the key of a binding, as binding_key() has them; earlier versions left arguments in any order.

    Raises: ValueError, DecodeError when they cannot be read.
    """
    return [*names[:-1], table_bytes(in_order(read_table(bytes.fromhex(names[-1])))).hex()]


def policy_key(vhost: str, name: str) -> str:
    """What a policy or an operator policy rests under."""
    return json.dumps([vhost, name])


def policy_value(policy: Policy) -> bytes:
    """All that a policy says, as the JSON that RabbitMQ's management API has for it."""
    body = {
        "pattern": policy.pattern,
        "definition": policy.definition,
        "priority": policy.priority,
        "apply-to": policy.apply_to,
    }
    return table_bytes({"body": longstr(json.dumps(body))})


def read_policy(name: str, value: Table) -> Policy:
    """A policy as it was written."""
    body = json.loads(value["body"].text)
    pattern, definition = body["pattern"], body["definition"]
    priority, apply_to = body["priority"], body["apply-to"]
    if not (isinstance(pattern, str) and isinstance(definition, dict)):
        raise ValueError("no pattern, or no definition")
    if not (isinstance(priority, int) and isinstance(apply_to, str) and apply_to in APPLY_TO):
        raise ValueError("no priority, or nothing that it applies to")
    return Policy(name, pattern, definition, priority, apply_to)


def _origin(origin: Origin) -> Field:
    return table(
        {"connection": longstr(origin.connection), "user": longstr(origin.user), "wall_ms": long(origin.wall_ms)}
    )


def read_origin(value: Table) -> Origin:
    """Who declared what this is the value of; written by a version that did not say, nobody."""
    field = value.get("origin")
    if field is None or not isinstance(field.value, dict):
        return Origin("", "", 0)
    said: Table = field.value
    return Origin(said["connection"].text, said["user"].text, MILLISECONDS.nearest(said["wall_ms"].integer))


def read_id(field: Field) -> int:
    """The name of a queue in the message log."""
    number = field.integer
    if IDS.nearest(number) != number:
        raise ValueError(f"{number} is no id of a queue")
    return number


def names(key: str) -> list[str]:
    """The names in a key. Raises: ValueError when it is none."""
    try:
        found = json.loads(key)
    except RecursionError:
        found = None
    if not isinstance(found, list):
        raise ValueError("its key is no list of names")
    for name in found:
        if not isinstance(name, str):
            raise ValueError("its key is no list of names")
    return found


def read_table(value: bytes) -> Table:
    """A value as it was written, by any version."""
    return decode_table(value, 0, len(value), STORED_DEPTH)


def texts(field: Field) -> tuple[str, ...]:
    """The texts in an array."""
    items = field.value
    assert isinstance(items, list)
    return tuple([item.text for item in items])


def limits(value: Table) -> dict[str, int]:
    """The limits in a table."""
    return {name: LIMIT.nearest(field.integer) for name, field in value.items()}


def _array(items: tuple[str, ...]) -> Field:
    return array([longstr(item) for item in items])
