"""Leftovers: definitions that belong to something which is not there any more.

Damage makes some, and so did versions that forgot less. They would come back with the next user, virtual host, exchange
or queue of that name, so a start forgets them for good.
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
    """What was kept, without leftovers: the log forgets them, and the broker's explanations tell.

    damaged: kind and key of what the log has and cannot be read; what belongs to it waits for it.
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
            f"the definition of {kind} {keys[0]}{more} is forgotten: what it belongs to is not there any more"
        )
    return left


def _what_is_there(kept: list[tuple[str, str]]) -> dict[Identity, None]:
    """Users, virtual hosts, exchanges and queues.

    A virtual host whose own definition is lost is there if it holds something, or if somebody may enter it.
    """
    there: dict[Identity, None] = {}
    if all(kind != form.DEFAULTS for kind, _ in kept):
        there[form.VHOST, "/"] = None  # a start makes it
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
    """What a definition belongs to; of a key that cannot be read nobody knows."""
    names = _names(kind, key)
    return [] if names is None else owners(kind, names)


def _names(kind: str, key: str) -> list[str] | None:
    try:
        return read_names(kind, key)
    except ValueError:
        return None
