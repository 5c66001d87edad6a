"""A queue with time to live, priorities, length limits, a delivery limit and dead letters, against a naive model."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from leveret.core.queue.dead_letter import DELIVERY_LIMIT, EXPIRED, MAXLEN, REJECTED
from leveret.wire.fields import Table, long, longstr
from leveret.wire.methods import (
    BasicAck,
    BasicCancel,
    BasicCancelOk,
    BasicConsume,
    BasicConsumeOk,
    BasicDeliver,
    BasicGet,
    BasicGetEmpty,
    BasicGetOk,
    BasicNack,
    BasicPublish,
    BasicQos,
    BasicQosOk,
    BasicReject,
    ConfirmSelect,
    ConfirmSelectOk,
)
from leveret.wire.properties import BasicProperties
from tests.brokers.keeping import KeepingLog
from tests.clients.socketless import Got, Peer, turn

PREFETCH = 2
OVER = -1  # a deadline that has passed
TIMES = st.one_of(st.none(), st.sampled_from([0, 10, 30]))  # milliseconds
LIMITS = st.one_of(st.none(), st.integers(0, 4))


@dataclass
class Item:
    """A message in the naive queue. deaths: how often it was rejected before and returned as a dead letter."""

    number: int
    size: int
    level: int
    place: int
    deadline_ms: int | None
    expiration: str | None
    persistent: bool
    deaths: int = 0
    failures: int = 0
    by_consumer: bool = False

    @property
    def rank(self) -> tuple[int, int]:
        """The sort key."""
        return -self.level, self.place


class DyingModel(RuleBasedStateMachine):
    """One queue; its dead letters go to another one, or back to itself."""

    def __init__(self) -> None:
        super().__init__()
        self.log = KeepingLog()
        self.broker = self.log.broker()
        self.now_ms = 0
        self.ready: list[Item] = []
        self.held: dict[int, Item] = {}
        self.tag = 0
        self.places = 0
        self.numbers = 0
        self.consuming = False
        self.dead: list[tuple[int, str, int, str | None]] = []  # number, reason, count, original expiration
        self.letters: list[Item] = []  # that come back at the end of the step
        self.delivered: list[int] = []  # in this step

    @initialize(
        ttl_ms=TIMES,
        priorities=st.one_of(st.none(), st.just(2)),
        length=LIMITS,
        size=LIMITS,
        overflow=st.sampled_from(["drop-head", "reject-publish", "reject-publish-dlx"]),
        delivery_limit=st.one_of(st.none(), st.integers(0, 2)),
        back=st.booleans(),
    )
    def declare(
        self,
        ttl_ms: int | None,
        priorities: int | None,
        length: int | None,
        size: int | None,
        overflow: str,
        delivery_limit: int | None,
        back: bool,
    ) -> None:
        """A queue of any kind."""
        self.ttl_ms, self.priorities, self.length, self.size = ttl_ms, priorities, length, size
        self.overflow, self.delivery_limit, self.back = overflow, delivery_limit, back
        numbers = {
            "x-message-ttl": ttl_ms,
            "x-max-priority": priorities,
            "x-max-length": length,
            "x-max-length-bytes": size,
            "x-delivery-limit": delivery_limit,
        }
        arguments: Table = {name: long(value) for name, value in numbers.items() if value is not None}
        arguments["x-overflow"] = longstr(overflow)
        arguments["x-dead-letter-exchange"] = longstr("")
        arguments["x-dead-letter-routing-key"] = longstr("q" if back else "dead")
        vhost = self.broker.vhosts["/"]
        self.queue = vhost.make_queue("q", True, 0, False, arguments)
        self.end = vhost.make_queue("dead", False, 0, False, {})
        self.peer = Peer(self.broker)
        self.peer.call(BasicQos(0, PREFETCH), BasicQosOk)
        self.peer.call(ConfirmSelect(), ConfirmSelectOk)
        self.let_pass(1)

    # -- the naive queue

    def die(self, item: Item, reason: str) -> None:
        """The message dies; its return is a cycle unless it was rejected."""
        if not self.back:
            self.dead.append((item.number, reason, 1, item.expiration))
        elif reason == REJECTED:
            self.letters.append(item)

    def deadline(self, expiration: str | None) -> int | None:
        """When a message published now expires."""
        times = [each for each in (self.ttl_ms, None if expiration is None else int(expiration)) if each is not None]
        return self.now_ms + min(times) if times else None

    def is_over(self, more: int, more_bytes: int) -> bool:
        """Whether a length limit is exceeded."""
        if self.length is not None and len(self.ready) + more > self.length:
            return True
        return self.size is not None and sum(item.size for item in self.ready) + more_bytes > self.size

    def expire(self) -> None:
        """Expire messages at the head only."""
        while self.ready and self.ready[0].deadline_ms is not None and self.ready[0].deadline_ms <= self.now_ms:
            self.die(self.ready.pop(0), EXPIRED)

    def pump(self) -> None:
        """Deliver to the consumer; it may get a message that expires right now, as it was there in time."""
        while self.consuming and self.ready and sum(item.by_consumer for item in self.held.values()) < PREFETCH:
            item = self.ready.pop(0)
            if item.deadline_ms is not None and item.deadline_ms < self.now_ms:
                self.die(item, EXPIRED)
                continue
            item.by_consumer = True
            self.tag += 1
            self.held[self.tag] = item
            self.delivered.append(item.number)
        self.expire()

    def take(self, item: Item) -> bool:
        """Publish a message. Returns: whether it is confirmed."""
        rejects = self.overflow != "drop-head" and (self.length is not None or self.size is not None)
        if rejects:
            self.pump()
            if self.is_over(1, item.size):
                if self.overflow == "reject-publish-dlx":
                    self.die(item, MAXLEN)
                return False
        self.places += 1
        item.place = self.places
        self.put(item)
        if item.deadline_ms == self.now_ms:  # a TTL of 0: now or never, also when it comes back
            self.pump()
            item.deadline_ms = OVER
        return True

    def put(self, item: Item) -> None:
        """Insert a message; others may be dropped."""
        self.ready = sorted([*self.ready, item], key=lambda each: each.rank)
        if self.overflow == "drop-head" and self.is_over(0, 0):
            self.pump()
            while self.is_over(0, 0):
                self.die(self.ready.pop(0), MAXLEN)

    def finish(self) -> None:
        """End a step: rejected messages return as new ones, without their own expiration."""
        self.pump()
        while self.letters:
            letters, self.letters = self.letters, []
            for item in letters:
                again = Item(item.number, item.size, item.level, 0, self.deadline(None), None, item.persistent)
                again.deaths = item.deaths + 1
                self.take(again)
            self.pump()

    # -- what clients do

    @rule(
        expiration=TIMES,
        priority=st.integers(0, 3),
        size=st.integers(1, 2),
        persistent=st.booleans(),
        count=st.integers(1, 3),
    )
    def publish(self, expiration: int | None, priority: int, size: int, persistent: bool, count: int) -> None:
        """Publish messages with bodies of this size; the message-id is their number."""
        for _ in range(count):
            self.numbers += 1
            text = None if expiration is None else str(expiration)
            properties = BasicProperties()
            properties.expiration = text
            properties.priority = priority
            properties.delivery_mode = 2 if persistent else 1
            properties.message_id = str(self.numbers)
            self.peer.send(BasicPublish("", "q"), b"x" * size, properties)
            level = 0 if self.priorities is None else min(priority, self.priorities)
            item = Item(self.numbers, size, level, 0, self.deadline(text), text, persistent)
            confirmed = self.take(item)
            self.finish()
            kind = BasicAck if confirmed else BasicNack
            answers = [got for got in self.arrived() if not isinstance(got.method, BasicDeliver)]
            assert [(type(got.method)) for got in answers] == [kind]

    @rule()
    def get(self) -> None:
        """Get the head of the queue."""
        self.peer.send(BasicGet("q"))
        self.expire()
        item = self.ready.pop(0) if self.ready else None
        self.expire()
        left = len(self.ready)
        if item is not None:
            self.tag += 1
            item.by_consumer = False
            self.held[self.tag] = item
        self.finish()
        (answer,) = [got for got in self.arrived() if not isinstance(got.method, BasicDeliver)]
        if item is None:
            assert isinstance(answer.method, BasicGetEmpty)
        else:
            assert isinstance(answer.method, BasicGetOk)
            assert answer.method.message_count == left
            assert number(answer) == item.number
            assert deaths(answer) == ([("q", REJECTED, item.deaths)] if item.deaths else [])

    @rule(way=st.sampled_from(["ack", "discard", "requeue", "return"]), data=st.data())
    @precondition(lambda self: self.held)
    def settle(self, way: str, data: st.DataObject) -> None:
        """Settle one delivery; `return` requeues it and counts for the limit."""
        tag = data.draw(st.sampled_from(sorted(self.held)))
        item = self.held.pop(tag)
        if way == "ack":
            self.peer.send(BasicAck(tag))
        elif way == "discard":
            self.peer.send(BasicNack(tag, False, False))
            self.die(item, REJECTED)
        else:
            self.peer.send(BasicReject(tag, True) if way == "return" else BasicNack(tag, False, True))
            item.failures += way == "return"
            if way == "return" and self.delivery_limit is not None and item.failures > self.delivery_limit:
                self.die(item, DELIVERY_LIMIT)
            else:
                self.put(item)
        self.finish()
        assert all(isinstance(got.method, BasicDeliver) for got in self.arrived())

    @rule()
    def consume(self) -> None:
        """Start or cancel a consumer."""
        if self.consuming:
            self.consuming = False
            for item in self.held.values():
                item.by_consumer = False
            self.peer.call(BasicCancel("c"), BasicCancelOk)
            self.finish()
            return
        self.consuming = True
        self.peer.send(BasicConsume("q", "c"))
        self.finish()
        assert isinstance(self.arrived()[0].method, BasicConsumeOk)

    @rule(time_ms=st.sampled_from([1, 5, 10, 40]))
    def let_pass(self, time_ms: int) -> None:
        """Let time pass."""
        self.now_ms += time_ms
        self.broker.tick(self.now_ms)
        self.expire()
        self.finish()
        assert all(isinstance(got.method, BasicDeliver) for got in self.arrived())

    # -- expected effects

    def arrived(self) -> list[Got]:
        """Check and return what the client got in this step."""
        found = self.peer.got()
        expected, self.delivered = self.delivered, []
        assert [number(got) for got in found if isinstance(got.method, BasicDeliver)] == expected
        return found

    @invariant()
    def same(self) -> None:
        """Check the queue, the dead letters, and the state after a crash."""
        if not hasattr(self, "queue"):
            return
        turn(self.broker)
        ready = [stored.message.properties().message_id for stored in self.queue.ready.items()]
        assert ready == [str(item.number) for item in self.ready]
        assert self.queue.unacked == len(self.held)
        while self.dead or len(self.end.ready):
            who, reason, count, expiration = self.dead.pop(0)
            properties = self.end.ready.pop().message.properties()
            assert properties.message_id == str(who)
            assert properties.expiration is None
            (death,) = tables(properties)
            assert (death["reason"].text, death["count"].integer) == (reason, count)
            assert ("original-expiration" in death) == (expiration is not None)
        items = [*self.ready, *self.held.values()]
        kept = sorted(item.place for item in items if item.persistent)
        assert sorted(position for _, position in self.log.kept) == kept


def number(got: Got) -> int:
    """The number of a message."""
    assert got.properties is not None
    return int(got.properties.message_id or "")


def tables(properties: BasicProperties) -> list[Table]:
    """The tables of x-death."""
    field = (properties.headers or {}).get("x-death")
    found: list[Table] = []
    if field is not None:
        assert isinstance(field.value, list)
        for item in field.value:
            assert isinstance(item.value, dict)
            found.append(item.value)
    return found


def deaths(got: Got) -> list[tuple[str, str, int]]:
    """The entries of x-death: queue, reason, count."""
    assert got.properties is not None
    return [(each["queue"].text, each["reason"].text, each["count"].integer) for each in tables(got.properties)]


TestDyingModel = DyingModel.TestCase
TestDyingModel.settings = settings(stateful_step_count=40)
