"""News: what a log has to tell its listener. What fails is kept and told again; the rest is told all the same."""

from __future__ import annotations

from leveret.core.message.log import LogListener


class News:
    """Of one log. listener: who is told; None for nobody.

    durable: up to which position the messages of each queue are safe. revision: up to which definitions are.
    """

    def __init__(self) -> None:
        self.listener: LogListener | None = None
        self.durable: dict[int, int] = {}
        self.revision = 0
        self._told_revision = 0
        self._refused: dict[int, list[int]] = {}
        self._reason = ""

    def refuse(self, queue_id: int, position: int, reason: str) -> None:
        """A message could not be stored."""
        self._refused.setdefault(queue_id, []).append(position)
        self._reason = reason

    def tell(self) -> None:
        """Tell all that there is. Of a queue, what was refused comes first, for what is durable includes it."""
        listener = self.listener
        if listener is None:
            self.durable.clear()
            self._refused.clear()
            return
        if self.revision != self._told_revision:
            try:
                listener.on_definitions_durable(self.revision)
                self._told_revision = self.revision
            except Exception as error:
                listener.fail("hear that definitions are durable", error)
        refused, self._refused = self._refused, {}
        for queue_id, positions in refused.items():
            try:
                listener.on_refused(queue_id, positions, self._reason, False)
            except Exception as error:
                self._refused[queue_id] = positions
                listener.fail("hear that messages were refused", error)
        durable, self.durable = self.durable, {}
        for queue_id, position in durable.items():
            try:
                if queue_id not in self._refused:
                    listener.on_durable(queue_id, position)
                    continue
            except Exception as error:
                listener.fail("hear that messages are durable", error)
            self.durable[queue_id] = max(position, self.durable.get(queue_id, 0))

    def tell_behind(self, is_behind: bool) -> bool:
        """Tell whether more waits to be written than should. Returns: whether that was heard."""
        if self.listener is None:
            return False
        try:
            self.listener.on_behind(is_behind)
        except Exception as error:
            self.listener.fail("hear how much waits to be written", error)
            return False
        return True
