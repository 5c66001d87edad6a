"""Durable declarations as they rest in the DefinitionLog, in the form of core/definition/form.py.

Whoever changes something makes its value first: what cannot be written is refused before anything has changed.
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


def queue_value(queue: Queue, overrides: Definition | None = None) -> bytes:
    """All that is needed to declare it again, and its name in the message log. overrides: those that it is to have."""
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
    """What an operator has said of a queue. Raises: ValueError."""
    field = value.get("overrides")
    found = {} if field is None else json.loads(field.text)
    if not isinstance(found, dict):
        raise ValueError("overrides are no object")
    return {str(key): said for key, said in found.items()}


def binding_key(binding: Binding) -> str:
    """What a binding rests under: it has no other content than its identity."""
    names = [binding.source.vhost.name, binding.source.name, binding.kind, binding.destination, binding.key]
    return json.dumps([*names, binding.encoded.hex()])


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
