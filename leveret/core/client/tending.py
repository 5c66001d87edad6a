"""Tending: changes by an operator to a queue in use. Clients can still declare the queue as it was.

Changing a queue requires the permission to configure it; looking at its messages or dropping some requires the
permission to read it, as a purge does. core/policy/overrides.py defines the changes.
"""

from __future__ import annotations

from leveret.core.access import user as access
from leveret.core.client.party import Party
from leveret.core.client.receiver import Receiver
from leveret.core.errors.administration import InvalidError
from leveret.core.message.schedule import POSITIONS, place
from leveret.core.policy.arguments import Definition
from leveret.core.policy.overrides import changeable, checked
from leveret.core.queue.queue import Queue

PAUSED = "paused"
LONGEST_MS = 1 << 48  # largest time in the name of a held message


def find(party: Party, name: str, permission: str) -> Queue:
    """The queue, if the user has this permission. Raises: Refusal FORBIDDEN, UNKNOWN, LOCKED."""
    party.user.check(permission, "queue", name, party.vhost.name)
    queue = party.vhost.any_queue(name)
    queue.check_owner(party.number)
    return queue


def change(party: Party, name: str, changes: Definition) -> Queue:
    """Change arguments of a queue; others stay. changes: as checked() takes them.

    Raises: Refusal FORBIDDEN, UNKNOWN, LOCKED; InvalidError.
    """
    queue = find(party, name, access.CONFIGURE)
    found = checked(changes, queue.settings.queue_type)
    exchange = found.get("dead-letter-exchange")
    if isinstance(exchange, str):  # as for a declaration with this argument
        party.user.check(access.READ, "queue", name, party.vhost.name)
        party.user.check(access.WRITE, "exchange", exchange, party.vhost.name)
    party.vhost.override(queue, {**queue.overrides, **found})
    return queue


def restore(party: Party, name: str, arguments: list[str]) -> Queue:
    """Undo changes, so that arguments and policies apply again.

    Raises: Refusal FORBIDDEN, UNKNOWN, LOCKED; InvalidError.
    """
    queue = find(party, name, access.CONFIGURE)
    keys = [changeable(each, queue.settings.queue_type).key for each in arguments]
    party.vhost.override(queue, {key: value for key, value in queue.overrides.items() if key not in keys})
    return queue


def pause(party: Party, name: str) -> Queue:
    """Stop deliveries of a queue; everything else goes on. Raises: Refusal FORBIDDEN, UNKNOWN, LOCKED."""
    queue = find(party, name, access.CONFIGURE)
    party.vhost.override(queue, {**queue.overrides, PAUSED: True})
    return queue


def resume(party: Party, name: str) -> Queue:
    """Resume deliveries of a queue, whatever its arguments and policies.

    Raises: Refusal FORBIDDEN, UNKNOWN, LOCKED; InvalidError when an operator policy pauses it.
    """
    queue = find(party, name, access.CONFIGURE)
    operator_policy = queue.operator_policy
    if operator_policy is not None and operator_policy.definition.get(PAUSED) is True:
        raise InvalidError(f"operator policy '{operator_policy.name}' pauses queue '{name}'")
    party.vhost.override(queue, {key: value for key, value in queue.overrides.items() if key != PAUSED})
    if queue.settings.is_paused:
        party.vhost.override(queue, {**queue.overrides, PAUSED: False})
    return queue


def set_prefetch(party: Party, name: str, limit: int, tag: str | None, channel: str | None) -> int:
    """Set the prefetch of existing consumers of a queue. limit: messages, 0 for no limit.

    tag, channel: select consumers, channel as "CONNECTION (NUMBER)"; None for all. Returns: how many.
    Raises: Refusal FORBIDDEN, UNKNOWN, LOCKED.
    """
    queue = find(party, name, access.CONFIGURE)
    count = 0
    for consumer in list(queue.consumers.all):
        receiver = consumer.subscriber
        if not isinstance(receiver, Receiver) or tag not in (None, consumer.tag):
            continue
        if channel not in (None, f"{receiver.party.name} ({receiver.number})"):
            continue
        queue.set_prefetch(consumer, limit)
        count += 1
    return count


def drop_held(party: Party, name: str, held: str) -> bool:
    """Drop a held message. held: its name, as returned by name_of(). Returns: whether it was there.

    Raises: Refusal FORBIDDEN, UNKNOWN, LOCKED.
    """
    queue = find(party, name, access.READ)
    found = place_of(held)
    return found > 0 and queue.drop_held(found)


def name_of(due_ms: int, position: int) -> str:
    """The name of a held message."""
    return f"{due_ms}-{position}"


def place_of(name: str) -> int:
    """The place of a held message with this name; 0 for an invalid name."""
    due, _, position = name.partition("-")
    if not (name.isascii() and due.isdigit() and position.isdigit() and len(name) <= 40):
        return 0
    if int(due) > LONGEST_MS or not 0 < int(position) <= POSITIONS:
        return 0
    return place(int(due), int(position))
