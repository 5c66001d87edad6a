"""Overrides: an operator's settings for one queue, which take precedence over its arguments and policies.

They apply at once. Clients can still declare the queue with its original arguments. Overrides are stored with the
queue, under policy keys, and are deleted with it. The value None cancels the argument and the policies. An operator
policy limits overrides as it limits a policy.
"""

from __future__ import annotations

from leveret.core.errors.administration import InvalidError
from leveret.core.policy.arguments import BY_KEY, BY_NAME, LIVE_NAMES, Argument, Definition, winner
from leveret.core.policy.checks import MAX_NAME, brief
from leveret.core.policy.policy import Policy


def checked(changes: Definition, kind: str) -> Definition:
    """Check changes of arguments, and convert them to policy keys. changes: JSON values by argument name.

    kind: type of the queue. Raises: InvalidError for the first invalid one.
    """
    found: Definition = {}
    for name, value in changes.items():
        row = changeable(name, kind)
        if value is not None and (not row.test(value) or _is_long(value)):
            wants = f"; it takes {row.wants}" if row.wants else ""
            raise InvalidError(f"{name} cannot be {brief(value)}{wants}")
        found[row.key] = value
    return found


def changeable(name: str, kind: str) -> Argument:
    """The row of an argument that can change on an existing queue. kind: its type. Raises: InvalidError."""
    row = BY_NAME.get(name)
    if row is None:
        raise InvalidError(f"'{name[:60]}' is unknown; the arguments are {', '.join(LIVE_NAMES)}")
    if kind not in row.types:
        raise InvalidError(f"queues of type {kind} do not support {name}")
    if name not in LIVE_NAMES:
        text = f"{name} cannot change on an existing queue: delete the queue and declare it again"
        raise InvalidError(f"{text}, or change one of {', '.join(LIVE_NAMES)}")
    return row


def limited(overrides: Definition, operator_policy: Policy | None) -> Definition:
    """Overrides, limited by an operator policy."""
    if not overrides or operator_policy is None:
        return overrides
    found = dict(overrides)
    for key, value in operator_policy.definition.items():
        if key in found and key in BY_KEY:
            own = found[key]
            found[key] = value if own is None else winner(BY_KEY[key].against_operator, own, value)
    return found


def as_arguments(overrides: Definition) -> Definition:
    """Overrides by argument name."""
    return {BY_KEY[key].name: value for key, value in overrides.items() if key in BY_KEY}


def _is_long(value: object) -> bool:
    """Whether it is a text longer than any header name, exchange name or routing key."""
    return isinstance(value, str) and len(value.encode("utf-8", "surrogateescape")) > MAX_NAME
