"""DefinitionLog: the store of declarations, and its users."""

from __future__ import annotations

from abc import abstractmethod

from mypy_extensions import trait


@trait
class DefinitionLog:
    """The store of durable definitions: a map from (kind, key) to bytes, written in order with the messages."""

    @abstractmethod
    def put(self, kind: str, key: str, value: bytes, is_new: bool = False) -> int:
        """Set a value. Returns: the revision that on_definitions_durable() will report.

        is_new: whether this creates it. If another node has created it first, nothing changes, and
        LogListener.on_conflict() follows.
        """

    @abstractmethod
    def delete(self, kind: str, key: str) -> int:
        """Delete a value, if it exists. Returns: as put()."""

    def gather(self, gathers: bool) -> None:
        """Start (True) or end (False) a group of changes. They are written as one change when all groups have ended.

        Messages behind the first change wait with it: their queue may be part of it.
        """

    @abstractmethod
    def load(self) -> list[tuple[str, str, bytes]]:
        """All (kind, key, value), oldest first. Called once, at start-up."""

    def damaged(self) -> list[tuple[str, str, str]]:
        """(kind, key, what is wrong) of values that load() omitted because they are damaged."""
        return []


@trait
class DefinitionKeeper:
    """An object that stores definitions in the DefinitionLog."""

    @abstractmethod
    def remember(self, kind: str, key: str, value: bytes, is_new: bool = False) -> None:
        """Store a definition; replies of this call wait until it is durable. is_new: as in DefinitionLog.put()."""

    @abstractmethod
    def forget(self, kind: str, key: str) -> None:
        """Delete a definition; replies of this call wait until that is durable."""

    @abstractmethod
    def drop_aside(self, kind: str, *names: str) -> bool:
        """Delete a definition that is set aside, and those that belong to it. Returns: whether there were any.

        names: omit the last ones to match any.
        """


class Journal:
    """State of an exchange, written to the DefinitionLog from time to time."""

    @abstractmethod
    def save(self) -> None:
        """Write the changes since the last call."""

    @abstractmethod
    def on_durable(self, revision: int) -> None:
        """The DefinitionLog is durable up to this revision."""

    @abstractmethod
    def lose(self) -> None:
        """The log has failed: discard state that is not durable."""

    @abstractmethod
    def fail(self, doing: str, error: Exception) -> None:
        """Report that one of the calls above failed."""
