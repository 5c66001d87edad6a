"""Leases: the consumers of clients of HTTP, by the ids that they are called by, and who waits for messages of them.

An id is a random word that nobody can guess, and is good for its user alone. One call at a time waits for a consumer's
messages: a new one takes over from an older one, whose client may be gone without anybody having noticed.
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

MOST: Final = 1_000  # consumers
MOST_OF_USER: Final = 200
SHARE: Final = 2  # of all places for clients of HTTP, calls that wait may have one part in so many
SHARE_OF_USER: Final = 4  # and those of one user one in so many
MOST_ENDED: Final = 1_000  # of which it is known why they ended
RETRY_S: Final = 10  # after which somebody may try again for whom there is no consumer
GRACE_S: Final = 1.0  # for messages that are there, where nobody wants to wait


class Leased:
    """One of them. id: empty for one that lives as long as a request. on_over: called when it is over.

    call: that waits, or is being answered.
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
        """Whose it is."""
        return self.consumer.party.user

    def do(self, step: Callable[[], object]) -> None:
        """Do something with it; what that leads to in the broker happens before this returns, or soon."""
        driver = self._driver
        driver.refresh_clock()
        try:
            step()
        finally:
            driver.broker.settle()
            driver.turn()

    def end(self, why: str) -> None:
        """It is over."""
        self.do(lambda: self.consumer.end(why))

    def _take_note(self) -> None:
        if self.consumer.over:
            self._on_over(self)
        if self.call is not None:
            self.call.wake()


class Call:
    """Who waits for messages of a consumer, and gets them: a context. is_replaced: another call has taken over."""

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
        """Whether its client has gone."""
        return self._presence.is_gone

    def wake(self) -> None:
        """Something has happened."""
        self._news.set()

    async def wait(self, count: int, size: int, within_s: float) -> list[Arrival]:
        """Messages, as soon as there is one. None where none has come in time, the consumer is over, the client has
        gone, or another call has taken over.

        count: how many at most. size: bytes of their bodies, of which the last may have more.
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
        """The client has not got these."""
        leased = self.leased
        if arrived:
            leased.do(lambda: leased.consumer.give_back([int(each.tag) for each in arrived], REQUEUE))

    def _has_more(self) -> bool:
        """Whether messages wait that the consumer could have."""
        consumer = self.leased.consumer.consumer
        return consumer.window.has_room() and consumer.queue.waiting() > 0


class Leases:
    """Of one API. places: for clients of HTTP."""

    def __init__(self, broker: Broker, driver: Driver, places: int) -> None:
        self._broker = broker
        self._driver = driver
        self._places = places
        self._leased: dict[str, Leased] = {}
        self._counts: Counter[str] = Counter()  # of consumers, by the names of users
        self._waiting: Counter[str] = Counter()  # of calls that wait, or are being answered
        self._ended: OrderedDict[str, tuple[str, str]] = OrderedDict()  # whose, and why

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
        """Consume a queue. has_id: whether it lives longer than one request. Raises: Refusal, ApiError 503."""
        own = self._counts[user.name]
        if own >= MOST_OF_USER:
            raise busy(f"this user has {own} HTTP consumers already", RETRY_S)
        if self._counts.total() >= MOST:
            raise busy(f"there are {MOST} HTTP consumers already", RETRY_S)
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
        """The consumer of this user. Raises: ApiError 404, which says why it is over if that is known."""
        leased = self._leased.get(id_)
        if leased is not None and leased.user is caller.user:
            return leased
        whose, why = self._ended.get(id_, ("", ""))
        if why and whose == caller.user.name:
            raise over(why)
        raise not_found("there is no such consumer; if it has ended, its messages are back in their queue")

    def find_for_administrator(self, id_: str, caller: Caller) -> Leased:
        """As find(), but an administrator finds those of all users. Raises: ApiError 404."""
        leased = self._leased.get(id_)
        return leased if leased is not None and caller.has(Access.ADMINISTRATOR) else self.find(id_, caller)

    def _forget(self, leased: Leased) -> None:
        """A consumer is over."""
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
        """One more waits; one that takes over may always do that. Raises: ApiError 503."""
        name = leased.user.name
        is_full = self._waiting.total() >= max(self._places // SHARE, 1)
        if leased.call is None and (is_full or self._waiting[name] >= max(self._places // SHARE_OF_USER, 1)):
            raise busy("too many calls wait for messages already")
        self._waiting[name] += 1

    def give_up_place(self, leased: Leased) -> None:
        """One waits no more."""
        name = leased.user.name
        self._waiting[name] -= 1
        if not self._waiting[name]:
            del self._waiting[name]


def over(why: str) -> ApiError:
    """A consumer is over."""
    return not_found(f"this consumer is over: {why}; its messages are back in their queue")
