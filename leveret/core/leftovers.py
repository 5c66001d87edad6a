"""Leftovers: definitions whose owner no longer exists.

Damage leaves some, and earlier versions left some at deletions. They would apply to the next user, virtual host,
exchange or queue of that name, so the broker deletes them at start.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from leveret.core.definition import form
from leveret.core.definition.aside import Identity, owners, read_names
from leveret.core.vhost import PREDECLARED

if TYPE_CHECKING:
    from leveret.core.broker import Broker

Kept = list[tuple[str, str, bytes]]  # kind, key and value, as the DefinitionLog has them

_IN_VHOST: Final = (form.EXCHANGE, form.QUEUE)


def forget_leftovers(broker: Broker, kept: Kept, damaged: list[tuple[str, str]]) -> Kept:
    """Delete leftovers from the log, and add this to the broker's explanations. Returns: the other definitions.

    damaged: kind and key of unreadable definitions; those that belong to them stay.
    """
    there = _what_is_there([(kind, key) for kind, key, _ in kept] + damaged)
    found: dict[str, list[str]] = {}
    left: Kept = []
    for kind, key, value in kept:
        if all(owner in there for owner in _owners(kind, key)):
            left.append((kind, key, value))
        else:
            broker.unkeep(kind, key)
            found.setdefault(kind, []).append(key)
    for kind, keys in found.items():
        more = f" and {len(keys) - 1} more" if len(keys) > 1 else ""
        broker.explanations.append(
            f"the definition of {kind} {keys[0]}{more} is deleted: its owner does not exist any more"
        )
    return left


def _what_is_there(kept: list[tuple[str, str]]) -> dict[Identity, None]:
    """The users, virtual hosts, exchanges and queues that exist.

    A virtual host whose own definition is lost exists if it has content, or if a user has permissions in it.
    """
    there: dict[Identity, None] = {}
    if all(kind != form.DEFAULTS for kind, _ in kept):
        there[form.VHOST, "/"] = None  # the start creates it
    for kind, key in kept:
        names = _names(kind, key)
        if names is None:
            continue
        if kind == form.USER:
            there[kind, names[0]] = None
        elif kind in (form.VHOST, form.LEAVING):
            there[form.VHOST, names[0]] = None
        elif kind in _IN_VHOST:
            there[form.VHOST, names[0]] = None
            there[kind, names[0], names[1]] = None
        elif kind == form.PERMISSION:
            there[form.VHOST, names[1]] = None
    for _, vhost in [owner for owner in there if owner[0] == form.VHOST]:
        for exchange, _, _ in PREDECLARED:
            there[form.EXCHANGE, vhost, exchange] = None
    return there


def _owners(kind: str, key: str) -> list[Identity]:
    """The owners of a definition; none if its key cannot be read."""
    names = _names(kind, key)
    return [] if names is None else owners(kind, names)


def _names(kind: str, key: str) -> list[str] | None:
    try:
        return read_names(kind, key)
    except ValueError:
        return None
