"""A queue with a remote log against a model: whenever the log answers, no message is lost, doubled or out of order."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from leveret.core.queue.queue import Queue
from leveret.wire.fields import Table, long, longstr
from leveret.wire.methods import (
    BasicAck,
    BasicConsume,
    BasicDeliver,
    BasicGet,
    BasicGetEmpty,
    BasicGetOk,
    BasicNack,
    BasicPublish,
    BasicQos,
    BasicQosOk,
    ConfirmSelect,
    ConfirmSelectOk,
    QueueDeclare,
    QueueDeclareOk,
    QueuePurge,
    QueuePurgeOk,
)
from leveret.wire.properties import BasicProperties
from tests.brokers.remote import RemoteLog
from tests.clients.socketless import Peer, held_bytes, make_broker

SIZE = 700
LIMIT = 8_000  # bytes of memory: some ten messages
MANY = 30
PREFETCH = 4


class Remote(RuleBasedStateMachine):
    """A publisher, one client that consumes, and one that gets.

    Messages are numbers from 1, each of which is its position. ready, held, over: what the model knows of them.
    waiting: what has been published and not been answered. gone: what a refusal has taken away.
    """

    def __init__(self) -> None:
        super().__init__()
        self.broker = make_broker()
        self.broker.budget.limit = LIMIT
        self.log = RemoteLog(self.broker.news)
        self.publisher = Peer(self.broker)
        arguments: Table = {"x-queue-type": longstr("quorum"), "x-delivery-limit": long(-1)}
        self.publisher.call(QueueDeclare("q", durable=True, arguments=arguments), QueueDeclareOk)
        self.publisher.call(ConfirmSelect(), ConfirmSelectOk)
        self.queue: Queue = self.broker.vhosts["/"].queues["q"]
        self.queue.log = self.log
        self.getter, self.consumer = Peer(self.broker), Peer(self.broker)
        self.consumer.call(BasicQos(0, PREFETCH), BasicQosOk)
        self.consumes = False
        self.gets = 0  # that have no answer yet
        self.published = 0
        self.ready: set[int] = set()
        self.again: set[int] = set()  # which have been with somebody
        self.held: dict[tuple[Peer, int], int] = {}
        self.over: set[int] = set()
        self.gone: set[int] = set()
        self.waiting: set[int] = set()
        self.safe: set[int] = set()
        self.first = 0  # the latest message that somebody had for the first time

    # -- what clients do

    @rule(count=st.integers(1, MANY))
    def publish(self, count: int) -> None:
        """Publish persistent messages."""
        properties = BasicProperties()
        properties.delivery_mode = 2
        for _ in range(count):
            self.published += 1
            self.ready.add(self.published)
            self.waiting.add(self.published)
            self.publisher.send(BasicPublish("", "q"), str(self.published).encode().ljust(SIZE), properties)
        self.look()

    @rule()
    def get(self) -> None:
        """Get a message; the answer may come later."""
        self.gets += 1
        self.getter.send(BasicGet("q"))
        self.look()

    @precondition(lambda self: not self.consumes)
    @rule()
    def consume(self) -> None:
        """Start a consumer."""
        self.consumes = True
        self.consumer.send(BasicConsume("q", "c"))
        self.look()

    @precondition(lambda self: self.held)
    @rule(data=st.data(), requeue=st.booleans())
    def settle(self, data: st.DataObject, requeue: bool) -> None:
        """Ack or requeue a delivery."""
        peer, tag = data.draw(st.sampled_from(list(self.held)))
        if peer is self.getter and self.gets:
            return  # it waits for the answer to its get
        number = self.held.pop((peer, tag))
        if requeue:
            self.ready.add(number)
            self.again.add(number)
            peer.send(BasicNack(tag, False, True))
        else:
            self.over.add(number)
            peer.send(BasicAck(tag))
        self.look()

    @rule()
    def purge(self) -> None:
        """Purge the ready messages."""
        count = self.publisher.call(QueuePurge("q"), QueuePurgeOk).message_count if not self.waiting else 0
        if not self.waiting:
            assert count == len(self.ready)
            self.over |= self.ready
            self.ready = set()
        self.look()

    # -- events of the log

    @rule()
    def commit(self) -> None:
        """All appended messages are safe."""
        self.safe |= self.waiting
        self.log.commit()
        self.look()

    @precondition(lambda self: self.waiting)
    @rule(again=st.booleans())
    def refuse(self, again: bool) -> None:
        """Appended messages are refused."""
        for number in self.log.refuse(again):
            if again and number in self.ready:
                self.ready.remove(number)
                self.gone.add(number)
        self.look()

    @rule()
    def bring(self) -> None:
        """The requested messages arrive."""
        self.log.bring()
        self.look()

    @rule()
    def tick(self) -> None:
        """Let time pass."""
        self.broker.tick(self.broker.clock.now_ms + 100)
        self.look()

    # -- expected effects

    def look(self) -> None:
        """Process all replies to clients."""
        for got in self.publisher.got():
            method = got.method
            assert isinstance(method, (BasicAck, BasicNack))
            told = {tag for tag in self.waiting if tag == method.delivery_tag}
            if method.multiple:
                told = {tag for tag in self.waiting if tag <= method.delivery_tag}
            assert told
            self.waiting -= told
            if isinstance(method, BasicAck):
                assert told <= self.safe | self.over
        for peer in (self.consumer, self.getter):
            for got in peer.got():
                method = got.method
                if isinstance(method, BasicGetEmpty):
                    assert not self.ready
                    self.gets -= 1
                elif isinstance(method, (BasicGetOk, BasicDeliver)):
                    assert got.body is not None
                    number = int(got.body.split()[0])
                    assert number in self.ready, "somebody else has it, or it is over"
                    self.ready.remove(number)
                    assert method.redelivered == (number in self.again)
                    if peer is self.consumer:
                        self.last(peer, number)
                    else:
                        self.gets -= 1
                    self.held[peer, method.delivery_tag] = number

    def last(self, peer: Peer, number: int) -> None:
        """First deliveries come in order."""
        if number not in self.again:
            assert number > self.first
            self.first = number

    @invariant()
    def counts_agree(self) -> None:
        """Check the numbers of the queue."""
        assert len(self.queue.ready) == len(self.ready)
        assert self.queue.unacked == len(self.held)
        assert len(self.ready) + len(self.held) + len(self.over) + len(self.gone) == self.published

    def teardown(self) -> None:
        """Check that all messages are delivered in the end, and every publish is answered."""
        self.commit()
        while self.gets or self.log.asked:
            assert self.log.bring()
            self.look()
        for (peer, tag), number in list(self.held.items()):
            peer.send(BasicAck(tag))
            self.over.add(number)
        self.held = {}
        if not self.consumes:
            self.consume()
        for _ in range(self.published + MANY):
            self.log.commit()
            self.log.bring()
            self.look()
            for (peer, tag), number in list(self.held.items()):
                peer.send(BasicAck(tag))
                self.over.add(number)
            self.held = {}
        self.look()
        assert not self.ready
        assert not self.waiting
        assert held_bytes(self.broker) == 0
        assert not any(self.log.stored.values())
        assert not self.broker.faults.told
        super().teardown()


TestRemote = Remote.TestCase
TestRemote.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
