"""Direct and fanout exchanges, exchanges bound to exchanges, CC and BCC, alternate exchanges."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from tests.clients.codec import Properties
from tests.clients.methods import ExchangeBind, ExchangeDeclare, ExchangeDelete, ExchangeUnbind, QueueUnbind
from tests.clients.methods_basic import BasicAck, BasicDeliver, BasicPublish, BasicReturn
from tests.clients.peer import Channel

from .conftest import Names


def chain(channel: Channel, *exchanges: str, key: str = "") -> None:
    """Bind every exchange to the next one."""
    for source, destination in pairwise(exchanges):
        channel.call(ExchangeBind(source=source, destination=destination, routing_key=key))


def test_direct(channel: Channel, names: Names) -> None:
    exchange = channel.exchange(names.exchange(), "direct")
    queues = [channel.queue() for _ in range(3)]
    for queue, key in zip(queues, ("a", "b", "a"), strict=True):
        channel.bind(queue, exchange, key)
    channel.bind(queues[0], exchange, "c")
    for key in ("a", "b", "c", "A", "", "a.b", "*", "#"):
        channel.publish(key, key.encode(), exchange=exchange)
    assert [channel.bodies(queue) for queue in queues] == [[b"a", b"c"], [b"b"], [b"a"]]


@pytest.mark.parametrize("key", ["", "*", "#", "é☃", "k" * 255])
def test_direct_takes_keys_literally(channel: Channel, names: Names, queue: str, key: str) -> None:
    exchange = channel.exchange(names.exchange(), "direct")
    channel.bind(queue, exchange, key)
    channel.publish(key, b"x", exchange=exchange)
    assert channel.bodies(queue) == [b"x"]


def test_fanout_ignores_keys(channel: Channel, names: Names) -> None:
    exchange = channel.exchange(names.exchange(), "fanout")
    queues = [channel.queue() for _ in range(3)]
    for queue, key in zip(queues, ("", "a", "b"), strict=True):
        channel.bind(queue, exchange, key)
    channel.bind(queues[0], exchange, "twice")
    channel.publish("c", b"x", exchange=exchange)
    assert [channel.bodies(queue) for queue in queues] == [[b"x"]] * 3
    channel.call(QueueUnbind(queue=queues[0], exchange=exchange, routing_key=""))
    channel.publish("c", b"y", exchange=exchange)
    assert [channel.bodies(queue) for queue in queues] == [[b"y"]] * 3


def test_no_binding_reaches_nothing(channel: Channel, names: Names, queue: str) -> None:
    exchange = channel.exchange(names.exchange(), "fanout")
    channel.publish(queue, b"x", exchange=exchange, mandatory=True)
    assert channel.expect(BasicReturn).exchange == exchange


@pytest.fixture
def exchanges(channel: Channel, names: Names) -> Callable[..., list[str]]:
    """Declare exchanges of the types given."""
    return lambda *types: [channel.exchange(names.exchange(), type_) for type_ in types]


def test_exchange_to_exchange(channel: Channel, queue: str, exchanges: Callable[..., list[str]]) -> None:
    first, second, third = exchanges("topic", "fanout", "direct")
    channel.call(ExchangeBind(source=first, destination=second, routing_key="a.#"))
    chain(channel, second, third)
    channel.bind(queue, third, "a.b")
    for key in ("a.b", "a.c", "b.b"):
        channel.publish(key, b"x", exchange=first)
    found = channel.drain(queue)
    assert [(message.exchange, message.routing_key) for message in found] == [(first, "a.b")]
    channel.call(ExchangeUnbind(source=first, destination=second, routing_key="a.#"))
    channel.publish("a.b", b"x", exchange=first)
    assert channel.bodies(queue) == []


def test_exchange_to_exchange_with_arguments(channel: Channel, queue: str, exchanges: Callable[..., list[str]]) -> None:
    first, second = exchanges("headers", "fanout")
    channel.call(ExchangeBind(source=first, destination=second, arguments={"a": 1}))
    channel.bind(queue, second)
    for value in (1, 2):
        channel.publish("", b"%d" % value, exchange=first, headers={"a": value})
    assert channel.bodies(queue) == [b"1"]


def test_cycles_are_no_harm(channel: Channel, queue: str, exchanges: Callable[..., list[str]]) -> None:
    first, second, third = exchanges("fanout", "fanout", "fanout")
    chain(channel, first, second, third, first)
    chain(channel, second, second)
    for exchange in (first, second, third):
        channel.bind(queue, exchange)
    for exchange in (first, second, third):
        channel.publish("", exchange.encode(), exchange=exchange)
    assert channel.bodies(queue) == [exchange.encode() for exchange in (first, second, third)]


def test_diamond_gives_one_copy(channel: Channel, queue: str, exchanges: Callable[..., list[str]]) -> None:
    top, left, right, bottom = exchanges("fanout", "fanout", "fanout", "fanout")
    for side in (left, right):
        chain(channel, top, side, bottom)
        channel.bind(queue, side)
    channel.bind(queue, bottom)
    channel.publish("", b"x", exchange=top)
    assert channel.bodies(queue) == [b"x"]


def test_publish_to_internal_exchange_through_another(channel: Channel, names: Names, queue: str) -> None:
    outer, inner = channel.exchange(names.exchange(), "fanout"), names.exchange()
    channel.call(ExchangeDeclare(exchange=inner, type="fanout", internal=True))
    chain(channel, outer, inner)
    channel.bind(queue, inner)
    channel.publish("", b"x", exchange=outer)
    assert channel.bodies(queue) == [b"x"]


COPIES: list[tuple[dict[str, Any], list[int], list[str]]] = [
    ({"CC": ["1"]}, [0, 1], ["CC"]),
    ({"BCC": ["1"]}, [0, 1], []),
    ({"CC": ["1"], "BCC": ["2"]}, [0, 1, 2], ["CC"]),
    ({"CC": ["0", "0", "1", "1"]}, [0, 1], ["CC"]),
    ({"CC": ["nowhere"]}, [0], ["CC"]),
    ({"CC": []}, [0], ["CC"]),
    ({"CC": [5, None, "2"]}, [0, 2], ["CC"]),
    ({"BCC": ["1"], "other": 1}, [0, 1], ["other"]),
]


@pytest.mark.parametrize(("headers", "reached", "left"), COPIES, ids=str)
@pytest.mark.parametrize("exchange", ["", "amq.direct", "amq.topic"])
def test_copies(
    channel: Channel,
    names: Names,
    headers: dict[str, Any],
    reached: list[int],
    left: list[str],
    exchange: str,
) -> None:
    queues = [channel.queue(names.plain()) for _ in range(3)]
    if exchange:
        for queue in queues:
            channel.bind(queue, exchange, queue)

    def named(key: Any) -> Any:
        return queues[int(key)] if str(key).isdigit() and isinstance(key, str) else key

    sent = {name: [named(key) for key in keys] if isinstance(keys, list) else keys for name, keys in headers.items()}
    channel.publish(queues[0], b"x", exchange=exchange, headers=sent)
    for number, queue in enumerate(queues):
        found = channel.drain(queue)
        assert len(found) == (number in reached)
        for message in found:
            assert message.routing_key == queues[0]
            assert message.properties.headers == {name: sent[name] for name in left}


@pytest.mark.parametrize("header", ["CC", "BCC"])
def test_copies_must_be_a_list(channel: Channel, queue: str, header: str) -> None:
    publish = BasicPublish(routing_key=queue, properties=Properties(headers={header: queue}))
    text = f'invalid message: {{unacceptable_type_in_header,"{header}",longstr}}'
    channel.expect_refused(publish, 406, text)


def test_copy_alone_counts_as_routed(channel: Channel, queue: str) -> None:
    channel.publish("behaviour-nowhere", b"x", mandatory=True, headers={"CC": [queue]})
    assert channel.get(queue).routing_key == "behaviour-nowhere"


def test_returned_message_keeps_copies(channel: Channel) -> None:
    headers = {"BCC": ["behaviour-1"], "CC": ["behaviour-2"]}
    channel.publish("behaviour-nowhere", b"x", mandatory=True, headers=headers)
    returned = channel.expect(BasicReturn)
    assert returned.routing_key == "behaviour-nowhere"
    assert (returned.properties.headers or {})["CC"] == ["behaviour-2"]


def test_alternate_exchange_takes_what_found_no_queue(
    channel: Channel, names: Names, exchanges: Callable[..., list[str]]
) -> None:
    (second,) = exchanges("fanout")
    first = channel.exchange(names.exchange(), "direct", alternate_exchange=second)
    routed, unrouted = channel.queue(), channel.queue()
    channel.bind(routed, first, "k")
    channel.bind(unrouted, second)
    channel.publish("k", b"1", exchange=first, mandatory=True)
    channel.publish("other", b"2", exchange=first, mandatory=True)
    assert channel.bodies(routed) == [b"1"]
    found = channel.drain(unrouted)
    assert [(message.body, message.exchange, message.routing_key) for message in found] == [(b"2", first, "other")]


def test_alternate_exchanges_in_a_chain(channel: Channel, names: Names, queue: str) -> None:
    third = channel.exchange(names.exchange(), "fanout")
    second = channel.exchange(names.exchange(), "direct", alternate_exchange=third)
    first = channel.exchange(names.exchange(), "direct", alternate_exchange=second)
    channel.bind(queue, third)
    channel.publish("k", b"x", exchange=first)
    assert channel.bodies(queue) == [b"x"]


def test_alternate_exchanges_in_a_circle(channel: Channel, names: Names, queue: str) -> None:
    one, two = names.exchange(), names.exchange()
    channel.exchange(one, "direct", alternate_exchange=two)
    channel.exchange(two, "direct", alternate_exchange=one)
    channel.bind(queue, one, "k")
    channel.publish("other", b"x", exchange=one, mandatory=True)
    assert channel.expect(BasicReturn).exchange == one
    channel.publish("k", b"y", exchange=two)
    assert channel.bodies(queue) == [b"y"]


def test_missing_alternate_exchange(channel: Channel, names: Names) -> None:
    first = channel.exchange(names.exchange(), "direct", alternate_exchange=names.plain())
    channel.publish("k", b"x", exchange=first, mandatory=True)
    channel.expect(BasicReturn)


def test_alternate_exchange_that_comes_and_goes(channel: Channel, names: Names, queue: str) -> None:
    second = names.exchange()
    first = channel.exchange(names.exchange(), "direct", alternate_exchange=second)
    channel.exchange(second, "fanout")
    channel.bind(queue, second)
    channel.publish("k", b"1", exchange=first)
    channel.call(ExchangeDelete(exchange=second))
    channel.publish("k", b"2", exchange=first)
    assert channel.bodies(queue) == [b"1"]


def test_alternate_exchange_with_confirms(channel: Channel, names: Names, queue: str) -> None:
    second = channel.exchange(names.exchange(), "fanout")
    first = channel.exchange(names.exchange(), "direct", alternate_exchange=second)
    channel.bind(queue, second)
    channel.confirm()
    channel.publish("k", b"x", exchange=first, mandatory=True)
    assert channel.expect(BasicAck).delivery_tag == 1
    channel.consume(queue)
    channel.expect(BasicDeliver)


def test_alternate_exchange_behind_another_exchange(
    channel: Channel, names: Names, queue: str, exchanges: Callable[..., list[str]]
) -> None:
    outer, fallback = exchanges("fanout", "fanout")
    inner = channel.exchange(names.exchange(), "direct", alternate_exchange=fallback)
    chain(channel, outer, inner)
    channel.bind(queue, fallback)
    channel.publish("k", b"x", exchange=outer)
    assert channel.bodies(queue) == [b"x"]
