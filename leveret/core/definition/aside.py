"""Aside: definitions in the log that this broker cannot use, because of damage or because of another version.

The broker sets them aside at start, reports them, and runs without them; the log keeps them. Declaring the same again
replaces the value in the log; deleting it deletes that value. A definition whose owner is missing waits here, and
takes effect as soon as the owner exists.
"""

from __future__ import annotations

import contextlib
from typing import Final

from leveret.core.definition import form
from leveret.wire.fields import DecodeError

Identity = tuple[str, ...]  # kind and names of a definition

SHOWN: Final = 200  # characters of an unreadable key

_AGAIN: Final = "declare it again, or delete it"
_PERMISSION: Final = "set it again, or clear it"
_ADVICE: Final = {
    form.CLOCK: "deadlines follow the system clock",
    form.VHOST: "add it again, or delete it",
    form.VHOST_LIMIT: "set them again, or clear them",
    form.USER: "add it again, or delete it",
    form.PERMISSION: _PERMISSION,
    form.TOPIC_PERMISSION: _PERMISSION,
    form.USER_LIMIT: "set them again, or clear them",
    form.EXCHANGE: _AGAIN,
    form.QUEUE: _AGAIN,
    form.BINDING: "bind it again, or unbind it, or delete one of the two",
    form.POLICY: _PERMISSION,
    form.OPERATOR_POLICY: _PERMISSION,
    form.PARAMETER: _PERMISSION,
    form.GLOBAL_PARAMETER: _PERMISSION,
    form.DEDUPLICATION: "duplicates of messages in this part may pass; it is deleted with the exchange",
}


_NAMES: Final = {  # how many names a key has
    form.DEFAULTS: 0,
    form.CLOCK: 0,
    form.VHOST: 1,
    form.LEAVING: 1,
    form.VHOST_LIMIT: 1,
    form.USER: 1,
    form.USER_LIMIT: 1,
    form.PERMISSION: 2,
    form.TOPIC_PERMISSION: 3,
    form.EXCHANGE: 2,
    form.QUEUE: 2,
    form.BINDING: 6,
    form.POLICY: 2,
    form.OPERATOR_POLICY: 2,
    form.PARAMETER: 3,
    form.GLOBAL_PARAMETER: 1,
    form.DEDUPLICATION: 3,
}


def read_names(kind: str, key: str) -> list[str]:
    """The names in the key of a definition. Raises: ValueError for an invalid key."""
    if kind not in _NAMES:
        raise ValueError("this version does not know what it is")
    names = form.names(key)
    if len(names) != _NAMES[kind]:
        raise ValueError(f"its key has {len(names)} names")
    return names


def owners(kind: str, names: list[str]) -> list[Identity]:
    """The owners of a definition: it is deleted with any of them."""
    if kind == form.USER_LIMIT:
        return [(form.USER, names[0])]
    if kind in (form.PERMISSION, form.TOPIC_PERMISSION):
        return [(form.VHOST, names[1]), (form.USER, names[0])]
    if kind == form.DEDUPLICATION:
        return [(form.VHOST, names[0]), (form.EXCHANGE, names[0], names[1])]
    if kind == form.BINDING:
        vhost, source, target_kind, target = names[0], names[1], names[2], names[3]
        destination = form.QUEUE if target_kind == "queue" else form.EXCHANGE
        return [(form.VHOST, vhost), (form.EXCHANGE, vhost, source), (destination, vhost, target)]
    if kind == form.VHOST_LIMIT or kind == form.PARAMETER or kind in form.VHOST_KINDS:
        return [(form.VHOST, names[0])]
    return []


def described(kind: str, names: list[str]) -> str:
    """A definition as log text."""
    if kind in (form.VHOST, form.VHOST_LIMIT):
        return f"{'the limits of ' if kind == form.VHOST_LIMIT else ''}virtual host '{names[0]}'"
    if kind in (form.USER, form.USER_LIMIT):
        return f"{'the limits of ' if kind == form.USER_LIMIT else ''}user '{names[0]}'"
    if kind == form.PERMISSION:
        return f"the permission of user '{names[0]}' in virtual host '{names[1]}'"
    if kind == form.TOPIC_PERMISSION:
        return f"the topic permission of user '{names[0]}' for exchange '{names[2]}' in virtual host '{names[1]}'"
    if kind == form.BINDING:
        return f"the binding of {names[2]} '{names[3]}' to exchange '{names[1]}' in virtual host '{names[0]}'"
    if kind == form.DEDUPLICATION:
        return f"a part of the deduplication window of exchange '{names[1]}' in virtual host '{names[0]}'"
    if kind == form.PARAMETER:
        return f"parameter '{names[2]}' of {names[1]} in virtual host '{names[0]}'"
    if kind == form.GLOBAL_PARAMETER:
        return f"global parameter '{names[0]}'"
    if kind in form.VHOST_KINDS:
        return f"{kind.replace('-', ' ')} '{names[1]}' in virtual host '{names[0]}'"
    return "the time of the last run" if kind == form.CLOCK else f"a definition of kind {kind}"


class Entry:
    """One definition that is set aside. names: those in its key, if has_names. needs: the owner it waits for."""

    __slots__ = ("has_names", "key", "kind", "names", "needs", "value", "why")

    def __init__(self, kind: str, key: str, value: bytes) -> None:
        self.kind = kind
        self.key = key
        self.value = value
        self.names: list[str] = []
        self.has_names = False
        self.needs: Identity | None = None
        self.why = ""

    def read(self) -> None:
        """Decode the key into names. Raises: ValueError."""
        self.names = read_names(self.kind, self.key)
        self.has_names = True
        if self.kind == form.BINDING:
            with contextlib.suppress(ValueError, DecodeError, RecursionError):
                self.names = form.binding_names(self.names)

    @property
    def text(self) -> str:
        """The problem and the remedy, as log text."""
        what, advice = f"the definition of {self.kind} {self.key[:SHOWN]}", ""
        if self.has_names:
            what, advice = described(self.kind, self.names), _ADVICE.get(self.kind, "")
        return f"{what} cannot be used and is set aside: {self.why}{'; ' if advice else ''}{advice}"

    def is_about(self, wanted: Identity) -> bool:
        """Whether it is this definition, or belongs to it. wanted: omit the last names to match any."""
        if not self.has_names:
            return False
        own = (self.kind, *self.names)
        return own[: len(wanted)] == wanted or wanted in owners(self.kind, self.names)


class Aside:
    """All definitions that are set aside, in the order of the log."""

    __slots__ = ("_entries",)

    def __init__(self) -> None:
        self._entries: dict[tuple[str, str], Entry] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def entries(self) -> list[Entry]:
        """All of them."""
        return list(self._entries.values())

    def about(self, wanted: Identity) -> list[Entry]:
        """A definition and all that belong to it."""
        return [entry for entry in self._entries.values() if entry.is_about(wanted)]

    def waiting_for(self, needed: Identity) -> list[Entry]:
        """The definitions that wait for an owner."""
        return [entry for entry in self._entries.values() if entry.needs == needed]

    def add(self, entry: Entry) -> None:
        """Set a definition aside."""
        self._entries[entry.kind, entry.key] = entry

    def remove(self, kind: str, key: str) -> None:
        """Remove a definition, if it is set aside."""
        self._entries.pop((kind, key), None)
