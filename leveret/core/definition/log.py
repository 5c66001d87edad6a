"""DefinitionLog: where declarations rest, and who lets them rest there."""

from __future__ import annotations

from abc import abstractmethod

from mypy_extensions import trait


@trait
class DefinitionLog:
    """Where durable exchanges, queues, bindings rest: a map from (kind, key) to bytes, in order with the messages."""

    @abstractmethod
    def put(self, kind: str, key: str, value: bytes) -> int:
        """Set a value. Returns: the revision of which on_definitions_durable will tell."""

    @abstractmethod
    def delete(self, kind: str, key: str) -> int:
        """Delete a value; one that is not there is fine. Returns: as put()."""

    def gather(self, gathers: bool) -> None:
        """Keep back what changes from now on, and write it as one change when all who asked for that are through.

        Messages that come behind the first change wait with it: they may be for a queue that is in it.
        """

    @abstractmethod
    def load(self) -> list[tuple[str, str, bytes]]:
        """All (kind, key, value), oldest first. Called once, at start-up."""

    def damaged(self) -> list[tuple[str, str, str]]:
        """(kind, key, what is wrong) of values that load() has left out, because they are not what was put."""
        return []


@trait
class DefinitionKeeper:
    """Who lets definitions rest in the DefinitionLog."""

    @abstractmethod
    def remember(self, kind: str, key: str, value: bytes) -> None:
        """Make a declaration durable; replies of this call wait until it is."""

    @abstractmethod
    def forget(self, kind: str, key: str) -> None:
        """Make the end of a declaration durable."""

    @abstractmethod
    def drop_aside(self, kind: str, *names: str) -> bool:
        """Forget for good what is set aside: a definition, or what belongs to it. Returns: whether there was anything.

        names: the last ones left out for any.
        """


class Journal:
    """What an exchange remembers, and writes to the DefinitionLog now and then."""

    @abstractmethod
    def save(self) -> None:
        """Write what has come since the last time."""

    @abstractmethod
    def on_durable(self, revision: int) -> None:
        """The DefinitionLog is durable up to this revision."""

    @abstractmethod
    def lose(self) -> None:
        """The log has failed: forget what is not safe."""

    @abstractmethod
    def fail(self, doing: str, error: Exception) -> None:
        """One of the calls above has failed."""
