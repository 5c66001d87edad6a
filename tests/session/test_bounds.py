"""Numbers of any size, wherever a client or an administrator can say one: what they do, and that they harm nobody."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leveret.core.broker import Broker
from leveret.core.errors.bounds import MAX_INT, MAX_MS, Range, from_digits
from leveret.core.exchange_types.kinds import TYPES
from leveret.core.message.message import Message, address
from leveret.core.policy.arguments import TABLE, QueueSettings
from leveret.core.policy.checks import is_integer, is_not_negative, is_positive
from leveret.core.policy.policy import Policy
from leveret.core.turn.clock import Clock
from leveret.management import limits
from leveret.store.memory import Kept, MemoryLog
from leveret.wire import fields
from leveret.wire.constants import INTERNAL_ERROR
from leveret.wire.content import make_content
from leveret.wire.fields import Field, Table, array, long, longstr, signedint, table, timestamp
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
    BasicReject,
    ChannelClose,
    ConfirmSelect,
    ConfirmSelectOk,
    ConnectionClose,
    ExchangeDeclare,
    ExchangeDeclareOk,
    QueueBind,
    QueueBindOk,
    QueueDeclare,
    QueueDeclareOk,
)
from leveret.wire.properties import BasicProperties
from tests.clients.socketless import Peer, make_broker, turn

YEAR_MS = 365 * 24 * 3_600_000
SIZES = (0, 1, (1 << 31) - 1, 1 << 31, 1 << 32, (1 << 48) - 1, 1 << 48, 1 << 53, MAX_INT, 1 << 63, 10**20, 10**400)
OF_POLICIES = [row for row in TABLE if row.key and row.test in (is_integer, is_not_negative, is_positive)]


def test_a_range() -> None:
    some = Range(1, 9)
    assert [some.nearest(number) for number in (-(10**30), 0, 1, 5, 9, 10, 10**30)] == [1, 1, 1, 5, 9, 9, 9]
    assert some.of(long(7), 0) == some.of(longstr("7"), 0) == some.of(Field(fields.UINT8, 7), 0) == 7
    assert some.of(longstr("9" * 5000), 0) == some.of(long(MAX_INT), 0) == 9
    for nothing in (None, longstr("-1"), longstr("x"), longstr("\u0663"), longstr(b"\xff"), array([]), timestamp(7)):
        assert some.of(nothing, 0) == 0


@pytest.mark.parametrize(
    ("text", "number"),
    [("0", 0), ("7", 7), ("0" * 5000 + "12", 12), (str(MAX_INT), MAX_INT), ("", None), ("+1", None), ("\u00b2", None)],
)
def test_digits(text: str, number: int | None) -> None:
    assert from_digits(text) == number


@given(st.integers(0, 10**60))
def test_digits_of_what_counts_are_a_number(number: int) -> None:
    assert min(from_digits(str(number)) or 0, MAX_INT) == min(number, MAX_INT)


@pytest.mark.parametrize("row", OF_POLICIES, ids=lambda row: row.key)
@given(st.integers() | st.integers(-(1 << 70), 1 << 70) | st.sampled_from(SIZES))
def test_what_comes_out_of_a_policy_fits(row: Any, number: int) -> None:
    found = QueueSettings({}, {row.key: number})
    for name in ("message_ttl_ms", "expires_ms", "consumer_timeout_ms"):
        assert -1 <= getattr(found, name) <= MAX_MS
    for name in ("max_length", "max_length_bytes", "delivery_limit"):
        assert -1 <= getattr(found, name) <= MAX_INT


@pytest.mark.parametrize(
    ("row", "is_operator"),
    [
        pytest.param(row, is_operator, id=f"{row.key}-{'operator' if is_operator else 'user'}")
        for row in OF_POLICIES
        for is_operator in (False, True)
        if row.against_operator or not is_operator
    ],
)
@pytest.mark.parametrize("kind", ["classic", "quorum"])
def test_a_policy_of_any_size(row: Any, kind: str, is_operator: bool) -> None:
    for number in SIZES:
        if not row.test(number) or (number < 1000 and row.counts.most == MAX_MS) or row.key == "max-length-bytes":
            continue
        peer = Peer()
        vhost = peer.broker.vhosts["/"]
        policy = Policy("p", "", {row.key: number}, 0, "all")
        for name in ("before", "after"):
            if name == "after":
                (vhost.set_operator_policy if is_operator else vhost.set_policy)(policy)
                peer.broker.finish()
            arguments: Table = {"x-queue-type": longstr(kind)}
            peer.call(QueueDeclare(name, durable=True, arguments=arguments), QueueDeclareOk)
        peer.broker.tick(YEAR_MS if number > 1 << 47 or row.counts.most != MAX_MS else 1000)
        peer.call(ConfirmSelect(), ConfirmSelectOk)
        for name in ("before", "after"):
            peer.send(BasicPublish("", name), b"m")
            (got,) = peer.got()
            assert isinstance(got.method, BasicAck)
            peer.broker.tick(peer.broker.clock.now_ms + 500)
            found = peer.call(BasicGet(name, False), BasicGetOk if number or row.key != "max-length" else BasicGetEmpty)
            if isinstance(found, BasicGetOk):
                peer.send(BasicReject(found.delivery_tag, True))
                wanted = BasicGetEmpty if (row.key, number) == ("delivery-limit", 0) else BasicGetOk
                peer.call(BasicGet(name, True), wanted)
        assert peer.broker.faults.told == []
        assert vhost.policies.all == {} or vhost.policies.all["p"].definition == {row.key: number}


@pytest.mark.parametrize("name", [row.name for row in TABLE if row.name])
@pytest.mark.parametrize("kind", ["classic", "quorum"])
def test_an_argument_of_any_type_and_size(kind: str, name: str) -> None:
    for value in (
        *(long(number) for number in (*SIZES, -1, -MAX_INT - 1) if -MAX_INT - 1 <= number <= MAX_INT),
        timestamp((1 << 64) - 1),
        Field(fields.FLOAT64, 1e300),
        Field(fields.BOOLEAN, True),
        longstr("9" * 5000),
        Field(fields.VOID, None),
        table({}),
    ):
        peer = Peer()
        peer.send(QueueDeclare("q", durable=True, arguments={"x-queue-type": longstr(kind), name: value}))
        (got,) = peer.got()
        if isinstance(got.method, QueueDeclareOk):
            peer.send(BasicPublish("", "q"), b"m")
            peer.broker.tick(peer.broker.clock.now_ms + 1)
            peer.send(BasicGet("q", False))
            peer.send(BasicNack(1, False, True))
            peer.broker.tick(peer.broker.clock.now_ms + YEAR_MS)
            found = [each.method for each in peer.got()]
        else:
            found = [got.method]
        for method in found:
            assert not isinstance(method, ConnectionClose), (value, method)
            assert not isinstance(method, ChannelClose) or method.reply_code != INTERNAL_ERROR, (value, method)
        assert peer.broker.faults.told == []


@pytest.mark.parametrize("size", [(1 << 63) - 1, 1 << 63, 10**20, -(10**20)])
def test_limits_of_any_size(size: int) -> None:
    broker = make_broker()
    limits.set_vhost_limits(broker, "/", {"max-queues": size})
    kept = min(max(size, -MAX_INT - 1), MAX_INT)
    assert broker.vhosts["/"].limits == {"max-queues": kept}
    Peer(broker).call(QueueDeclare("q"), QueueDeclareOk)


def test_a_window_that_nothing_leaves() -> None:
    broker = make_broker()
    first, second = Peer(broker), Peer(broker)
    digits = longstr("9" * 5000)
    arguments: Table = {"x-cache-size": digits, "x-cache-ttl": digits}
    first.call(ExchangeDeclare("x", "x-message-deduplication", durable=True, arguments=arguments), ExchangeDeclareOk)
    first.call(QueueDeclare("q", durable=True), QueueDeclareOk)
    first.call(QueueBind("q", "x", ""), QueueBindOk)
    properties = BasicProperties()
    for peer in (first, second):
        peer.call(ConfirmSelect(), ConfirmSelectOk)
        for value, ttl in (("a", long(MAX_INT)), ("b", long(1)), ("c", long(-MAX_INT))):
            properties.headers = {"x-deduplication-header": longstr(value), "x-cache-ttl": ttl}
            peer.send(BasicPublish("x", ""), value.encode(), properties)
            assert isinstance(peer.got()[0].method, BasicAck)
        broker.tick(broker.clock.now_ms + 100 * YEAR_MS)
    assert [message.message.body() for message in broker.vhosts["/"].queues["q"].ready.items()] == [
        b"a",
        b"b",
        b"c",
        b"b",
    ]


def life(kept: Kept) -> Peer:
    """A client of a broker that was killed."""
    log = MemoryLog(kept=kept)
    broker = Broker(log, log, Clock(0, 1_700_000_000_000), seed=len(kept.definitions), node="test")
    log.listener = broker.news
    broker.recover()
    turn(broker)
    return Peer(broker)


@pytest.mark.parametrize("name", ["x-acquired-count", "x-delivery-count"])
@pytest.mark.parametrize("value", [long(MAX_INT), long(-5), longstr("x"), timestamp((1 << 64) - 1)])
def test_counts_that_a_client_has_written(name: str, value: Field) -> None:
    kept = Kept()
    peer = life(kept)
    peer.call(QueueDeclare("q", durable=True, arguments={"x-queue-type": longstr("quorum")}), QueueDeclareOk)
    properties = BasicProperties()
    properties.headers = {name: value}
    peer.send(BasicPublish("", "q"), b"m", properties)
    assert peer.got() == []
    for queue in kept.messages:
        kept.delivered[queue] = MAX_INT  # after a kill all messages may have been delivered
    peer = life(kept)
    counts: list[tuple[Field | None, Field | None]] = []
    for back in (BasicNack(1, False, True), BasicReject(2, True), BasicNack(3, False, True)):
        peer.send(BasicGet("q", False))
        (got,) = peer.got()
        assert isinstance(got.method, BasicGetOk)
        assert got.method.redelivered
        assert got.properties is not None
        headers = got.properties.headers or {}
        counts.append((headers.get("x-acquired-count"), headers.get("x-delivery-count")))
        peer.send(back)
        assert peer.got() == []
    acquired, failed = (value, None) if name == "x-acquired-count" else (None, value)
    assert counts == [(acquired, failed), (long(1), failed), (long(2), long(1))]


TIMES = [(5, signedint(5)), (1 << 31, long(1 << 31)), (MAX_INT, long(MAX_INT)), (1 << 63, timestamp(1 << 63))]


@pytest.mark.parametrize(("seconds", "shown"), [*TIMES, ((1 << 64) - 1, timestamp((1 << 64) - 1))])
def test_traces_of_any_time_and_long_names(seconds: int, shown: Field) -> None:
    broker = make_broker()
    vhost = broker.vhosts["/"]
    vhost.watch(True, None)
    peer, watcher = Peer(broker), Peer(broker)
    name = "\u00e4" * 127 + "q"
    for queue in (name, "t"):
        peer.call(QueueDeclare(queue), QueueDeclareOk)
    peer.call(QueueBind("t", "amq.rabbitmq.trace", "#"), QueueBindOk)
    peer.call(BasicConsume(name, "c", no_ack=True), BasicConsumeOk)
    properties = BasicProperties()
    properties.timestamp = seconds
    peer.send(BasicPublish("", name), b"m", properties)
    (got,) = peer.got()
    assert isinstance(got.method, BasicDeliver)
    assert got.properties is not None
    assert got.properties.timestamp == seconds
    for key in ("publish.", f"deliver.{name}".encode()[:255].decode("utf-8", "ignore")):
        watcher.send(BasicGet("t", True))
        (trace,) = watcher.got()
        assert isinstance(trace.method, BasicGetOk)
        assert trace.method.routing_key == key
        assert trace.properties is not None
        assert trace.properties.headers is not None
        found = trace.properties.headers["properties"].value
        assert isinstance(found, dict)
        assert found["timestamp"] == shown


DEATHS: list[Field] = [
    longstr("x"),
    array([]),
    array([long(1)]),
    array([table({})]),
    array([table({"queue": longstr("q"), "reason": longstr("rejected")})]),
    array([table({"queue": longstr("q"), "reason": longstr("rejected"), "count": long(MAX_INT)})]),
    array([table({"queue": longstr("q"), "reason": longstr("rejected"), "count": longstr("x")})]),
    array([table({"queue": long(1), "reason": long(1), "count": long(1)})]),
]


@pytest.mark.parametrize("deaths", DEATHS)
@pytest.mark.parametrize("has_died", [False, True])
def test_deaths_that_somebody_has_written(has_died: bool, deaths: Field) -> None:
    peer = Peer()
    peer.call(QueueDeclare("dead"), QueueDeclareOk)
    arguments: Table = {"x-dead-letter-exchange": longstr(""), "x-dead-letter-routing-key": longstr("dead")}
    peer.call(QueueDeclare("q", arguments=arguments), QueueDeclareOk)
    properties = BasicProperties()
    properties.headers = {"x-death": deaths}
    content = make_content(properties.encode(), b"m")
    # As an import brings it, for example: has_died says that the broker itself has written the header.
    peer.broker.vhosts["/"].queues["q"].publish(Message(address("", "q"), content, False, has_died), None)
    peer.call(BasicGet("q", False), BasicGetOk)
    peer.send(BasicReject(1, False))
    peer.send(BasicGet("dead", True))
    (got,) = peer.got()
    assert isinstance(got.method, BasicGetOk)
    assert got.properties is not None
    found = (got.properties.headers or {})["x-death"].value
    assert isinstance(found, list)
    first = found[0].value
    assert isinstance(first, dict)
    assert (first["queue"], first["reason"]) == (longstr("q"), longstr("rejected"))
    assert 1 <= first["count"].integer <= MAX_INT
    assert peer.broker.faults.told == []


NUMBERS = st.sampled_from([-MAX_INT - 1, -1, 0, 1, 999, 1 << 31, 1 << 48, MAX_INT]) | st.integers(-MAX_INT - 1, MAX_INT)
VALUES = st.one_of(
    NUMBERS.map(long),
    st.integers(0, (1 << 64) - 1).map(timestamp),
    st.floats(allow_nan=False, allow_infinity=False).map(lambda number: Field(fields.FLOAT64, number)),
    st.sampled_from(["", "-1", "0", "7", "9" * 19, "9" * 5000, "x"]).map(longstr),
    st.booleans().map(lambda value: Field(fields.BOOLEAN, value)),
    st.sampled_from([*DEATHS, Field(fields.VOID, None), table({}), Field(fields.DECIMAL, (255, 4294967295))]),
)
READ = (
    *("x-delay", "x-cache-ttl", "x-deduplication-header", "x-acquired-count", "x-delivery-count", "x-death"),
    *("x-first-death-queue", "x-recent-history-no-store", "hash-on", "x-match"),
)


@given(st.data())
def test_headers_and_properties_of_any_value(data: st.DataObject) -> None:
    kept = Kept()
    peer = life(kept)
    peer.broker.vhosts["/"].watch(True, None)
    arguments: list[Table] = [
        {"x-max-priority": long(5)},
        {"x-queue-type": longstr("quorum"), "x-delivery-limit": long(2)},
        {"x-message-deduplication": Field(fields.BOOLEAN, True), "x-max-length": long(3)},
        {"x-message-ttl": long(1000)},
        {},
    ]
    kinds = [kind for kind in TYPES if kind != "x-local-random"]  # which takes exclusive queues only
    for at, argument in enumerate(arguments):
        if at < 4:
            argument |= {"x-dead-letter-exchange": longstr("")}
            argument |= {"x-dead-letter-routing-key": longstr(f"q{at + 1}")}
        peer.call(QueueDeclare(f"q{at}", durable=True, arguments=argument), QueueDeclareOk)
    for kind in kinds:
        more: Table = {
            "x-cache-size": long(3),
            "x-delayed-type": longstr("fanout"),
            "x-max-hops": long(2),
            "x-message-deduplication": Field(fields.BOOLEAN, kind != "topic"),
            **({"hash-property": longstr("timestamp")} if kind == "x-consistent-hash" else {}),
        }
        peer.call(ExchangeDeclare(kind, kind, durable=True, arguments=more), ExchangeDeclareOk)
        for at in range(len(arguments)):
            peer.call(QueueBind(f"q{at}", kind, "1"), QueueBindOk)
    for _ in range(data.draw(st.integers(1, 6))):
        properties = BasicProperties()
        properties.delivery_mode = data.draw(st.sampled_from([None, 0, 1, 2, 255]))
        properties.priority = data.draw(st.sampled_from([None, 0, 255]))
        properties.timestamp = data.draw(st.none() | st.sampled_from([0, 1 << 31, 1 << 63, (1 << 64) - 1]))
        properties.expiration = data.draw(st.sampled_from([None, "0", "7", "315360000000"]))
        properties.headers = data.draw(st.dictionaries(st.sampled_from(READ), VALUES, max_size=4))
        peer.send(BasicPublish(data.draw(st.sampled_from(kinds)), "1"), b"m", properties)
        assert peer.got() == []
        peer.broker.tick(peer.broker.clock.now_ms + data.draw(st.sampled_from([0, 1, 1000])))
        if data.draw(st.booleans()):
            assert peer.broker.faults.told == []
            peer = life(kept)
        queue = f"q{data.draw(st.integers(0, len(arguments) - 1))}"
        peer.send(BasicGet(queue, False))
        (got,) = peer.got()
        if isinstance(got.method, BasicGetOk):
            tag = got.method.delivery_tag
            peer.send(
                data.draw(st.sampled_from([BasicNack(tag, False, True), BasicReject(tag, True), BasicReject(tag)]))
            )
            assert peer.got() == []
    peer.broker.tick(peer.broker.clock.now_ms + YEAR_MS)
    peer.broker.finish()
    assert peer.got() == []
    assert peer.broker.faults.told == []
    assert not [queue.name for queue in peer.broker.queues() if queue.fault]
