"""Durable declarations as they rest in the DefinitionLog: keys as JSON lists of names, values as field tables."""

from __future__ import annotations

import json
from typing import Final

from leveret.core.exchange import Binding, Exchange
from leveret.core.queue import Queue
from leveret.wire.fields import Table, boolean, decode_table, long, longstr, table, table_bytes

EXCHANGE: Final = "exchange"
QUEUE: Final = "queue"
BINDING: Final = "binding"


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
