"""News: events of a log for its listener. An event that fails is reported again; the others are reported anyway."""

from __future__ import annotations

from leveret.core.message.log import LogListener


class News:
    """The events of one log. listener: None to discard them.

    durable: the highest durable position of each queue. revision: of definitions that are durable.
    conflicts: kind, key, value and revision, as on_conflict() reports them.
    """

    def __init__(self) -> None:
        self.listener: LogListener | None = None
        self.durable: dict[int, int] = {}
        self.revision = 0
        self._told_revision = 0
        self.conflicts: list[tuple[str, str, bytes, int]] = []
        self._refused: dict[int, list[int]] = {}
        self._reason = ""

    def refuse(self, queue_id: int, position: int, reason: str) -> None:
        """Add a message that could not be stored."""
        self._refused.setdefault(queue_id, []).append(position)
        self._reason = reason

    def tell(self) -> None:
        """Report all events.

        Refusals come before the durable position of their queue, and conflicts before the durable revision, because
        these include them.
        """
        listener = self.listener
        if listener is None:
            self.durable.clear()
            self._refused.clear()
            self.conflicts.clear()
            return
        if self.conflicts:
            self._tell_conflicts(listener)
        if self.revision != self._told_revision:
            try:
                listener.on_definitions_durable(self.revision)
                self._told_revision = self.revision
            except Exception as error:
                listener.fail("release replies for durable definitions", error)
        refused, self._refused = self._refused, {}
        for queue_id, positions in refused.items():
            try:
                listener.on_refused(queue_id, positions, self._reason, False)
            except Exception as error:
                self._refused[queue_id] = positions
                listener.fail("refuse messages that could not be written", error)
        durable, self.durable = self.durable, {}
        for queue_id, position in durable.items():
            try:
                if queue_id not in self._refused:
                    listener.on_durable(queue_id, position)
                    continue
            except Exception as error:
                listener.fail("confirm durable messages", error)
            self.durable[queue_id] = max(position, self.durable.get(queue_id, 0))

    def _tell_conflicts(self, listener: LogListener) -> None:
        conflicts, self.conflicts = self.conflicts, []
        for kind, key, value, revision in conflicts:
            try:
                listener.on_conflict(kind, key, value, revision)
            except Exception as error:
                self.conflicts.append((kind, key, value, revision))
                listener.fail("take the definition of another node", error)

    def tell_fetched(self, queue_id: int) -> None:
        """Report that messages of a queue have been fetched."""
        if self.listener is None:
            return
        try:
            self.listener.on_fetched(queue_id)
        except Exception as error:
            self.listener.fail("deliver fetched messages", error)

    def tell_behind(self, is_behind: bool) -> bool:
        """Report whether too much waits to be written. Returns: whether the listener received it."""
        if self.listener is None:
            return False
        try:
            self.listener.on_behind(is_behind)
        except Exception as error:
            self.listener.fail("set the alarm for the write backlog", error)
            return False
        return True
