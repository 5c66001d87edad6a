"""py-amqp: the client below Celery and kombu, which decides itself when it reads."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import amqp
import pytest
from amqp.exceptions import MessageNacked

from tests.brokers.process import Server
from tests.clients.waiting import eventually

from .conftest import BIG, HEADERS


def open_connection(url: str, **more: Any) -> Any:
    """An open connection."""
    parts = urlsplit(url)
    connection = amqp.Connection(host=f"{parts.hostname}:{parts.port}", userid="guest", password="guest", **more)
    connection.connect()
    return connection


def octets(body: str | bytes) -> bytes:
    """A body, of which it makes text where it can."""
    return body.encode() if isinstance(body, str) else body


@pytest.fixture
def connection(amqp_url: str) -> Iterator[Any]:
    """A connection in confirm mode, as Celery can use it."""
    connection = open_connection(amqp_url, confirm_publish=True)
    yield connection
    connection.close()


@pytest.fixture
def channel(connection: Any) -> Any:
    """A channel of it."""
    return connection.channel()


def test_every_type_of_header_and_property(channel: Any) -> None:
    queue = channel.queue_declare("", exclusive=True).queue
    headers = {**HEADERS, "when": HEADERS["when"].replace(tzinfo=None)}
    said = amqp.Message(b"body", content_type="text/plain", priority=3, expiration="60000", application_headers=headers)
    channel.basic_publish(said, "", queue)
    got = channel.basic_get(queue, no_ack=True)
    assert octets(got.body) == b"body"
    assert got.headers == headers
    assert (got.properties["content_type"], got.properties["priority"]) == ("text/plain", 3)


def test_big_bodies(channel: Any) -> None:
    queue = channel.queue_declare("", exclusive=True).queue
    for body in (b"", b"x", BIG):
        channel.basic_publish_confirm(amqp.Message(body), "", queue)
    got = []
    channel.basic_consume(queue, callback=lambda message: got.append(octets(message.body)), no_ack=True)
    eventually(lambda: channel.connection.drain_events(timeout=30) or len(got) == 3)
    assert got == [b"", b"x", BIG]


def test_confirms_and_returns(connection: Any) -> None:
    channel = connection.channel()
    returned: list[Any] = []
    channel.events["basic_return"].add(lambda *said: returned.append(said[1]))
    channel.basic_publish_confirm(amqp.Message("lost"), "", "interop-nowhere", mandatory=True)
    assert len(returned) == 1
    arguments = {"x-max-length": 0, "x-overflow": "reject-publish"}
    queue = channel.queue_declare("", exclusive=True, arguments=arguments).queue
    with pytest.raises(MessageNacked):
        channel.basic_publish_confirm(amqp.Message("refused"), "", queue)


def test_transactions(amqp_url: str) -> None:
    connection = open_connection(amqp_url)
    channel = connection.channel()
    queue = channel.queue_declare("", exclusive=True).queue
    channel.tx_select()
    channel.basic_publish(amqp.Message("1"), "", queue)
    channel.tx_rollback()
    channel.basic_publish(amqp.Message("2"), "", queue)
    assert channel.basic_get(queue) is None
    channel.tx_commit()
    assert channel.basic_get(queue).body == "2"
    connection.close()


def test_prefetch_reject_and_recover(channel: Any) -> None:
    queue = channel.queue_declare("", exclusive=True).queue
    got: list[Any] = []
    channel.basic_qos(0, 2, False)
    channel.basic_consume(queue, callback=got.append)
    for number in range(4):
        channel.basic_publish(amqp.Message(str(number)), "", queue)
    drain(channel, got, 2)
    channel.basic_reject(got[0].delivery_tag, requeue=True)
    channel.basic_ack(got[1].delivery_tag)
    drain(channel, got, 4)
    again = sorted((message.body, message.delivery_info["redelivered"]) for message in got[2:])
    assert again == [("0", True), ("2", False)]
    channel.basic_recover(requeue=True)
    drain(channel, got, 6)
    assert sorted(message.body for message in got[4:]) == ["0", "2"]


def drain(channel: Any, got: list[Any], count: int) -> None:
    """Read until there are so many messages."""
    while len(got) < count:
        channel.connection.drain_events(timeout=30)


def test_cancel_notify(connection: Any) -> None:
    channel, other = connection.channel(), connection.channel()
    queue = channel.queue_declare("", exclusive=True).queue
    cancelled: list[str] = []
    channel.basic_consume(queue, callback=print, consumer_tag="mine", on_cancel=cancelled.append)
    other.queue_delete(queue)
    eventually(lambda: cancelled or connection.drain_events(timeout=30))
    assert cancelled == ["mine"]


def test_exchange_bindings(channel: Any, name: str) -> None:
    queue = channel.queue_declare("", exclusive=True).queue
    channel.exchange_declare(name, "topic", auto_delete=True)
    channel.exchange_bind(name, "amq.fanout", "")
    channel.queue_bind(queue, name, "#")
    channel.basic_publish_confirm(amqp.Message("there"), "amq.fanout", "any.key")
    assert channel.basic_get(queue, no_ack=True).body == "there"
    channel.exchange_unbind(name, "amq.fanout", "")
    channel.exchange_delete(name)


def test_errors(connection: Any, name: str) -> None:
    with pytest.raises(amqp.NotFound, match=f"no queue '{name}' in vhost '/'"):
        connection.channel().queue_declare(name, passive=True)
    with pytest.raises(amqp.PreconditionFailed, match="exchange type 'odd'"):
        connection.channel().exchange_declare(name, "odd")
    assert connection.channel().queue_declare("", exclusive=True).message_count == 0


def test_a_wrong_password(amqp_url: str) -> None:
    parts = urlsplit(amqp_url)
    connection = amqp.Connection(host=f"{parts.hostname}:{parts.port}", userid="guest", password="wrong")
    with pytest.raises(amqp.AccessRefused, match="Login was refused using authentication mechanism"):
        connection.connect()


def test_heartbeats(amqp_url: str) -> None:
    connection = open_connection(amqp_url, heartbeat=1)
    assert connection.heartbeat == 1
    deadline = time.monotonic() + 2.5
    while time.monotonic() < deadline:
        connection.heartbeat_tick()
        try:
            connection.drain_events(timeout=0.2)
        except TimeoutError:
            continue
    assert connection.channel().queue_declare("", exclusive=True).queue
    connection.close()


def test_it_asks_to_be_told_when_it_is_blocked(amqp_url: str) -> None:
    connection = open_connection(amqp_url, on_blocked=print, on_unblocked=print)
    for capability in ("connection.blocked", "consumer_cancel_notify", "publisher_confirms", "basic.nack"):
        assert connection.server_capabilities[capability] is True
    assert connection.server_properties["product"] == "RabbitMQ"
    connection.close()


def test_it_hears_that_it_is_blocked(low_disk: Server) -> None:
    heard: list[str] = []
    connection = open_connection(low_disk.url, on_blocked=heard.append, on_unblocked=print)
    channel = connection.channel()
    channel.queue_declare("blocked", exclusive=True)
    channel.basic_publish(amqp.Message("x"), routing_key="blocked")
    connection.drain_events(timeout=30)
    assert heard == ["connection blocked, see broker logs"]  # it does not look at the reason
    assert connection.connected
