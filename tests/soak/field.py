"""Field: what the parts of a soak share, and the two things that most of them do: publish, and consume."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.clients.codec import Properties
from tests.clients.ledger import Finding, Letter
from tests.clients.method import Method
from tests.clients.methods import ConnectionClose
from tests.clients.methods_basic import (
    BasicAck,
    BasicDeliver,
    BasicNack,
    BasicPublish,
    BasicQos,
    BasicQosOk,
    BasicReject,
)
from tests.clients.peer import Channel, Peer
from tests.soak.book import Book

WINDOW = 200  # letters of a publisher that wait for their confirms
SIZES = (0, 10, 100, 100, 1000, 1000, 4000, 40_000)
LARGE = 2_000_000
LARGE_SHARE = 0.002
PUBLISHER_LIFE = 600  # letters after which a publisher connects anew
LISTEN_S = 0.1
STEP_S = 0.05  # of a sleep, between two looks whether it should end


@dataclass
class Field:
    """One run. publishing, listening: cleared when publishers, and then consumers, are to end."""

    address: tuple[str, int]
    book: Book
    pid: int = 0
    publishing: threading.Event = field(default_factory=threading.Event)
    listening: threading.Event = field(default_factory=threading.Event)

    def rest(self, seconds: float) -> None:
        """Sleep, unless publishers are to end."""
        until = time.monotonic() + seconds
        while self.publishing.is_set() and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, STEP_S))

    def channel(self) -> tuple[Peer, Channel]:
        """A new connection with a channel."""
        peer = Peer(self.address).login()
        return peer, peer.channel()

    def wrong(self, kind: str, text: str) -> None:
        """Note a finding."""
        self.book.findings.append(Finding(kind, text))

    def count(self, what: str, number: int = 1) -> None:
        """Count something that went well."""
        self.book.counts[what] += number


@dataclass(frozen=True)
class Publisher:
    """Letters with confirms, in batches.

    number: of the publisher. places: as of Letter. exchange, key: where to; by default the first place.
    large: now and then one has a large body. times: how often each is published. properties: of a letter.
    """

    number: int
    places: tuple[tuple[str, ...], ...]
    exchange: str = ""
    key: str = ""
    batch: int = 10
    pause_s: float = 0.2
    priorities: int = 1
    large: bool = False
    times: int = 1
    properties: Callable[[Letter, random.Random], Properties] = lambda _letter, _chance: Properties(delivery_mode=2)

    def run(self, field: Field, chance: random.Random) -> None:
        """Publish until it is enough."""
        count = 0
        while field.publishing.is_set():
            peer, channel = field.channel()
            channel.confirm()
            waiting: dict[int, Letter] = {}
            tag = 0
            end = count + PUBLISHER_LIFE
            while field.publishing.is_set() and count < end:
                messages: list[Method] = []
                for _ in range(chance.randint(1, 2 * self.batch)):
                    count += 1
                    letter, message = self._message(count, chance)
                    field.book.send(letter)
                    for _ in range(self.times):
                        tag += 1
                        messages.append(message)
                    waiting[tag] = letter
                channel.send(*messages)
                _collect(field, channel, waiting, WINDOW)
                field.rest(self.pause_s * (0.5 + chance.random()))
            _collect(field, channel, waiting, 0)
            peer.close()

    def _message(self, count: int, chance: random.Random) -> tuple[Letter, BasicPublish]:
        letter = Letter((self.number, count), self.places, chance.randrange(self.priorities))
        size = LARGE if self.large and chance.random() < LARGE_SHARE else chance.choice(SIZES)
        properties = self.properties(letter, chance)
        properties.priority = letter.priority if self.priorities > 1 else None
        key = self.key or ("" if self.exchange else self.places[0][0])
        return letter, BasicPublish(
            exchange=self.exchange, routing_key=key, properties=properties, body=letter.body(size)
        )


def _collect(field: Field, channel: Channel, waiting: dict[int, Letter], limit: int) -> None:
    """Take confirms until no more than so many letters wait, and those that are there."""
    while waiting:
        try:
            method = channel.next() if len(waiting) > limit else channel.next(0.001)
        except TimeoutError:
            if len(waiting) > limit:
                raise
            return
        if not isinstance(method, BasicAck):
            field.wrong("refused", f"{method}")
            return
        last = method.delivery_tag
        for tag in [one for one in waiting if one == last or (method.multiple and one < last)]:
            field.book.confirm(waiting.pop(tag))


@dataclass(frozen=True)
class Consumer:
    """Takes letters from a queue and settles them.

    requeue, reject: share of the letters that are settled so; a rejected one must become a dead letter. hoard: how
    many are kept unsettled at most, to be acked together. pause_s: after each letter. life_s: after which the
    consumer goes, with what it has not settled, and another comes. check: of a letter.
    """

    queue: str
    prefetch: int = 50
    requeue: float = 0.0
    reject: float = 0.0
    hoard: int = 0
    pause_s: float = 0.0
    life_s: float = 20.0
    check: Callable[[Field, Letter, BasicDeliver], None] = lambda _field, _letter, _message: None

    def run(self, field: Field, chance: random.Random) -> None:
        """Consume until it is enough."""
        while field.listening.is_set():
            peer, channel = field.channel()
            channel.prefetch(self.prefetch)
            channel.consume(self.queue)
            self._live(field, channel, time.monotonic() + self.life_s * (0.5 + chance.random()), chance)
            channel.send(BasicQos(prefetch_count=1))
            while not isinstance(channel.next(), BasicQosOk):
                pass  # deliveries that come again; the acks before have arrived when the reply comes
            if chance.random() < 0.5:
                peer.send(ConnectionClose(reply_code=200, reply_text="bye"))
            peer.link.close()

    def _live(self, field: Field, channel: Channel, until: float, chance: random.Random) -> None:
        held: list[tuple[int, Letter]] = []
        while field.listening.is_set() and time.monotonic() < until:
            try:
                message = channel.next(LISTEN_S)
            except TimeoutError:
                self._ack_held(field, channel, held)
                continue
            assert isinstance(message, BasicDeliver), message
            letter = field.book.take(self.queue, message.body, message.redelivered)
            tag = message.delivery_tag
            if letter is None:
                channel.send(BasicAck(delivery_tag=tag))
                continue
            self.check(field, letter, message)
            dice = chance.random()
            if dice < self.requeue:
                channel.send(BasicNack(delivery_tag=tag, requeue=True))
            elif dice < self.requeue + self.reject:
                channel.send(BasicReject(delivery_tag=tag))
            else:
                held.append((tag, letter))
                if len(held) > self.hoard:
                    self._ack_held(field, channel, held)
            if self.pause_s and field.publishing.is_set():
                time.sleep(self.pause_s)

    def _ack_held(self, field: Field, channel: Channel, held: list[tuple[int, Letter]]) -> None:
        """Ack what was kept: tags in between are settled already."""
        if not held:
            return
        for _, letter in held:
            field.book.done(self.queue, letter)
        channel.send(BasicAck(delivery_tag=held[-1][0], multiple=len(held) > 1))
        held.clear()
