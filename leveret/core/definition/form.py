"""The stored format of definitions: kinds, keys as JSON lists of names, and values as field tables."""

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

DEFAULTS: Final = "defaults"  # its only entry marks that the user and virtual host of a new broker were created
CLOCK: Final = "clock"  # its only entry relates the time of deadlines to the time of day
VHOST: Final = "vhost"
LEAVING: Final = "leaving"  # a deleted virtual host that is not empty yet
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
STORED_DEPTH: Final = 1024  # levels of a value: more than any version has accepted
PARAMETER: Final = "parameter"
GLOBAL_PARAMETER: Final = "global_parameter"
DEDUPLICATION: Final = "deduplication"  # the window of an exchange, in batches
VHOST_KINDS: Final = (POLICY, OPERATOR_POLICY, EXCHANGE, QUEUE, BINDING)  # in the order of recovery


def key(*names: str) -> str:
    """The key for these names."""
    return json.dumps(list(names))


def clock_value(clock: Clock) -> bytes:
    """The time for the next run."""
    return table_bytes({"drift_ms": long(clock.drift_ms), "wall_ms": long(clock.wall_ms)})


def vhost_value(description: str, tags: tuple[str, ...], default_queue_type: str, protected: bool) -> bytes:
    """The properties of a virtual host."""
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
    """The names in the key of a binding, as binding_key() writes them; earlier versions did not sort the arguments.

    Raises: ValueError, DecodeError when they cannot be read.
    """
    return [*names[:-1], table_bytes(in_order(read_table(bytes.fromhex(names[-1])))).hex()]


def read_id(field: Field) -> int:
    """The id of a queue in the message log. Raises: ValueError."""
    number = field.integer
    if IDS.nearest(number) != number:
        raise ValueError(f"{number} is not a queue id")
    return number


def names(key: str) -> list[str]:
    """The names in a key. Raises: ValueError for an invalid key."""
    try:
        found = json.loads(key)
    except RecursionError:
        found = None
    if not isinstance(found, list):
        raise ValueError("its key is not a list of names")
    for name in found:
        if not isinstance(name, str):
            raise ValueError("its key is not a list of names")
    return found


def read_table(value: bytes) -> Table:
    """Decode a value written by any version."""
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
