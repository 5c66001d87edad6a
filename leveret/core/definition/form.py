"""The form in which definitions rest: kinds, keys as JSON lists of names, and values as field tables."""

from __future__ import annotations

import json
from typing import Final

from leveret.core.errors.bounds import IDS, LIMIT
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
PARAMETER: Final = "parameter"
GLOBAL_PARAMETER: Final = "global_parameter"
DEDUPLICATION: Final = "deduplication"  # what an exchange has seen, in batches
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
            "tags": array_of(tags),
            "default_queue_type": longstr(default_queue_type),
            "protected": boolean(protected),
        }
    )


def limits_value(limits: dict[str, int]) -> bytes:
    """All limits of a user or a virtual host."""
    return table_bytes({name: long(value) for name, value in limits.items()})


def binding_names(names: list[str]) -> list[str]:
    """The names in the key of a binding, as binding_key() has them; earlier versions left arguments in any order.

    Raises: ValueError, DecodeError when they cannot be read.
    """
    return [*names[:-1], table_bytes(in_order(read_table(bytes.fromhex(names[-1])))).hex()]


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


def array_of(items: tuple[str, ...]) -> Field:
    """Texts as an array."""
    return array([longstr(item) for item in items])
