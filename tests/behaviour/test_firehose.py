"""The firehose: copies of all messages of a traced virtual host in amq.rabbitmq.trace."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest

from tests.clients.administration import Administration
from tests.clients.codec import Properties, Reader, Timestamp, Typed
from tests.clients.methods import TxCommit, TxCommitOk, TxSelect
from tests.clients.methods_basic import BasicAck, BasicDeliver, BasicNack, BasicPublish, BasicReturn
from tests.clients.peer import Channel, Peer
from tests.marks import differs_from_rabbitmq

VHOST = f"behaviour-firehose-{os.getpid():x}"


@pytest.fixture(scope="module", autouse=True)
def vhost(administration: Administration) -> str:
    """A virtual host of these tests."""
    return administration.add_vhost(VHOST)


@pytest.fixture
def watcher(administration: Administration, connect: Callable[..., Peer]) -> Iterator[Channel]:
    """A channel that gets all copies; the virtual host is traced."""
    channel = connect(vhost=VHOST).channel()
    queue = channel.queue("")
    channel.bind(queue, "amq.rabbitmq.trace", "#")
    channel.consume(queue, no_ack=True)
    administration.trace(VHOST, True)
    yield channel
    administration.trace(VHOST, False)


@pytest.fixture
def traced(watcher: Channel, connect: Callable[..., Peer]) -> Channel:
    """Channel 3 of another connection."""
    return connect(vhost=VHOST).channel(3)


def traces(watcher: Channel, count: int) -> list[BasicDeliver]:
    """Get so many copies, which are all there are."""
    found = watcher.deliveries(count)
    watcher.expect_silence()
    return found


def known(trace: BasicDeliver) -> dict[str, object]:
    """The headers of a copy with the types that numbers have, without those that name the connection and the node."""
    assert trace.properties.raw[:2] == b"\x20\x00", "nothing but headers"
    headers = Reader(trace.properties.raw[2:], typed=True).table()
    for name in ("connection", "node"):
        assert headers.pop(name).tag == "S"
    return {name: plain(value) for name, value in headers.items()}


def plain(value: Typed) -> object:
    """Text, arrays and tables as they are, numbers with their type."""
    if value.tag == "S":
        return value.value
    if value.tag == "A":
        return [plain(item) for item in value.value]
    if value.tag == "F":
        return {name: plain(item) for name, item in value.value.items()}
    return (value.tag, value.value)


def test_a_publish(watcher: Channel, traced: Channel) -> None:
    queues = [traced.queue("") for _ in range(2)]
    for queue in queues:
        traced.bind(queue, "amq.direct", "k")
    properties = Properties(
        content_type="text/plain",
        delivery_mode=2,
        priority=3,
        expiration="60000",
        timestamp=Timestamp(1_700_000_000),
        type="greeting",
        user_id="guest",
        headers={"CC": ["c"], "BCC": ["d"], "n": 1},
    )
    traced.send(BasicPublish(exchange="amq.direct", routing_key="k", properties=properties, body=b"hello"))
    (trace,) = traces(watcher, 1)
    assert (trace.exchange, trace.routing_key, trace.body) == ("amq.rabbitmq.trace", "publish.amq.direct", b"hello")
    headers = known(trace)
    routed = headers.pop("routed_queues")
    assert isinstance(routed, list)
    assert sorted(routed) == sorted(queues)
    assert headers == {
        "channel": ("I", 3),
        "exchange_name": "amq.direct",
        "properties": {
            "user_id": "guest",
            "type": "greeting",
            "timestamp": ("I", 1_700_000_000),
            "expiration": "60000",
            "priority": ("I", 3),
            "delivery_mode": ("I", 2),
            "headers": {"CC": ["c"], "n": ("I", 1)},
            "content_type": "text/plain",
        },
        "routing_keys": ["k", "c", "d"],
        "user": "guest",
        "vhost": VHOST,
    }


def test_order_of_headers(watcher: Channel, traced: Channel) -> None:
    traced.publish(traced.queue(""), b"", type="t", message_id="m", content_type="c")
    (trace,) = traces(watcher, 1)
    headers = Reader(trace.properties.raw[2:]).table()
    assert list(headers) == sorted(headers)
    assert list(headers["properties"]) == ["type", "message_id", "content_type"]


def test_a_publish_that_goes_nowhere(watcher: Channel, traced: Channel) -> None:
    traced.publish("nowhere", b"lost", exchange="amq.direct", mandatory=True)
    traced.expect(BasicReturn)
    (trace,) = traces(watcher, 1)
    assert known(trace)["routed_queues"] == []


def test_deliveries(watcher: Channel, traced: Channel) -> None:
    queue = traced.queue("")
    traced.publish(queue, b"m", message_id="1")
    traced.expect_ready(queue, 1)
    traced.get(queue)
    traced.send(BasicNack(delivery_tag=1, requeue=True))
    traced.consume(queue)
    traced.expect(BasicDeliver)
    traced.send(BasicAck(delivery_tag=2))
    _, first, second = traces(watcher, 3)
    for trace, redelivered in ((first, 0), (second, 1)):
        assert (trace.routing_key, trace.body) == (f"deliver.{queue}", b"m")
        assert known(trace) == {
            "channel": ("I", 3),
            "exchange_name": "",
            "properties": {"message_id": "1"},
            "redelivered": ("I", redelivered),
            "routing_keys": [queue],
            "user": "guest",
            "vhost": VHOST,
        }


def test_copies_leave_no_trace(watcher: Channel, traced: Channel) -> None:
    traced.publish(traced.queue(""), b"1")
    assert len(traces(watcher, 1)) == 1
    assert traces(watcher, 0) == []


def test_a_transaction_is_traced_when_it_publishes(watcher: Channel, traced: Channel) -> None:
    traced.call(TxSelect())
    traced.publish(traced.queue(""), b"1")
    (trace,) = traces(watcher, 1)
    assert trace.routing_key == "publish."
    assert traced.call(TxCommit()) == TxCommitOk()
    assert traces(watcher, 0) == []


def test_it_ends(watcher: Channel, administration: Administration, connect: Callable[..., Peer]) -> None:
    administration.trace(VHOST, False)
    channel = connect(vhost=VHOST).channel()
    queue = channel.queue("")
    channel.publish(queue, b"1")
    channel.expect_ready(queue, 1)
    assert traces(watcher, 0) == []


@pytest.mark.parametrize("seconds", [0, (1 << 31) - 1])
def test_times(watcher: Channel, traced: Channel, seconds: int) -> None:
    traced.publish(traced.queue(""), b"", timestamp=Timestamp(seconds))
    (trace,) = traces(watcher, 1)
    assert known(trace)["properties"] == {"timestamp": ("I", seconds)}


@differs_from_rabbitmq("a time is cut to 32 bits")
@pytest.mark.parametrize(
    ("seconds", "type_"), [(1 << 31, "l"), ((1 << 63) - 1, "l"), (1 << 63, "T"), ((1 << 64) - 1, "T")]
)
def test_times_of_any_size(watcher: Channel, traced: Channel, seconds: int, type_: str) -> None:
    traced.publish(traced.queue(""), b"", timestamp=Timestamp(seconds))
    (trace,) = traces(watcher, 1)
    assert known(trace)["properties"] == {"timestamp": (type_, seconds)}


@differs_from_rabbitmq("the connection that consumes ends with 541")
def test_keys_of_long_names_are_cut(watcher: Channel, traced: Channel) -> None:
    queue = traced.queue("q" * 255)
    traced.publish(queue, b"m")
    traced.expect_ready(queue, 1)
    traced.get(queue)
    assert [trace.routing_key for trace in traces(watcher, 2)] == ["publish.", f"deliver.{queue}"[:255]]
