"""Requests and replies without a reply queue: the pseudo-queue amq.rabbitmq.reply-to."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.clients.codec import Properties
from tests.clients.methods import QueueBind, QueueDeclare, QueueDeclareOk, QueueUnbind
from tests.clients.methods_basic import BasicAck, BasicCancel, BasicConsume, BasicDeliver, BasicPublish, BasicReturn
from tests.clients.peer import Channel, Peer
from tests.marks import differs_from_rabbitmq

from .conftest import Names

REPLY_TO = "amq.rabbitmq.reply-to"


@pytest.fixture
def server(connect: Callable[..., Peer]) -> Channel:
    """A channel on a connection of its own, which answers requests."""
    return connect().channel()


@pytest.fixture
def requests(server: Channel, names: Names) -> str:
    """The queue of the server, open to everybody."""
    return server.queue(names.queue(), exclusive=False)


def ask(client: Channel, server: Channel, requests: str, body: bytes = b"question") -> str:
    """Publish a request and return the reply-to that the server sees."""
    client.publish(requests, body, reply_to=REPLY_TO)
    server.expect_ready(requests, 1)
    reply_to = server.get(requests, no_ack=True).properties.reply_to
    assert reply_to is not None
    return reply_to


def test_request_and_reply(channel: Channel, server: Channel, requests: str) -> None:
    assert channel.consume(REPLY_TO, "replies", no_ack=True) == "replies"
    reply_to = ask(channel, server, requests)
    assert reply_to.startswith(f"{REPLY_TO}.")
    server.publish(reply_to, b"answer", correlation_id="7", headers={"a": 1})
    reply = channel.expect(BasicDeliver)
    assert reply == BasicDeliver(
        consumer_tag="replies",
        delivery_tag=1,
        routing_key=reply_to,
        body=b"answer",
        properties=Properties(correlation_id="7", headers={"a": 1}),
    )


def test_name_stays_the_same(channel: Channel, server: Channel, requests: str) -> None:
    channel.consume(REPLY_TO, no_ack=True)
    first, second = ask(channel, server, requests), ask(channel, server, requests)
    assert first == second
    for number in range(1, 4):
        server.publish(first, b"%d" % number)
        assert channel.expect(BasicDeliver).delivery_tag == number


def test_every_channel_has_its_own(peer: Peer, channel: Channel, server: Channel, requests: str) -> None:
    other = peer.channel(2)
    for client in (channel, other):
        client.consume(REPLY_TO, no_ack=True)
    names = [ask(client, server, requests) for client in (channel, other)]
    assert len(set(names)) == 2
    server.publish(names[1], b"for two")
    server.publish(names[0], b"for one")
    assert channel.expect(BasicDeliver).body == b"for one"
    assert other.expect(BasicDeliver).body == b"for two"


def test_consumer_must_not_acknowledge(channel: Channel) -> None:
    channel.expect_refused(BasicConsume(queue=REPLY_TO), 406, "reply consumer cannot acknowledge")


def test_one_consumer_per_channel(channel: Channel) -> None:
    channel.consume(REPLY_TO, no_ack=True)
    channel.expect_refused(BasicConsume(queue=REPLY_TO, no_ack=True), 406, "reply consumer already set")


def test_tag_is_a_consumer_tag_like_others(peer: Peer, channel: Channel, queue: str) -> None:
    channel.consume(queue, "tag")
    channel.send(BasicConsume(queue=REPLY_TO, consumer_tag="tag", no_ack=True))
    peer.expect_closed(530, "attempt to reuse consumer tag 'tag'", by=BasicConsume)


def test_nobody_waits_for_the_reply(channel: Channel, queue: str) -> None:
    publish = BasicPublish(routing_key=queue, properties=Properties(reply_to=REPLY_TO))
    channel.expect_refused(publish, 406, "fast reply consumer does not exist")


def test_reply_consumer_of_another_channel_does_not_count(peer: Peer, channel: Channel, queue: str) -> None:
    peer.channel(2).consume(REPLY_TO, no_ack=True)
    publish = BasicPublish(routing_key=queue, properties=Properties(reply_to=REPLY_TO))
    channel.expect_refused(publish, 406, "fast reply consumer does not exist")


def test_cancel_ends_it(channel: Channel, server: Channel, requests: str) -> None:
    channel.consume(REPLY_TO, "tag", no_ack=True)
    first = ask(channel, server, requests)
    channel.call(BasicCancel(consumer_tag="tag"))
    server.publish(first, b"too late")
    channel.expect_silence()
    channel.consume(REPLY_TO, "tag", no_ack=True)
    assert ask(channel, server, requests) != first


def test_replies_to_nobody_are_dropped(channel: Channel, server: Channel, requests: str) -> None:
    channel.consume(REPLY_TO, no_ack=True)
    reply_to = ask(channel, server, requests)
    channel.close()
    server.confirm()
    server.publish(reply_to, b"x")
    assert server.expect(BasicAck) == BasicAck(delivery_tag=1)


@differs_from_rabbitmq("RabbitMQ 4.3 takes such a reply for routed")
def test_mandatory_replies_to_nobody_are_returned(channel: Channel, server: Channel, requests: str) -> None:
    channel.consume(REPLY_TO, no_ack=True)
    reply_to = ask(channel, server, requests)
    channel.close()
    server.confirm()
    server.publish(reply_to, b"x", mandatory=True)
    assert server.expect(BasicReturn).routing_key == reply_to
    assert server.expect(BasicAck) == BasicAck(delivery_tag=1)


def test_names_that_never_were_are_unroutable(server: Channel) -> None:
    server.publish(f"{REPLY_TO}.behaviour", b"x", mandatory=True)
    server.expect(BasicReturn)


def test_replies_are_confirmed(channel: Channel, server: Channel, requests: str) -> None:
    channel.consume(REPLY_TO, no_ack=True)
    reply_to = ask(channel, server, requests)
    server.confirm()
    server.publish(reply_to, b"x", mandatory=True, delivery_mode=2)
    assert server.expect(BasicAck) == BasicAck(delivery_tag=1)
    channel.expect(BasicDeliver)


def test_reply_is_not_returned(channel: Channel, server: Channel, requests: str) -> None:
    channel.consume(REPLY_TO, no_ack=True)
    server.publish(ask(channel, server, requests), b"x", mandatory=True)
    server.expect_silence()


@pytest.mark.parametrize("passive", [False, True])
def test_declare_tells_whether_somebody_waits(channel: Channel, server: Channel, requests: str, passive: bool) -> None:
    channel.consume(REPLY_TO, "tag", no_ack=True)
    reply_to = ask(channel, server, requests)
    declare = QueueDeclare(queue=reply_to, passive=passive)
    assert server.call(declare) == QueueDeclareOk(queue=reply_to, message_count=0, consumer_count=1)
    channel.call(BasicCancel(consumer_tag="tag"))
    server.expect_refused(declare, 404, f"no queue '{reply_to}' in vhost '/'")


@pytest.mark.parametrize("passive", [False, True])
def test_declare_of_the_bare_name(channel: Channel, passive: bool) -> None:
    declare = QueueDeclare(queue=REPLY_TO, passive=passive)
    assert channel.call(declare) == QueueDeclareOk(queue=REPLY_TO, message_count=0, consumer_count=1)


@pytest.mark.parametrize("method", [QueueBind, QueueUnbind])
def test_bind(channel: Channel, server: Channel, requests: str, method: type[QueueBind | QueueUnbind]) -> None:
    channel.consume(REPLY_TO, no_ack=True)
    reply_to = ask(channel, server, requests)
    text = "cannot bind or unbind to a volatile (direct reply-to) queue"
    server.expect_refused(method(queue=reply_to, exchange="amq.direct", routing_key="x"), 403, text)


def test_bind_of_the_bare_name(channel: Channel) -> None:
    bind = QueueBind(queue=REPLY_TO, exchange="amq.direct", routing_key="x")
    channel.expect_refused(bind, 404, f"no queue '{REPLY_TO}' in vhost '/'")


def test_other_reply_queues_are_left_alone(channel: Channel, queue: str) -> None:
    channel.publish(queue, b"x", reply_to=queue)
    assert channel.get(queue).properties.reply_to == queue


def test_prefetch_does_not_apply(channel: Channel, server: Channel, requests: str) -> None:
    channel.prefetch(1)
    channel.consume(REPLY_TO, no_ack=True)
    server.publish(ask(channel, server, requests), b"1", b"2", b"3")
    assert len(channel.deliveries(3)) == 3


def test_large_replies(channel: Channel, server: Channel, requests: str) -> None:
    channel.consume(REPLY_TO, no_ack=True)
    server.publish(ask(channel, server, requests), bytes(300_000))
    assert len(channel.expect(BasicDeliver).body) == 300_000


def test_answering_on_the_own_channel(channel: Channel) -> None:
    queue = channel.queue()
    channel.consume(REPLY_TO, "replies", no_ack=True)
    channel.publish(queue, b"question", reply_to=REPLY_TO)
    channel.publish(channel.get(queue).properties.reply_to or "", b"answer")
    assert channel.expect(BasicDeliver).body == b"answer"
