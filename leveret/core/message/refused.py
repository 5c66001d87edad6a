"""Refused: the last publishes that no queue got, or that a queue or the broker refused.

The record has the publisher, time, address and reason, but no body. Repeated refusals only increase a count. A
thousand entries are kept in all; when they are used up, the user with most entries loses the oldest one. So a user
who is refused all the time, each time with another routing key, displaces no entries of other users. Accepted
messages cost nothing here.
"""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64

from leveret.core.message.message import Address, Message
from leveret.core.turn.clock import Clock

MOST: Final = 1_000  # entries that are kept
FRESH: Final = 20  # new entries of one user per second; further ones are only counted
MOST_TEXT: Final = 500  # characters of a reason

# Reasons
UNROUTABLE: Final = "unroutable"  # no queue was bound, and it was dropped
RETURNED: Final = "returned"  # the same, but it was mandatory and returned
DUPLICATE: Final = "duplicate"  # the exchange or queue had a message with the same value before
NO_EXCHANGE: Final = "no_exchange"  # the exchange does not exist
NO_PERMISSION: Final = "no_permission"  # the user may not write to the exchange, or no client may
TOPIC: Final = "topic_forbidden"  # the user may not use the routing key
TOO_LARGE: Final = "too_large"  # the body is larger than the limit of the broker
INVALID: Final = "invalid"  # a property is invalid or cannot be read
QUEUE_FULL: Final = "queue_full"  # a queue is full and rejects publishes
QUEUE_FAULTY: Final = "queue_faulty"  # a queue is faulty and takes no messages
NOT_WRITTEN: Final = "not_written"  # the message could not be written to the disk
OBSERVER: Final = "observer"  # a rule of a test required it

KINDS: Final = (
    *(UNROUTABLE, RETURNED, DUPLICATE, NO_EXCHANGE, NO_PERMISSION, TOPIC, TOO_LARGE, INVALID),
    *(QUEUE_FULL, QUEUE_FAULTY, NOT_WRITTEN, OBSERVER),
)


class RefusedPublish:
    """Publishes that were refused for the same reason, with the same exchange and routing key.

    kind: one of those above. reason: a sentence. hint: details only for administrators. queue: the queue that refused;
    empty for none. user, connection: see Address; connection is that of the last one. first_ms, last_ms: milliseconds
    since 1970. count: number of publishes. size: bytes of the body of the last one. message_id: of the first one.
    place: grows with each refusal that does not repeat the previous one.
    """

    __slots__ = (
        "connection",
        "count",
        "exchange",
        "first_ms",
        "hint",
        "kind",
        "last_ms",
        "message_id",
        "place",
        "queue",
        "reason",
        "routing_key",
        "size",
        "user",
        "vhost",
    )

    def __init__(self, vhost: str, where: Address, queue: str, now_ms: int) -> None:
        self.vhost = vhost
        self.user = where.user
        self.connection = where.connection
        self.exchange = where.exchange
        self.routing_key = where.routing_key
        self.queue = queue
        self.kind = INVALID
        self.reason = ""
        self.hint = ""
        self.message_id = ""
        self.size: i64 = 0
        self.first_ms = now_ms
        self.last_ms = now_ms
        self.count: i64 = 1
        self.place: i64 = 0

    def say(self, kind: str, reason: str, message: Message | None, hint: str = "") -> None:
        """Set the reason. message: only its message-id is kept."""
        self.kind = kind
        self.reason = _shortened(reason)
        self.hint = _shortened(hint)
        if message is not None:
            self.message_id = message.message_id()


class Group:
    """The entries of one user, the latest refusal last. second, fresh: number of new entries in that second."""

    __slots__ = ("entries", "fresh", "second")

    def __init__(self) -> None:
        self.entries: dict[tuple[str, str, str, str, str], RefusedPublish] = {}
        self.second: i64 = 0
        self.fresh: i64 = 0


class RefusedPublishes:
    """The refused publishes of one broker. left_out: refusals above the limit, which have no entry."""

    def __init__(self, clock: Clock) -> None:
        self.left_out: i64 = 0
        self._clock = clock
        self._groups: dict[str, Group] = {}  # by user
        self._count: i64 = 0
        self._place: i64 = 0
        self._last: RefusedPublish | None = None
        self._last_where: Address | None = None
        self._last_about = ""

    def __len__(self) -> int:
        return int(self._count)

    def add(self, vhost: str, where: Address, about: str, queue: str, size: i64) -> RefusedPublish | None:
        """Record a refused publish. about: identifies the reason. queue: the queue that refused; empty for none.

        Returns: a new entry, for which say() has to be called; None for a repetition, or above the limit.
        """
        now_ms = self._clock.today_ms
        last = self._last
        if last is not None and self._last_where is where and self._last_about == about and last.queue == queue:
            last.count += 1
            last.last_ms = now_ms
            last.size = size
            return None
        group = self._groups.get(where.user)
        if group is None:
            group = self._groups[where.user] = Group()
        key = (about, vhost, where.exchange, where.routing_key, queue)
        entry = group.entries.pop(key, None)
        if entry is not None:
            group.entries[key] = entry
            entry.count += 1
            entry.last_ms = now_ms
            entry.connection = where.connection
        else:
            second: i64 = now_ms // 1000
            if group.second != second:
                group.second = second
                group.fresh = 0
            if group.fresh >= FRESH:
                self.left_out += 1
                return None
            group.fresh += 1
            if self._count >= MOST:
                self._forget_one()
                group = self._groups.setdefault(where.user, group)
            group.entries[key] = RefusedPublish(vhost, where, queue, now_ms)
            self._count += 1
        found = group.entries[key]
        found.size = size
        self._place += 1
        found.place = self._place
        self._last = found
        self._last_where = where
        self._last_about = about
        return found if entry is None else None

    def _forget_one(self) -> None:
        """Remove the oldest entry of the user with the most entries."""
        most = ""
        count: i64 = -1
        for user, group in self._groups.items():
            if len(group.entries) > count:
                most = user
                count = len(group.entries)
        entries = self._groups[most].entries
        del entries[next(iter(entries))]
        self._count -= 1
        if not entries:
            del self._groups[most]

    def forget(self, vhost: str | None, user: str | None) -> None:
        """Remove the entries of a deleted virtual host or user; a new one with its name starts without them."""
        self._last = None
        self._last_where = None
        for name in list(self._groups):
            entries = self._groups[name].entries
            for key in list(entries):
                if entries[key].vhost == vhost or name == user:
                    del entries[key]
                    self._count -= 1
            if not entries:
                del self._groups[name]

    def all(self) -> list[RefusedPublish]:
        """All entries, the latest refusal first."""
        found = [entry for group in self._groups.values() for entry in group.entries.values()]
        return sorted(found, key=_place, reverse=True)


def _shortened(text: str) -> str:
    return text if len(text) <= MOST_TEXT else f"{text[: MOST_TEXT - 3]}..."


def _place(entry: RefusedPublish) -> int:
    return int(entry.place)
