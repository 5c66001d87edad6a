"""Deduplication on exchanges and queues: the window by count and by time, restarts, log failures."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leveret.core.broker import Broker
from leveret.core.errors.refusals import UNFIT, Refusal
from leveret.core.exchange.exchange import Binding
from leveret.core.exchange_types.deduplication import Deduplication
from leveret.core.exchange_types.seen import TRIM, SeenValues
from leveret.core.message.destination import give_up
from leveret.core.message.message import Message, address
from leveret.core.queue.dead_letter import RETRY_MS
from leveret.core.turn.work import PIECE
from leveret.store.chunk_log import LOAD_BYTES
from leveret.store.memory import MemoryLog
from leveret.wire.content import make_content
from leveret.wire.fields import Field, Table, boolean, long, longstr, signedint
from leveret.wire.methods import (
    BasicAck,
    BasicConsume,
    BasicConsumeOk,
    BasicDeliver,
    BasicGet,
    BasicNack,
    BasicPublish,
    BasicReject,
    BasicReturn,
    ChannelClose,
    ConfirmSelect,
    ConfirmSelectOk,
    ExchangeDeclare,
    ExchangeDeclareOk,
    ExchangeDelete,
    ExchangeDeleteOk,
    Method,
    QueueBind,
    QueueBindOk,
    QueueDeclare,
    QueueDeclareOk,
    QueuePurge,
    QueuePurgeOk,
    TxCommit,
    TxRollback,
    TxSelect,
    TxSelectOk,
)
from leveret.wire.properties import BasicProperties
from tests.clients.socketless import Peer, make_broker, turn
from tests.core.test_delayed import Disk, bodies, finish

TYPE = "x-message-deduplication"
KEY = "x-deduplication-header"


def declare(peer: Peer, kind: str = TYPE, arguments: Table | None = None, durable: bool = True) -> None:
    """The exchange x with the queue q bound to it."""
    peer.call(ExchangeDeclare("x", kind, durable=durable, arguments=arguments or {}), ExchangeDeclareOk)
    peer.call(QueueDeclare("q", durable=True), QueueDeclareOk)
    peer.call(QueueBind("q", "x", ""), QueueBindOk)


def publish(
    peer: Peer, body: str, value: Field | str | None, exchange: str = "x", key: str = "", ttl_ms: int = 0
) -> None:
    """A persistent message."""
    properties = BasicProperties()
    properties.delivery_mode = 2
    properties.headers = {}
    if value is not None:
        properties.headers[KEY] = longstr(value) if isinstance(value, str) else value
    if ttl_ms:
        properties.headers["x-cache-ttl"] = long(ttl_ms)
    peer.send(BasicPublish(exchange, key), body.encode(), properties)


def window(broker: Broker) -> SeenValues:
    """The values that the exchange x has seen."""
    interceptor = broker.vhosts["/"].exchanges["x"].interceptors[0]
    assert isinstance(interceptor, Deduplication)
    return interceptor.window


def test_each_value_once() -> None:
    peer = Peer()
    declare(peer, arguments={"x-cache-size": long(10)})
    for body, value in (("1", "a"), ("2", "b"), ("3", "a"), ("4", None), ("5", None), ("6", "b")):
        publish(peer, body, value)
    assert bodies(peer) == ["1", "2", "4", "5"]
    interceptor = peer.broker.vhosts["/"].exchanges["x"].interceptors[0]
    assert isinstance(interceptor, Deduplication)
    assert interceptor.duplicates == 2


def test_numbers_of_any_width_are_the_same_and_texts_are_not() -> None:
    peer = Peer()
    declare(peer, arguments={"x-cache-size": long(10)})
    for body, value in (("1", long(5)), ("2", signedint(5)), ("3", longstr("5"))):
        publish(peer, body, value)
    assert bodies(peer) == ["1", "3"]


def test_the_window_by_number() -> None:
    peer = Peer()
    declare(peer, arguments={"x-cache-size": long(2)})
    for body, value in (("1", "a"), ("2", "b"), ("3", "c"), ("4", "b"), ("5", "a"), ("6", "c")):
        publish(peer, body, value)
    assert bodies(peer) == ["1", "2", "3", "5"]


def test_the_window_by_time() -> None:
    peer = Peer()
    declare(peer, arguments={"x-cache-size": long(10), "x-cache-ttl": longstr("1000")})
    publish(peer, "1", "a")
    publish(peer, "2", "b", ttl_ms=5000)
    peer.broker.tick(999)
    publish(peer, "3", "a")
    peer.broker.tick(1000)
    publish(peer, "4", "a")
    publish(peer, "5", "b")
    peer.broker.tick(5000)
    publish(peer, "6", "b")
    assert bodies(peer) == ["1", "2", "4", "6"]


@pytest.mark.parametrize("kind", ["direct", "topic", "fanout", "headers"])
def test_as_an_argument_of_another_type(kind: str) -> None:
    peer = Peer()
    declare(peer, kind, {TYPE: boolean(True), KEY: longstr("my-id")}, durable=False)
    for body in "12":
        properties = BasicProperties()
        properties.headers = {"my-id": longstr("a"), KEY: longstr(body)}
        peer.send(BasicPublish("x", ""), body.encode(), properties)
    assert bodies(peer) == ["1"]


def test_a_duplicate_is_confirmed_and_returned_if_mandatory() -> None:
    peer = Peer()
    declare(peer, arguments={"x-cache-size": long(10)})
    peer.call(ConfirmSelect(), ConfirmSelectOk)
    publish(peer, "1", "a")
    assert isinstance(peer.got()[0].method, BasicAck)
    publish(peer, "2", "a")
    assert isinstance(peer.got()[0].method, BasicAck)
    properties = BasicProperties()
    properties.headers = {KEY: longstr("a")}
    peer.send(BasicPublish("x", "", mandatory=True), b"3", properties)
    assert [type(got.method) for got in peer.got()] == [BasicReturn, BasicAck]


def test_a_duplicate_is_confirmed_no_earlier_than_its_original() -> None:
    log = MemoryLog(hold=True)
    peer = held(log)
    publish(peer, "1", "a")
    publish(peer, "2", "a")
    assert peer.got() == []
    log.release()
    (got,) = peer.got()
    assert isinstance(got.method, BasicAck)
    assert (got.method.delivery_tag, got.method.multiple) == (2, True)
    assert bodies(peer) == ["1"]


def test_what_the_log_refused_may_come_again() -> None:
    log = MemoryLog(hold=True)
    peer = held(log)
    publish(peer, "safe", "s")
    log.release()
    assert isinstance(peer.got()[0].method, BasicAck)
    publish(peer, "1", "a")
    publish(peer, "2", "a")
    peer.broker.news.on_refused(peer.broker.vhosts["/"].queues["q"].queue_id, [2], "disk full", False)
    assert sorted(got.method.delivery_tag for got in peer.got() if isinstance(got.method, BasicNack)) == [2, 3]
    publish(peer, "3", "a")
    publish(peer, "4", "s")
    log.release()
    assert isinstance(peer.got()[0].method, BasicAck)
    assert bodies(peer) == ["safe", "1", "3"]  # the queue keeps what the log refused


def kinds(peer: Peer) -> list[str]:
    """The replies that the client got, in order."""
    return [type(got.method).__name__ for got in peer.got()]


@pytest.mark.parametrize("persistence", ["disk", "memory"])
@pytest.mark.parametrize("delivery_mode", [1, 2])
def test_a_full_queue_may_get_it_later(persistence: str, delivery_mode: int) -> None:
    peer = Peer()
    arguments: Table = {"x-cache-size": long(10), "x-cache-persistence": longstr(persistence)}
    full: Table = {"x-max-length": long(1), "x-overflow": longstr("reject-publish")}
    peer.call(ExchangeDeclare("x", TYPE, durable=True, arguments=arguments), ExchangeDeclareOk)
    peer.call(QueueDeclare("q", durable=True, arguments=full), QueueDeclareOk)
    peer.call(QueueBind("q", "x", ""), QueueBindOk)
    peer.call(ConfirmSelect(), ConfirmSelectOk)
    for body, value, answer in (("1", "a", "BasicAck"), ("2", "b", "BasicNack"), ("3", "b", "BasicNack")):
        publish(peer, body, value)
        turn(peer.broker)
        assert kinds(peer) == [answer]
    assert len(window(peer.broker)) == 1
    peer.call(QueuePurge("q"), QueuePurgeOk)
    for body in ("4", "5"):
        publish(peer, body, "b")
        turn(peer.broker)
        assert kinds(peer) == ["BasicAck"]
    assert bodies(Peer(peer.broker)) == ["4"]


def test_one_queue_that_has_taken_it_is_enough() -> None:
    peer = Peer()
    declare(peer, arguments={"x-cache-size": long(10)})
    full: Table = {"x-max-length": long(0), "x-overflow": longstr("reject-publish")}
    peer.call(QueueDeclare("full", arguments=full), QueueDeclareOk)
    peer.call(QueueBind("full", "x", ""), QueueBindOk)
    peer.call(ConfirmSelect(), ConfirmSelectOk)
    for body, answer in (("1", "BasicNack"), ("2", "BasicAck")):
        publish(peer, body, "a")
        turn(peer.broker)
        assert kinds(peer) == [answer]
    assert bodies(Peer(peer.broker)) == ["1"]


def test_what_nobody_was_to_get_is_remembered() -> None:
    peer = Peer()
    peer.call(ExchangeDeclare("x", TYPE, arguments={"x-cache-size": long(10)}), ExchangeDeclareOk)
    publish(peer, "1", "a")
    peer.call(QueueDeclare("q"), QueueDeclareOk)
    peer.call(QueueBind("q", "x", ""), QueueBindOk)
    publish(peer, "2", "a")
    assert bodies(Peer(peer.broker)) == []


@pytest.mark.parametrize("end", [TxCommit(), TxRollback(), ChannelClose(200, "", 0, 0), None])
@pytest.mark.parametrize("durable", [True, False])
def test_a_duplicate_of_what_is_not_committed_shares_its_fate(end: Method | None, durable: bool) -> None:
    peer = Peer()
    declare(peer, arguments={"x-cache-size": long(10)}, durable=durable)
    other = Peer(peer.broker)
    other.call(ConfirmSelect(), ConfirmSelectOk)
    peer.call(TxSelect(), TxSelectOk)
    publish(peer, "1", "a")
    publish(other, "2", "a")
    turn(peer.broker)
    assert kinds(other) == []
    if end is None:
        peer.connection.lost()
    else:
        peer.send(end)
    turn(peer.broker)
    committed = isinstance(end, TxCommit)
    assert kinds(other) == ["BasicAck" if committed else "BasicNack"]
    publish(other, "3", "a")
    assert bodies(Peer(peer.broker)) == ["1" if committed else "3"]


def test_a_full_queue_at_a_commit() -> None:
    peer = Peer()
    full: Table = {"x-max-length": long(0), "x-overflow": longstr("reject-publish")}
    peer.call(ExchangeDeclare("x", TYPE, arguments={"x-cache-size": long(10)}), ExchangeDeclareOk)
    peer.call(QueueDeclare("q", arguments=full), QueueDeclareOk)
    peer.call(QueueBind("q", "x", ""), QueueBindOk)
    peer.call(TxSelect(), TxSelectOk)
    publish(peer, "1", "a")
    publish(peer, "2", "b")
    peer.send(TxCommit())
    assert kinds(peer) == ["ChannelClose"]
    assert [window(peer.broker).has(value) for value in (b"sa", b"sb")] == [False, False]


def test_a_letter_that_must_arrive_passes_when_there_is_room() -> None:
    peer = Peer()
    broker = peer.broker
    vhost = broker.vhosts["/"]
    full: Table = {"x-max-length": long(1), "x-overflow": longstr("reject-publish")}
    declare(peer, arguments={"x-cache-size": long(10)})
    end = vhost.make_queue("end", True, 0, False, full)
    vhost.bind(Binding(vhost.exchanges["x"], end, None, "", {}))
    letters: Table = {
        "x-dead-letter-exchange": longstr("x"),
        "x-dead-letter-strategy": longstr("at-least-once"),
        "x-overflow": longstr("reject-publish"),
    }
    vhost.make_queue("source", True, 0, False, letters)
    peer.send(BasicPublish("", "end"), b"in the way")
    publish(peer, "1", "a", exchange="", key="source")
    peer.send(BasicGet("source"))
    assert kinds(peer) == ["BasicGetOk"]
    peer.send(BasicReject(1, False))
    broker.tick(RETRY_MS)
    assert [len(queue.ready) for queue in (vhost.queues["q"], end)] == [1, 1]
    peer.call(QueuePurge("end"), QueuePurgeOk)
    broker.tick(2 * RETRY_MS)
    assert [len(queue.ready) for queue in (vhost.queues["q"], end)] == [1, 1]
    assert end.ready.first().message.body() == b"1"
    turn(broker)
    assert vhost.queues["source"].letters == 0


def test_a_queue_that_is_only_listed_for_the_operator() -> None:
    peer = Peer()
    declare(peer, arguments={"x-cache-size": long(10)})
    exchange = peer.broker.vhosts["/"].exchanges["x"]
    properties = BasicProperties()
    properties.headers = {KEY: longstr("a")}
    message = Message(address("x", ""), make_content(properties.encode(), b""), False)
    queues = exchange.route([""], properties, message).queues
    assert [queue.name for queue in queues] == ["", "q", ""]
    give_up(message, queues)
    assert not window(peer.broker).has(b"sa")


def held(log: MemoryLog) -> Peer:
    """A client in confirm mode; its log reports nothing until the test asks for it."""
    peer = Peer(make_broker(log))
    for method in (
        ExchangeDeclare("x", TYPE, durable=True, arguments={"x-cache-size": long(10)}),
        QueueDeclare("q", durable=True),
        QueueBind("q", "x", ""),
        ConfirmSelect(),
    ):
        peer.send(method)
        log.release()
        assert len(peer.got()) == 1
    return peer


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({}, "Missing or invalid argument, 'x-cache-size' must be an integer greater than 0"),
        ({"x-cache-size": long(0)}, "Missing or invalid argument, 'x-cache-size' must be an integer greater than 0"),
        (
            {"x-cache-size": longstr("many")},
            "Missing or invalid argument, 'x-cache-size' must be an integer greater than 0",
        ),
        (
            {"x-cache-size": long(1), "x-cache-ttl": long(-1)},
            "Invalid argument, 'x-cache-ttl' must be an integer greater than 0",
        ),
        (
            {"x-cache-size": long(1), "x-cache-persistence": longstr("tape")},
            "Invalid argument, 'x-cache-persistence' must be either 'disk' or 'memory'",
        ),
    ],
)
def test_wrong_arguments(arguments: Table, text: str) -> None:
    vhost = make_broker().vhosts["/"]
    with pytest.raises(Refusal) as caught:
        vhost.declare_exchange("x", TYPE, True, False, False, arguments)
    assert (caught.value.kind, caught.value.text) == (UNFIT, text)


@pytest.mark.parametrize("end", ["killed", "stopped"])
def test_the_window_survives_a_restart(tmp_path: Path, end: str) -> None:
    disk = Disk(tmp_path, 0)
    arguments: Table = {"x-cache-size": long(3)}
    vhost = disk.broker.vhosts["/"]
    vhost.declare_exchange("x", TYPE, True, False, False, arguments)
    vhost.declare_exchange("memory", TYPE, True, False, False, {**arguments, "x-cache-persistence": longstr("memory")})
    seen = window(disk.broker)
    for value in (b"a", b"b", b"c"):
        seen.add(value, 0)
        disk.broker.settle()
    seen.add(b"d", 5_000_900)
    seen.add(b"e", 5_002_000)
    disk.broker.settle()
    finish(disk, end)

    again = Disk(tmp_path, 1000)
    seen = window(again.broker)
    assert [seen.has(value) for value in (b"a", b"b", b"c", b"d", b"e")] == [False, False, True, False, True]
    assert seen.is_safe(b"c")
    seen.add(b"f", 0)
    again.broker.settle()
    again.broker.clock.now_ms += 2000
    seen.add(b"g", 0)
    assert not seen.has(b"e")
    again.broker.settle()
    again.broker.vhosts["/"].delete_exchange("x", False)
    finish(again, end)

    third = Disk(tmp_path, 5000)
    third.broker.vhosts["/"].declare_exchange("x", TYPE, True, False, False, arguments)
    assert len(window(third.broker)) == 0
    third.log.close()
    left = Disk(tmp_path, 5000)
    assert [kind for kind, _, _ in left.log.load()] == ["exchange", "exchange"]
    left.log.close()


def test_deleting_the_exchange_forgets_its_window() -> None:
    peer = Peer()
    declare(peer, arguments={"x-cache-size": long(10)})
    publish(peer, "1", "a")
    peer.call(ExchangeDelete("x"), ExchangeDeleteOk)
    declare(peer, arguments={"x-cache-size": long(10)})
    publish(peer, "2", "a")
    assert bodies(peer) == ["1", "2"]
    assert len(peer.broker.journals) == 1


@given(
    st.integers(1, 5),
    st.lists(
        st.one_of(
            st.tuples(st.just("add"), st.integers(0, 9), st.sampled_from([0, 10, 50])),
            st.tuples(st.just("wait"), st.integers(1, 40), st.just(0)),
            st.tuples(st.just("save"), st.just(0), st.just(0)),
        ),
        max_size=60,
    ),
)
def test_against_a_plain_list(size: int, steps: list[tuple[str, int, int]]) -> None:
    broker = make_broker()
    tested = SeenValues(broker, size, ("/", "x"))
    plain: list[tuple[bytes, int]] = []  # value and when it is over, oldest first
    for what, number, ttl_ms in steps:
        now_ms = broker.clock.wall_ms
        value = str(number).encode()
        if what == "wait":
            broker.clock.now_ms += number
        elif what == "save":
            broker.settle()
        else:
            known = any(each == value and (over == 0 or over > now_ms) for each, over in plain)
            assert tested.has(value) == known
            if not known:
                plain = [entry for entry in plain if entry[0] != value]
                over = now_ms + ttl_ms if ttl_ms else 0
                plain.append((value, over))
                tested.add(value, over)
            while plain and (len(plain) > size or 0 < plain[0][1] <= now_ms):
                plain.pop(0)
        now_ms = broker.clock.wall_ms
        for each in (str(digit).encode() for digit in range(10)):
            expected = any(one == each and (over == 0 or over > now_ms) for one, over in plain)
            assert tested.has(each) == expected
        assert len(tested) <= size


def test_many_values_at_once() -> None:
    broker = make_broker()
    tested = SeenValues(broker, 100_000, ("/", "x"))
    for number in range(5000):
        tested.add(str(number).encode(), 0)
    broker.settle()
    broker.log.flush()
    for number in range(5000):
        assert tested.has(str(number).encode())
    assert len(tested) == 5000


# -- on queues


def queue(peer: Peer, arguments: Table | None = None) -> None:
    """The queue q, with deduplication."""
    wanted = {"x-message-deduplication": boolean(True), **(arguments or {})}
    peer.call(QueueDeclare("q", durable=True, arguments=wanted), QueueDeclareOk)


def test_a_queue_holds_each_value_once() -> None:
    peer = Peer()
    queue(peer)
    for body, value in (("1", "a"), ("2", "a"), ("3", "b"), ("4", None), ("5", None)):
        publish(peer, body, value, "", "q")
    assert bodies(peer) == ["1", "3", "4", "5"]
    publish(peer, "6", "a", "", "q")
    assert bodies(peer) == ["6"]


def test_until_it_is_acknowledged() -> None:
    peer = Peer()
    queue(peer)
    peer.call(BasicConsume("q", "c"), BasicConsumeOk)
    publish(peer, "1", "a", "", "q")
    assert isinstance(peer.got()[0].method, BasicDeliver)
    publish(peer, "2", "a", "", "q")
    assert peer.got() == []
    peer.send(BasicReject(1, True))
    assert isinstance(peer.got()[0].method, BasicDeliver)
    publish(peer, "3", "a", "", "q")
    peer.send(BasicAck(2))
    assert peer.got() == []
    publish(peer, "4", "a", "", "q")
    (got,) = peer.got()
    assert got.body == b"4"


def test_a_duplicate_in_a_queue_is_confirmed() -> None:
    peer = Peer()
    queue(peer)
    peer.call(ConfirmSelect(), ConfirmSelectOk)
    for body in "12":
        publish(peer, body, "a", "", "q")
        assert isinstance(peer.got()[0].method, BasicAck)
    assert bodies(peer) == ["1"]


def test_what_is_dropped_or_purged_may_come_again() -> None:
    peer = Peer()
    queue(peer, {"x-max-length": long(1)})
    for body, value in (("1", "a"), ("2", "b"), ("3", "a")):
        publish(peer, body, value, "", "q")
    assert peer.call(QueuePurge("q"), QueuePurgeOk).message_count == 1
    publish(peer, "4", "a", "", "q")
    assert bodies(peer) == ["4"]


def test_what_was_refused_may_come_again() -> None:
    peer = Peer()
    queue(peer, {"x-max-length": long(1), "x-overflow": longstr("reject-publish")})
    publish(peer, "1", "a", "", "q")
    publish(peer, "2", "b", "", "q")
    assert bodies(peer) == ["1"]
    publish(peer, "3", "b", "", "q")
    assert bodies(peer) == ["3"]


@pytest.mark.parametrize("load_bytes", [0, LOAD_BYTES])
def test_a_queue_knows_its_values_after_a_restart(tmp_path: Path, load_bytes: int) -> None:
    disk = Disk(tmp_path, 0)
    made = disk.broker.vhosts["/"].declare_queue("q", True, False, False, {TYPE: boolean(True)}, 1)
    properties = BasicProperties()
    properties.delivery_mode = 2
    properties.headers = {KEY: longstr("a")}
    message = Message(address("", "q"), make_content(properties.encode(), b"1"), True)
    made.publish(message, None)
    disk.safe()
    disk.killed()
    again = Disk(tmp_path, 0, load_bytes)
    made = again.broker.vhosts["/"].queues["q"]
    made.publish(message, None)
    assert len(made.ready) == 1
    assert made.ready.first().redelivered  # the end was not clean
    again.log.close()


def test_a_purge_of_a_queue_frees_its_values_at_once() -> None:
    count = 2 * PIECE
    peer = Peer()
    broker = peer.broker
    peer.call(QueueDeclare("q", arguments={"x-message-deduplication": boolean(True)}), QueueDeclareOk)
    for number in range(count):
        publish(peer, "old", str(number), exchange="", key="q")
    peer.send(BasicGet("q"))
    assert kinds(peer) == ["BasicGetOk"]
    peer.send(QueuePurge("q"))
    assert len(broker.background) == 1
    for number in range(count):
        publish(peer, "new", str(number), exchange="", key="q")
    assert len(broker.background) == 1
    assert peer.expect(QueuePurgeOk).message_count == count - 1
    queue = broker.vhosts["/"].queues["q"]
    assert (len(queue.ready), queue.counters.duplicates) == (
        count - 1,
        1,
    )  # somebody still has the first of the old ones
    for number in range(count):
        publish(peer, "again", str(number), exchange="", key="q")
    assert (len(queue.ready), queue.counters.duplicates) == (count - 1, 1 + count)
    peer.send(BasicAck(1))
    publish(peer, "new", "0", exchange="", key="q")
    assert len(queue.ready) == count


def test_values_that_are_over_are_forgotten_a_few_at_a_time() -> None:
    peer = Peer()
    declare(peer, arguments={"x-cache-size": long(10_000)})
    seen = window(peer.broker)
    for number in range(1000):
        seen.add(b"%d" % number, 1000)
    peer.broker.clock.now_ms = 1000
    sizes = [len(seen)]
    for number in range(100):
        seen.add(b"new %d" % number, 9000)
        sizes.append(len(seen))
    assert sizes[-1] == 100
    assert max(before - after for before, after in pairwise(sizes)) <= 2 * TRIM  # where a batch is full, too
    assert not any(seen.has(b"%d" % number) for number in range(1000))


def test_a_large_window_goes_in_pieces_and_a_new_one_knows_nothing_of_it() -> None:
    peer = Peer()
    broker = peer.broker
    declare(peer, arguments={"x-cache-size": long(10_000)})
    for number in range(3 * PIECE):
        window(broker).add(b"s%d" % number, 0)
    turn(broker)
    peer.send(ExchangeDelete("x"))
    peer.send(ExchangeDeclare("x", TYPE, durable=True, arguments={"x-cache-size": long(10_000)}))
    peer.send(QueueBind("q", "x", ""))
    publish(peer, "1", "0")
    assert len(broker.background) == 1
    broker.finish()
    assert kinds(peer) == ["ExchangeDeleteOk", "ExchangeDeclareOk", "QueueBindOk"]
    assert len(window(broker)) == 1
    assert bodies(peer) == ["1"]
