"""Leases: the consumers of HTTP clients, by id, and the calls that wait for their messages.

An id is random and cannot be guessed, and only its user can use it. One call at a time waits for the messages of a
consumer: a new call replaces an older one, whose client may have gone unnoticed.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from typing import Final

from leveret.api.access import Access, Caller
from leveret.api.errors import ApiError, busy, not_found
from leveret.api.streaming import Presence
from leveret.core.access.user import User
from leveret.core.broker import Broker
from leveret.core.client.leased import NOBODY, Arrival, LeasedConsumer, LeasedParty
from leveret.core.client.settling import REQUEUE
from leveret.core.vhost import VirtualHost
from leveret.server.driver import Driver
from leveret.wire.fields import Table

MOST: Final = 1_000  # HTTP consumers in all
MOST_OF_USER: Final = 200
SHARE: Final = 2  # waiting calls may take 1/SHARE of the places for HTTP clients
SHARE_OF_USER: Final = 4  # and those of one user 1/SHARE_OF_USER
MOST_ENDED: Final = 1_000  # ended consumers whose reason is remembered
RETRY_S: Final = 10  # Retry-After, in seconds, when there are too many consumers
GRACE_S: Final = 1.0  # seconds to wait for messages that are ready, if the client asks not to wait


class Leased:
    """A consumer of an HTTP client. id: empty if it lives only as long as one request. on_over: called when it ends.

    call: the call that waits or is being answered, None without one.
    """

    def __init__(self, id_: str, consumer: LeasedConsumer, driver: Driver, on_over: Callable[[Leased], None]) -> None:
        self.id = id_
        self.consumer = consumer
        self.call: Call | None = None
        self._driver = driver
        self._on_over = on_over
        consumer.on_news = self._take_note

    @property
    def user(self) -> User:
        """The user who owns the consumer."""
        return self.consumer.party.user

    def do(self, step: Callable[[], object]) -> None:
        """Run a step on the consumer; its effects in the broker happen before this returns, or soon after."""
        driver = self._driver
        driver.refresh_clock()
        try:
            step()
        finally:
            driver.broker.settle()
            driver.turn()

    def end(self, why: str) -> None:
        """End the consumer. why: the reason that later calls receive."""
        self.do(lambda: self.consumer.end(why))

    def _take_note(self) -> None:
        if self.consumer.over:
            self._on_over(self)
        if self.call is not None:
            self.call.wake()


class Call:
    """A call that waits for the messages of a consumer; a context manager. is_replaced: a newer call took over."""

    def __init__(self, leases: Leases, leased: Leased, who: int, presence: Presence) -> None:
        self.leased = leased
        self.is_replaced = False
        self._leases = leases
        self._who = who
        self._presence = presence
        self._news = asyncio.Event()

    def __enter__(self) -> Call:
        leased = self.leased
        self._leases.take_place(leased)
        if leased.call is not None:
            leased.call.is_replaced = True
            leased.call.wake()
        leased.call = self
        self._presence.on_gone = self.wake
        leased.do(lambda: leased.consumer.attend(self._who))
        return self

    def __exit__(self, *_: object) -> None:
        leased = self.leased
        self._presence.on_gone = None
        self._leases.give_up_place(leased)
        if leased.call is self:
            leased.call = None
            leased.consumer.ask(0, 0)
            self.give_back(leased.consumer.take())
            leased.do(lambda: leased.consumer.attend(NOBODY))

    @property
    def is_gone(self) -> bool:
        """Whether the client has disconnected."""
        return self._presence.is_gone

    def wake(self) -> None:
        """Make wait() check its conditions again."""
        self._news.set()

    async def wait(self, count: int, size: int, within_s: float) -> list[Arrival]:
        """Wait for messages; return as soon as there is one. Empty if none arrived in time, the consumer ended, the
        client disconnected, or a newer call took over.

        count: maximum number of messages. size: bytes of their bodies, which the last one may exceed.
        """
        consumer = self.leased.consumer
        if not self.is_replaced:
            self.leased.do(lambda: consumer.ask(count, size))
        if not within_s and self._has_more():
            within_s = GRACE_S
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while not (consumer.over or self.is_replaced or self.is_gone or consumer.receiver.arrived):
                    self._news.clear()
                    await self._news.wait()
        if self.is_replaced:
            return []
        consumer.ask(0, 0)
        arrived = consumer.take()
        if self.is_gone:
            self.give_back(arrived)
            return []
        return arrived

    def give_back(self, arrived: list[Arrival]) -> None:
        """Requeue messages that did not reach the client."""
        leased = self.leased
        if arrived:
            leased.do(lambda: leased.consumer.give_back([int(each.tag) for each in arrived], REQUEUE))

    def _has_more(self) -> bool:
        """Whether messages are ready that the consumer could receive."""
        consumer = self.leased.consumer.consumer
        return consumer.window.has_room() and consumer.queue.waiting() > 0


class Leases:
    """The HTTP consumers of one API. places: how many HTTP clients may be connected."""

    def __init__(self, broker: Broker, driver: Driver, places: int) -> None:
        self._broker = broker
        self._driver = driver
        self._places = places
        self._leased: dict[str, Leased] = {}
        self._counts: Counter[str] = Counter()  # consumers, by user name
        self._waiting: Counter[str] = Counter()  # calls that wait or are being answered, by user name
        self._ended: OrderedDict[str, tuple[str, str]] = OrderedDict()  # user name and reason, by id

    def __iter__(self) -> Iterator[Leased]:
        return iter(list(self._leased.values()))

    def begin(
        self,
        user: User,
        vhost: VirtualHost,
        host: str,
        queue: str,
        lease_ms: int,
        prefetch: int,
        tag: str = "",
        exclusive: bool = False,
        arguments: Table | None = None,
        has_id: bool = True,
    ) -> Leased:
        """Consume from a queue. has_id: whether it outlives one request. Raises: Refusal, ApiError 503."""
        own = self._counts[user.name]
        if own >= MOST_OF_USER:
            raise busy(f"this user already has {own} HTTP consumers", RETRY_S)
        if self._counts.total() >= MOST:
            raise busy(f"there are already {MOST} HTTP consumers", RETRY_S)
        party = LeasedParty(self._broker, host, user, vhost)
        self._driver.refresh_clock()
        try:
            consumer = LeasedConsumer(party, lease_ms, queue, tag, prefetch, exclusive, arguments)
        finally:
            self._broker.settle()
            self._driver.turn()
        id_ = secrets.token_urlsafe(16) if has_id else ""
        leased = Leased(id_, consumer, self._driver, self._forget)
        self._counts[user.name] += 1
        if id_:
            self._leased[id_] = leased
        return leased

    def find(self, id_: str, caller: Caller) -> Leased:
        """The consumer with this id, if this user owns it. Raises: ApiError 404, with the reason if it ended."""
        leased = self._leased.get(id_)
        if leased is not None and leased.user is caller.user:
            return leased
        whose, why = self._ended.get(id_, ("", ""))
        if why and whose == caller.user.name:
            raise over(why)
        raise not_found("no such consumer; if it has ended, its messages were requeued")

    def find_for_administrator(self, id_: str, caller: Caller) -> Leased:
        """As find(), but an administrator finds the consumers of all users. Raises: ApiError 404."""
        leased = self._leased.get(id_)
        return leased if leased is not None and caller.has(Access.ADMINISTRATOR) else self.find(id_, caller)

    def _forget(self, leased: Leased) -> None:
        """A consumer has ended."""
        name = leased.user.name
        self._counts[name] -= 1
        if not self._counts[name]:
            del self._counts[name]
        if leased.id:
            del self._leased[leased.id]
            self._ended[leased.id] = (name, leased.consumer.over)
            if len(self._ended) > MOST_ENDED:
                self._ended.popitem(last=False)

    # -- calls that wait

    def take_place(self, leased: Leased) -> None:
        """Count a call that waits. A call that takes over is always allowed. Raises: ApiError 503."""
        name = leased.user.name
        is_full = self._waiting.total() >= max(self._places // SHARE, 1)
        if leased.call is None and (is_full or self._waiting[name] >= max(self._places // SHARE_OF_USER, 1)):
            raise busy("too many calls are already waiting for messages")
        self._waiting[name] += 1

    def give_up_place(self, leased: Leased) -> None:
        """A call no longer waits."""
        name = leased.user.name
        self._waiting[name] -= 1
        if not self._waiting[name]:
            del self._waiting[name]


def over(why: str) -> ApiError:
    """The error for a consumer that has ended."""
    return not_found(f"this consumer has ended: {why}; its messages were requeued")
