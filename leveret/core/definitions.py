"""Keys and values of durable declarations in the DefinitionLog, in the format of core/definition/form.py.

Callers encode the value before they change anything, so a value that cannot be encoded is refused without effect.
"""

from __future__ import annotations

import json

from leveret.core.errors.bounds import MILLISECONDS
from leveret.core.errors.diagnostics import Origin
from leveret.core.exchange.exchange import Binding, Exchange
from leveret.core.policy.arguments import Definition
from leveret.core.policy.policy import APPLY_TO, Policy
from leveret.core.queue.queue import Queue
from leveret.wire.fields import (
    Field,
    Table,
    boolean,
    long,
    longstr,
    table,
    table_bytes,
)


def exchange_key(exchange: Exchange) -> str:
    """The key of an exchange."""
    return json.dumps([exchange.vhost.name, exchange.name])


def exchange_value(exchange: Exchange) -> bytes:
    """All that is needed to restore an exchange, with its id in the message log if it has one."""
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
    """The key of a queue."""
    return json.dumps([queue.vhost.name, queue.name])


def queue_value(queue: Queue, overrides: Definition | None = None) -> bytes:
    """All that is needed to restore a queue, with its id in the message log. overrides: the operator's."""
    value = {
        "id": long(queue.queue_id),
        "auto_delete": boolean(queue.auto_delete),
        "arguments": table(queue.arguments),
        "origin": _origin(queue.origin),
    }
    if overrides:
        value["overrides"] = longstr(json.dumps(overrides))
    return table_bytes(value)


def read_overrides(value: Table) -> Definition:
    """The operator's overrides for a queue. Raises: ValueError."""
    field = value.get("overrides")
    found = {} if field is None else json.loads(field.text)
    if not isinstance(found, dict):
        raise ValueError("the overrides are not an object")
    return {str(key): said for key, said in found.items()}


def binding_key(binding: Binding) -> str:
    """The key of a binding. It holds everything: a binding has no value."""
    names = [binding.source.vhost.name, binding.source.name, binding.kind, binding.destination, binding.key]
    return json.dumps([*names, binding.encoded.hex()])


def policy_key(vhost: str, name: str) -> str:
    """The key of a policy or an operator policy."""
    return json.dumps([vhost, name])


def policy_value(policy: Policy) -> bytes:
    """A policy as JSON, with the keys of RabbitMQ's management API."""
    body = {
        "pattern": policy.pattern,
        "definition": policy.definition,
        "priority": policy.priority,
        "apply-to": policy.apply_to,
    }
    return table_bytes({"body": longstr(json.dumps(body))})


def read_policy(name: str, value: Table) -> Policy:
    """Decode a policy. Raises: ValueError, KeyError."""
    body = json.loads(value["body"].text)
    pattern, definition = body["pattern"], body["definition"]
    priority, apply_to = body["priority"], body["apply-to"]
    if not (isinstance(pattern, str) and isinstance(definition, dict)):
        raise ValueError("the pattern or the definition is missing")
    if not (isinstance(priority, int) and isinstance(apply_to, str) and apply_to in APPLY_TO):
        raise ValueError("the priority or apply-to is missing or invalid")
    return Policy(name, pattern, definition, priority, apply_to)


def _origin(origin: Origin) -> Field:
    return table(
        {"connection": longstr(origin.connection), "user": longstr(origin.user), "wall_ms": long(origin.wall_ms)}
    )


def read_origin(value: Table) -> Origin:
    """Who declared the entity with this value; an empty Origin if an earlier version wrote it."""
    field = value.get("origin")
    if field is None or not isinstance(field.value, dict):
        return Origin("", "", 0)
    said: Table = field.value
    return Origin(said["connection"].text, said["user"].text, MILLISECONDS.nearest(said["wall_ms"].integer))
