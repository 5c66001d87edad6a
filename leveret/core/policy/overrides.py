"""Overrides: what an operator has said of one queue, which counts before its arguments and the policies.

They are changes of arguments that a queue follows at once, so that whoever declares it with its original arguments
finds it unchanged. They are kept with the queue, by the keys of policies, and go with it. None as a value takes away
what the argument and the policies say. An operator policy limits them as it limits a policy.
"""

from __future__ import annotations

from leveret.core.errors.administration import InvalidError
from leveret.core.policy.arguments import BY_KEY, BY_NAME, LIVE_NAMES, Argument, Definition, winner
from leveret.core.policy.checks import MAX_NAME, brief
from leveret.core.policy.policy import Policy


def checked(changes: Definition, kind: str) -> Definition:
    """Changes of arguments as they are kept. changes: values as JSON has them, by names of arguments.

    kind: type of the queue. Raises: InvalidError for the first one that cannot be.
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
    """The row of an argument that can change while there is a queue. kind: its type. Raises: InvalidError."""
    row = BY_NAME.get(name)
    if row is None:
        raise InvalidError(f"'{name[:60]}' is not known; there are {', '.join(LIVE_NAMES)}")
    if kind not in row.types:
        raise InvalidError(f"queues of type {kind} do not have {name}")
    if name not in LIVE_NAMES:
        text = f"{name} cannot change while there is the queue: delete it and declare it anew"
        raise InvalidError(f"{text}, or change one of {', '.join(LIVE_NAMES)}")
    return row


def limited(overrides: Definition, operator_policy: Policy | None) -> Definition:
    """What counts of overrides where an operator policy applies."""
    if not overrides or operator_policy is None:
        return overrides
    found = dict(overrides)
    for key, value in operator_policy.definition.items():
        if key in found and key in BY_KEY:
            own = found[key]
            found[key] = value if own is None else winner(BY_KEY[key].against_operator, own, value)
    return found


def as_arguments(overrides: Definition) -> Definition:
    """Overrides by the names of arguments."""
    return {BY_KEY[key].name: value for key, value in overrides.items() if key in BY_KEY}


def _is_long(value: object) -> bool:
    """Whether it is a longer text than any name of a header or an exchange, or any routing key."""
    return isinstance(value, str) and len(value.encode("utf-8", "surrogateescape")) > MAX_NAME
