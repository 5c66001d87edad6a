"""BulkSettle: settles many deliveries of one channel, the oldest first, in pieces.

The channel's connection waits meanwhile, so that requests take effect in the client's order. Queues that get messages
back deliver nothing meanwhile, so that messages are redelivered in their old order. If the channel ends, the same sweep
returns its deliveries.
"""

from __future__ import annotations

from collections import deque

from mypy_extensions import i64

from leveret.core.client.settling import REQUEUE, RETURN, settle, settling
from leveret.core.client.unacked import Unacked
from leveret.core.queue.entry import EntryOwner
from leveret.core.turn.work import PIECE
from leveret.session.base.carrier import Wait
from leveret.session.base.lane import Lane
from leveret.wire.methods import BasicRecoverOk


class BulkSettle(Wait):
    """Of one channel."""

    def __init__(self, channel: Lane, unacked: Unacked) -> None:
        self._channel: Lane | None = channel  # None once it has ended
        self._connection = channel.connection
        self._unacked = unacked
        self._orders: deque[tuple[int, int, bool]] = deque()  # highest tag, how, whether to send recover-ok
        self._held: dict[EntryOwner, None] = {}

    def begin(self, up_to: i64, how: int, answers: bool = False) -> None:
        """Settle outstanding deliveries up to a tag, after earlier orders."""
        self._orders.append((int(up_to), how, answers))
        self.start(self._connection)

    def leave(self) -> None:
        """The channel has ended: settle the rest without a reply."""
        self._channel = None

    def finish(self) -> None:
        """Do the rest at once."""
        while self._orders:
            self.work()

    def work(self) -> bool:
        """Settle some. Returns: whether nothing is left."""
        if not self._orders:
            return True  # finished meanwhile
        up_to, how, answers = self._orders[0]
        goes_back = how == REQUEUE or how == RETURN
        counters = self._connection.counters if self._channel is None else self._channel.counters
        left: i64 = PIECE
        is_over = False
        while left > 0:
            entry = self._unacked.take_oldest(up_to)
            if entry is None:
                is_over = True
                break
            left -= settling(entry, how)
            queue = entry.queue
            if goes_back and queue not in self._held and not queue.deleted:
                self._held[queue] = None
                queue.pause()
            settle(entry, how, counters)
        self._connection.broker.share.left -= PIECE - left
        if not is_over:
            return False
        if goes_back:
            self._release()
        self._orders.popleft()
        if answers and self._channel is not None:
            self._channel.send(BasicRecoverOk())
        if self._orders:
            return False
        self.end(self._connection)
        return True

    def fail(self, doing: str, error: Exception) -> None:
        """Close the connection with an internal error; returning its deliveries continues."""
        self._connection.fail(doing, error)

    def give_up(self) -> None:
        """Stop, and let queues and connection continue."""
        self._orders.clear()
        self._release()
        self.end(self._connection)

    def _release(self) -> None:
        """Resume the queues: all messages are back in place."""
        for queue in self._held:
            queue.resume()
        self._held.clear()
