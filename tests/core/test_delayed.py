"""x-delayed-message: when and where messages are routed, what survives a restart, and what the operator sees."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue

import pytest

from leveret.core.broker import Broker
from leveret.core.errors.refusals import UNFIT, Refusal, unknown_exchange_type
from leveret.core.exchange.exchange import Binding, Exchange
from leveret.core.exchange_types.delayed import TRIES, Delay, DelayedMessages
from leveret.core.message.log import MessageLog, Recovered
from leveret.core.message.message import Message, address
from leveret.core.policy.arguments import QueueSettings
from leveret.core.turn.clock import Clock
from leveret.core.turn.work import LETTER, PIECE, TURN
from leveret.store.chunk_log import LOAD_BYTES, ChunkLog
from leveret.store.database import Database
from leveret.store.memory import MemoryLog
from leveret.store.rescue.salvage import open_database
from leveret.wire.content import make_content
from leveret.wire.fields import FLOAT64, INT8, INT16, UINT8, UINT16, UINT32, Field, Table, array, boolean, long, longstr
from leveret.wire.methods import (
    BasicAck,
    BasicConsume,
    BasicConsumeOk,
    BasicDeliver,
    BasicGet,
    BasicGetEmpty,
    BasicGetOk,
    BasicNack,
    BasicPublish,
    BasicReturn,
    ConfirmSelect,
    ExchangeBind,
    ExchangeBindOk,
    ExchangeDeclare,
    ExchangeDeclareOk,
    ExchangeDelete,
    ExchangeDeleteOk,
    QueueBind,
    QueueBindOk,
    QueueDeclare,
    QueueDeclareOk,
    QueueUnbind,
    QueueUnbindOk,
    TxCommit,
    TxCommitOk,
    TxRollback,
    TxRollbackOk,
    TxSelect,
    TxSelectOk,
)
from leveret.wire.properties import BasicProperties
from tests.clients.socketless import Peer, make_broker, turn

PATIENCE_S = 60


def declare(peer: Peer, inner: str = "direct", durable: bool = True, arguments: Table | None = None) -> None:
    """The exchange x with the queue q bound to it."""
    wanted = {"x-delayed-type": longstr(inner), **(arguments or {})}
    peer.call(ExchangeDeclare("x", "x-delayed-message", durable=durable, arguments=wanted), ExchangeDeclareOk)
    peer.call(QueueDeclare("q", durable=True), QueueDeclareOk)
    peer.call(QueueBind("q", "x", "k"), QueueBindOk)


def delayed(broker: Broker) -> DelayedMessages:
    """The messages that wait at the exchange x."""
    interceptor = broker.vhosts["/"].exchanges["x"].interceptors[-1]
    assert isinstance(interceptor, Delay)
    return interceptor.delayed


def publish(
    peer: Peer, body: str, delay: Field | int | None, key: str = "k", headers: Table | None = None, **more: bool
) -> None:
    """A persistent message."""
    properties = BasicProperties()
    properties.delivery_mode = 2
    properties.headers = dict(headers or {})
    if delay is not None:
        properties.headers["x-delay"] = long(delay) if isinstance(delay, int) else delay
    peer.send(BasicPublish("x", key, mandatory=more.get("mandatory", False)), body.encode(), properties)


def bodies(peer: Peer, queue: str = "q") -> list[str]:
    """The bodies of all messages of a queue."""
    found: list[str] = []
    while True:
        peer.send(BasicGet(queue, True))
        got = peer.got()[-1]
        if isinstance(got.method, BasicGetEmpty):
            return found
        assert isinstance(got.method, BasicGetOk)
        found.append((got.body or b"").decode())


def test_messages_go_out_when_they_are_due() -> None:
    peer = Peer()
    declare(peer)
    for body, delay in (("late", 3000), ("at once", 0), ("soon", 1000), ("also soon", 1000), ("plain", None)):
        publish(peer, body, delay)
    assert bodies(peer) == ["at once", "plain"]
    assert peer.broker.tick(999) == 1000
    assert bodies(peer) == []
    assert peer.broker.tick(1000) == 3000
    assert bodies(peer) == ["soon", "also soon"]
    peer.broker.tick(5000)
    assert bodies(peer) == ["late"]


@pytest.mark.parametrize(
    ("delay", "expected_ms"),
    [
        (long(500), 500),
        (Field(INT8, 100), 100),
        (Field(UINT8, 200), 200),
        (Field(INT16, 3000), 3000),
        (Field(UINT16, 60000), 60000),
        (Field(UINT32, 4_000_000_000), 4_000_000_000),
        (long(1 << 62), 1 << 48),
        (longstr("700"), 700),
        (Field(FLOAT64, 99.9), 99),
        (long(-500), 0),
        (longstr("soon"), 0),
        (longstr("-1"), 0),
        (Field(FLOAT64, float("nan")), 0),
        (boolean(True), 0),
        (array([]), 0),
    ],
)
def test_what_counts_as_a_delay(delay: Field, expected_ms: int) -> None:
    peer = Peer()
    declare(peer)
    publish(peer, "m", delay)
    if not expected_ms:
        assert bodies(peer) == ["m"]
        return
    assert bodies(peer) == []
    (pending,) = delayed(peer.broker).page(0, 10)
    assert pending.due_ms == expected_ms
    peer.broker.tick(expected_ms - 1)
    assert bodies(peer) == []
    peer.broker.tick(expected_ms)
    assert bodies(peer) == ["m"]


def test_the_delay_is_negated_and_everything_else_as_it_was() -> None:
    peer = Peer()
    declare(peer)
    properties = BasicProperties()
    properties.headers = {"a": longstr("b"), "x-delay": Field(UINT16, 10), "c": longstr("d")}
    properties.correlation_id = "17"
    peer.send(BasicPublish("x", "k"), b"body", properties)
    peer.broker.tick(10)
    peer.send(BasicGet("q", True))
    (got,) = peer.got()
    assert isinstance(got.method, BasicGetOk)
    assert (got.method.exchange, got.method.routing_key, got.method.redelivered) == ("x", "k", False)
    assert got.properties is not None
    assert list((got.properties.headers or {}).items()) == [
        ("a", longstr("b")),
        ("x-delay", long(-10)),
        ("c", longstr("d")),
    ]
    assert got.properties.correlation_id == "17"


def test_bindings_count_when_the_message_is_due() -> None:
    peer = Peer()
    declare(peer, "topic")
    peer.call(QueueDeclare("other"), QueueDeclareOk)
    publish(peer, "m", 10, key="a.b")
    peer.call(QueueUnbind("q", "x", "k"), QueueUnbindOk)
    peer.call(QueueBind("other", "x", "a.*"), QueueBindOk)
    peer.broker.tick(10)
    assert (bodies(peer), bodies(peer, "other")) == ([], ["m"])


def test_copies_and_hidden_copies_keep_their_keys() -> None:
    peer = Peer()
    declare(peer)
    for name in ("cc", "bcc"):
        peer.call(QueueDeclare(name), QueueDeclareOk)
        peer.call(QueueBind(name, "x", name), QueueBindOk)
    publish(peer, "m", 10, headers={"CC": array([longstr("cc")]), "BCC": array([longstr("bcc")])})
    peer.broker.tick(10)
    assert [bodies(peer, name) for name in ("q", "cc", "bcc")] == [["m"], ["m"], ["m"]]


def test_reached_through_another_exchange() -> None:
    peer = Peer()
    declare(peer)
    peer.call(ExchangeDeclare("front", "fanout"), ExchangeDeclareOk)
    peer.call(ExchangeBind("x", "front", ""), ExchangeBindOk)
    peer.call(QueueDeclare("now"), QueueDeclareOk)
    peer.call(QueueBind("now", "front", ""), QueueBindOk)
    properties = BasicProperties()
    properties.headers = {"x-delay": long(10)}
    peer.send(BasicPublish("front", "k"), b"m", properties)
    assert (bodies(peer), bodies(peer, "now")) == ([], ["m"])
    peer.broker.tick(10)
    assert bodies(peer) == ["m"]


def test_a_delayed_message_is_not_returned_and_takes_no_alternate_way() -> None:
    peer = Peer()
    peer.call(ExchangeDeclare("rest", "fanout"), ExchangeDeclareOk)
    peer.call(QueueDeclare("rest"), QueueDeclareOk)
    peer.call(QueueBind("rest", "rest", ""), QueueBindOk)
    declare(peer, arguments={"alternate-exchange": longstr("rest")})
    publish(peer, "m", 10, key="nowhere", mandatory=True)
    assert peer.got() == []
    assert bodies(peer, "rest") == []
    peer.broker.tick(10)
    assert bodies(peer, "rest") == ["m"]
    assert peer.got() == []


def test_without_a_delay_mandatory_is_as_ever() -> None:
    peer = Peer()
    declare(peer)
    publish(peer, "m", None, key="nowhere", mandatory=True)
    assert isinstance(peer.got()[0].method, BasicReturn)


def test_in_a_transaction_the_delay_begins_with_the_commit() -> None:
    peer = Peer()
    declare(peer)
    peer.call(TxSelect(), TxSelectOk)
    publish(peer, "dropped", 10)
    peer.call(TxRollback(), TxRollbackOk)
    publish(peer, "m", 10)
    peer.broker.tick(100)
    assert bodies(peer) == []
    peer.call(TxCommit(), TxCommitOk)
    peer.broker.tick(109)
    assert bodies(peer) == []
    peer.broker.tick(110)
    assert bodies(peer) == ["m"]


class Watched(MessageLog):
    """A log in memory that delays its events, and records removals."""

    def __init__(self, log: MemoryLog) -> None:
        self.log = log
        self.removed: list[tuple[int, int]] = []

    def append(self, queue_id: int, position: int, message: Message, deadline_ms: int, level: int = 0) -> None:
        """Pass the call on."""
        self.log.append(queue_id, position, message, deadline_ms, level)

    def remove(self, queue_id: int, position: int) -> None:
        """Record the call."""
        self.removed.append((queue_id, position))

    def delivered(self, queue_id: int, position: int) -> None:
        """Do nothing."""

    def drop(self, queue_id: int) -> None:
        """Pass the call on."""
        self.log.drop(queue_id)

    def flush(self) -> None:
        """Pass the call on."""
        self.log.flush()

    def recover(self) -> Iterator[Recovered]:
        """Do nothing."""
        return iter(())

    def close(self) -> None:
        """Do nothing."""


def test_confirmed_when_it_is_safe_and_removed_when_it_has_arrived() -> None:
    log = MemoryLog(hold=True)
    watched = Watched(log)
    broker = make_broker(log)
    broker.log = watched
    peer = Peer(broker)
    arguments = {"x-delayed-type": longstr("direct")}
    for method in (
        ExchangeDeclare("x", "x-delayed-message", durable=True, arguments=arguments),
        QueueDeclare("q", durable=True),
        QueueBind("q", "x", "k"),
        ConfirmSelect(),
    ):
        peer.send(method)
        log.release()
        assert len(peer.got()) == 1
    publish(peer, "m", 10)
    assert peer.got() == []
    log.release()
    assert isinstance(peer.got()[0].method, BasicAck)
    broker.tick(10)
    assert watched.removed == []  # the target has it, but not on disk
    log.release()
    assert watched.removed == [(delayed(broker).log_id, 1)]


def test_a_full_queue_gets_it_later_and_nobody_gets_it_twice() -> None:
    peer = Peer()
    declare(peer, "fanout")
    limits: Table = {"x-max-length": long(1), "x-overflow": longstr("reject-publish")}
    peer.call(QueueDeclare("small", arguments=limits), QueueDeclareOk)
    peer.call(QueueBind("small", "x", ""), QueueBindOk)
    publish(peer, "first", 10)
    publish(peer, "second", 20)
    peer.broker.tick(20)
    assert bodies(peer) == ["first", "second"]
    peer.broker.tick(5000)
    assert bodies(peer, "small") == ["first"]
    peer.broker.tick(10000)
    assert (bodies(peer), bodies(peer, "small")) == ([], ["second"])


def test_very_many_at_once_go_out_in_shares() -> None:
    peer = Peer()
    declare(peer)
    count = TURN
    for number in range(count):
        publish(peer, str(number), 10)
    now_ms, steps = 10, 0
    while delayed(peer.broker).waiting():
        steps += 1
        before = delayed(peer.broker).waiting()
        now_ms = peer.broker.tick(now_ms) or now_ms
        assert before - delayed(peer.broker).waiting() <= 2 * TURN // LETTER  # by the timer, and by a job
    assert steps > 3
    assert bodies(peer) == [str(number) for number in range(count)]


def test_paging_and_cancelling() -> None:
    peer = Peer()
    declare(peer)
    for number in range(5):
        publish(peer, str(number), 1000 - number)
    store = delayed(peer.broker)
    assert store.waiting() == 5
    first = store.page(0, 2)
    assert [pending.message.body() for pending in first] == [b"4", b"3"]
    assert [pending.due_ms for pending in first] == [996, 997]
    rest = store.page(first[-1].pending_id, 10)
    assert [pending.message.body() for pending in rest] == [b"2", b"1", b"0"]
    assert store.cancel(rest[1].pending_id)
    assert not store.cancel(rest[1].pending_id)
    assert store.page(rest[-1].pending_id, 10) == []
    peer.broker.tick(2000)
    assert bodies(peer) == ["4", "3", "2", "0"]
    publish(peer, "gone", 10)
    assert store.purge() == 1
    assert store.waiting() == 0


def test_deleting_the_exchange_drops_what_waits() -> None:
    peer = Peer()
    declare(peer)
    publish(peer, "m", 10)
    timer = peer.broker.timers.next_ms()
    assert timer == 10
    peer.call(ExchangeDelete("x"), ExchangeDeleteOk)
    assert peer.broker.timers.next_ms() != 10
    peer.broker.tick(10)
    assert bodies(peer) == []
    declare(peer)
    publish(peer, "n", 10)
    peer.broker.tick(20)
    assert bodies(peer) == ["n"]


def test_a_consumer_gets_it() -> None:
    peer = Peer()
    declare(peer)
    peer.call(BasicConsume("q", "c"), BasicConsumeOk)
    publish(peer, "m", 10)
    assert peer.got() == []
    peer.broker.tick(10)
    (got,) = peer.got()
    assert isinstance(got.method, BasicDeliver)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({}, "Invalid argument, 'x-delayed-type' must be an existing exchange type"),
        ({"x-delayed-type": long(1)}, "Invalid argument, 'x-delayed-type' must be an existing exchange type"),
        (
            {"x-delayed-type": longstr("x-delayed-message")},
            "Invalid argument, 'x-delayed-type' must be an existing exchange type",
        ),
        ({"x-delayed-type": longstr("x-what")}, unknown_exchange_type("x-what").text),
    ],
)
def test_wrong_arguments(arguments: Table, text: str) -> None:
    vhost = make_broker().vhosts["/"]
    with pytest.raises(Refusal) as caught:
        vhost.declare_exchange("x", "x-delayed-message", True, False, False, arguments)
    assert (caught.value.kind, caught.value.text) == (UNFIT, text)
    assert "x" not in vhost.exchanges


class Disk:
    """A broker on a directory; killed() leaves it as kill -9 would."""

    def __init__(self, directory: Path, now_ms: int, load_bytes: int = LOAD_BYTES) -> None:
        self._done: SimpleQueue[None] = SimpleQueue()
        self.log = ChunkLog(open_database(directory), lambda: self._done.put(None), load_bytes)
        self.broker = Broker(self.log, self.log, Clock(5_000_000, 5_000_000 + now_ms), seed=1, node="test")
        self.log.listener = self.broker.news
        self.recovered = self.broker.recover()

    def safe(self) -> None:
        """Wait until everything so far is on disk."""
        while self.log._group.has_work() or self.log._is_writing:
            self.log.flush()
            self._done.get(timeout=PATIENCE_S)
            self.log.on_committed()

    def killed(self) -> None:
        """Lose everything that is not on disk."""
        if self.log._committer is not None:
            self.log._committer.close()
        assert isinstance(self.log._store, Database)
        self.log._store._sql.close()
        self.log._store._lock.close()


@pytest.fixture(params=["killed", "stopped"])
def end(request: pytest.FixtureRequest) -> str:
    """How the first broker ends."""
    return str(request.param)


def finish(disk: Disk, end: str) -> None:
    """The broker ends."""
    if end == "killed":
        disk.safe()
        disk.killed()
    else:
        disk.log.close()


def topology(broker: Broker) -> Exchange:
    """The exchange x, and the queue q bound to it."""
    vhost = broker.vhosts["/"]
    arguments: Table = {"x-delayed-type": longstr("direct")}
    exchange = vhost.declare_exchange("x", "x-delayed-message", True, False, False, arguments)
    queue = vhost.declare_queue("q", True, False, False, {}, 1)
    vhost.bind(Binding(exchange, queue, None, "k", {}))
    return exchange


def message(body: str, delay: int, mode: int) -> tuple[list[str], BasicProperties, Message]:
    """The arguments of route()."""
    properties = BasicProperties()
    properties.delivery_mode = mode
    properties.headers = {"x-delay": long(delay)}
    content = make_content(properties.encode(), body.encode())
    return ["k"], properties, Message(address("x", "k", (), ("hidden",)), content, mode == 2)


@pytest.mark.parametrize("load_bytes", [0, LOAD_BYTES])
def test_after_a_restart(tmp_path: Path, end: str, load_bytes: int) -> None:
    disk = Disk(tmp_path, 0)
    exchange = topology(disk.broker)
    for body, delay, mode in (("c", 9000, 2), ("a", 1000, 2), ("b", 2000, 1), ("cancelled", 1500, 2)):
        keys, properties, made = message(body, delay, mode)
        for queue in exchange.route(keys, properties, made).queues:
            queue.publish(made, None)
    disk.safe()
    store = delayed(disk.broker)
    (chosen,) = [pending for pending in store.page(0, 10) if pending.message.body() == b"cancelled"]
    store.cancel(chosen.pending_id)
    finish(disk, end)

    again = Disk(tmp_path, 2500, load_bytes)
    store = delayed(again.broker)
    assert again.recovered == 3
    assert [(pending.due_ms, pending.message.body()) for pending in store.page(0, 10)] == [
        (5_001_000, b"a"),
        (5_002_000, b"b"),
        (5_009_000, b"c"),
    ]
    queue = again.broker.vhosts["/"].queues["q"]
    again.broker.tick(5_000_001)  # what is overdue goes out at once
    assert [stored.message.body() for stored in queue.ready.items()] == [b"a", b"b"]
    assert store.page(0, 1)[0].message.address.keys == ["k", "hidden"]
    again.broker.tick(5_006_499)
    assert len(queue.ready) == 2
    again.broker.tick(5_006_500)
    assert len(queue.ready) == 3
    again.safe()
    finish(again, end)

    third = Disk(tmp_path, 20_000)
    assert delayed(third.broker).waiting() == 0
    bodies = [stored.message.body() for stored in third.broker.vhosts["/"].queues["q"].ready.items()]
    assert bodies == [b"a", b"c"]  # b is transient: it was only delayed safely
    third.log.close()


def test_killed_before_the_target_has_it(tmp_path: Path) -> None:
    disk = Disk(tmp_path, 0)
    exchange = topology(disk.broker)
    keys, properties, made = message("m", 1000, 2)
    for queue in exchange.route(keys, properties, made).queues:
        queue.publish(made, None)
    disk.safe()
    disk.broker.tick(5_001_000)
    assert len(disk.broker.vhosts["/"].queues["q"].ready) == 1
    disk.killed()
    again = Disk(tmp_path, 1000)
    again.broker.tick(5_000_001)
    assert [s.message.body() for s in again.broker.vhosts["/"].queues["q"].ready.items()] == [b"m"]
    again.log.close()


def test_a_refused_message_is_nacked() -> None:
    log = MemoryLog(hold=True)
    peer = Peer(make_broker(log))
    for method in (
        ExchangeDeclare("x", "x-delayed-message", durable=True, arguments={"x-delayed-type": longstr("direct")}),
        ConfirmSelect(),
    ):
        peer.send(method)
        log.release()
        assert len(peer.got()) == 1
    publish(peer, "m", 10)
    peer.broker.news.on_refused(delayed(peer.broker).log_id, [1], "disk full", False)
    assert isinstance(peer.got()[0].method, BasicNack)


@pytest.mark.parametrize("second", [False, True])
def test_a_log_that_fails_makes_no_more_copies(second: bool) -> None:
    log = MemoryLog(hold=True)
    peer = Peer(make_broker(log))
    broker = peer.broker
    vhost = broker.vhosts["/"]
    declared = {"x-delayed-type": longstr("fanout")}
    exchange = vhost.declare_exchange("x", "x-delayed-message", True, False, False, declared)
    queues = [vhost.make_queue("q", True, 0, False, {})]
    if second:
        full = {"x-max-length": long(0), "x-overflow": longstr("reject-publish")}
        queues.append(vhost.make_queue("full", True, 0, False, full))
    for queue in queues:
        vhost.bind(Binding(exchange, queue, None, "", {}))
    publish(peer, "m", 10)
    broker.tick(10)
    broker.news.on_refused(queues[0].queue_id, [1], "disk full", False)
    for second_of in range(1, 5):
        broker.tick(10 + second_of * 1000)
        assert [len(queue.ready) for queue in queues] == [1, 0][: len(queues)]
    if second:
        queues[1].settings.max_length = 1
        broker.tick(10_000)
        assert [len(queue.ready) for queue in queues] == [1, 1]


def test_those_that_were_refused_go_as_fast_as_they_are_taken() -> None:
    peer = Peer()
    declare(peer)
    broker = peer.broker
    count = 5 * TRIES
    for number in range(count):
        publish(peer, str(number), 10)
    queue = broker.vhosts["/"].queues["q"]
    limited: Table = {"x-max-length": long(0), "x-overflow": longstr("reject-publish")}
    vhost = broker.vhosts["/"]
    vhost.remove_queue(queue)
    full = vhost.make_queue("q", True, 0, False, limited)
    vhost.bind(Binding(vhost.exchanges["x"], full, None, "k", {}))
    now_ms = 10
    while broker.tick(now_ms) == now_ms:
        pass
    refusals = broker.refusals
    assert refusals == count
    now_ms = 10_000
    while broker.tick(now_ms) == now_ms:
        pass
    assert broker.refusals - refusals == TRIES
    full.apply(QueueSettings({}, {}))
    now_ms = 20_000
    while broker.tick(now_ms) == now_ms:
        turn(broker)
    assert sorted(int(each.message.body()) for each in full.ready.items()) == list(range(count))
    turn(broker)
    assert delayed(broker).waiting() == 0


def test_a_purge_throws_away_in_pieces() -> None:
    peer = Peer()
    declare(peer)
    broker = peer.broker
    for number in range(2 * PIECE):
        publish(peer, str(number), 1000)
    turn(broker)
    waiting = delayed(broker)
    assert waiting.purge() == 2 * PIECE
    assert (waiting.waiting(), len(broker.background)) == (0, 1)
    publish(peer, "new", 1000)
    broker.finish()
    broker.tick(1000)
    assert bodies(peer) == ["new"]


def test_a_position_that_no_schedule_has(tmp_path: Path) -> None:
    disk = Disk(tmp_path, 0)
    exchange = topology(disk.broker)
    keys, properties, made = message("a", 1000, 2)
    (queue,) = exchange.route(keys, properties, made).queues
    assert isinstance(queue, DelayedMessages)
    queue.publish(made, None)
    disk.log.append(queue.log_id, 1 << 44, made, 5_001_000)
    finish(disk, "stopped")
    for load_bytes in (0, LOAD_BYTES):
        again = Disk(tmp_path, 0, load_bytes)
        assert any("has the invalid position 17592186044416" in text for text in again.broker.explanations)
        store = delayed(again.broker)
        assert [(each.due_ms, each.message.body()) for each in store.page(0, 10)] == [(5_001_000, b"a")]
        assert not store.fault
        finish(again, "stopped")
