"""pika: its blocking connection and its callback one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pika
import pika.exceptions
import pytest

from tests.brokers.process import Server

from .conftest import BIG, HEADERS


def parameters(url: str, **more: Any) -> Any:
    """Connection parameters from a URL."""
    found = pika.URLParameters(url)
    for key, value in more.items():
        setattr(found, key, value)
    return found


@pytest.fixture
def connection(amqp_url: str) -> Iterator[Any]:
    """A blocking connection."""
    connection = pika.BlockingConnection(parameters(amqp_url))
    yield connection
    if connection.is_open:
        connection.close()


@pytest.fixture
def channel(connection: Any) -> Any:
    """A channel of it."""
    return connection.channel()


def test_every_type_of_header_and_property(channel: Any) -> None:
    queue = channel.queue_declare("", exclusive=True).method.queue
    said = pika.BasicProperties(
        content_type="text/plain",
        content_encoding="utf-8",
        headers={**{key: value for key, value in HEADERS.items() if key != "float"}, "bytes": b"\xff\x00"},
        delivery_mode=2,
        priority=7,
        correlation_id="1",
        reply_to="somewhere",
        expiration="60000",
        message_id="2",
        timestamp=1_700_000_000,
        type="kind",
        user_id="guest",
        app_id="app",
        cluster_id="cluster",
    )
    channel.basic_publish("", queue, b"body", said)
    _, got, body = channel.basic_get(queue, auto_ack=True)
    assert body == b"body"
    assert isinstance(got.headers.pop("when"), datetime)
    said.headers.pop("when")
    assert vars(got) == vars(said)


def test_big_bodies_and_confirms(channel: Any) -> None:
    queue = channel.queue_declare("", exclusive=True).method.queue
    channel.confirm_delivery()
    for body in (b"", b"x", BIG):
        channel.basic_publish("", queue, body, mandatory=True)
    got = [channel.basic_get(queue, auto_ack=True)[2] for _ in range(3)]
    assert got == [b"", b"x", BIG]


def test_an_unroutable_message_is_an_exception_in_confirm_mode(channel: Any) -> None:
    channel.confirm_delivery()
    with pytest.raises(pika.exceptions.UnroutableError) as caught:
        channel.basic_publish("", "interop-nowhere", b"lost", mandatory=True)
    (returned,) = caught.value.messages
    assert (returned.method.reply_code, returned.method.reply_text, returned.body) == (312, "NO_ROUTE", b"lost")


def test_a_refused_message_is_an_exception_in_confirm_mode(channel: Any) -> None:
    arguments = {"x-max-length": 1, "x-overflow": "reject-publish"}
    queue = channel.queue_declare("", exclusive=True, arguments=arguments).method.queue
    channel.confirm_delivery()
    channel.basic_publish("", queue, b"1")
    with pytest.raises(pika.exceptions.NackError):
        channel.basic_publish("", queue, b"2")


def test_transactions(channel: Any) -> None:
    queue = channel.queue_declare("", exclusive=True).method.queue
    channel.tx_select()
    channel.basic_publish("", queue, b"rolled back")
    channel.tx_rollback()
    channel.basic_publish("", queue, b"committed")
    assert channel.basic_get(queue) == (None, None, None)
    channel.tx_commit()
    assert channel.basic_get(queue)[2] == b"committed"


def test_a_generator_of_messages_ends_when_its_queue_does(connection: Any, channel: Any) -> None:
    queue = channel.queue_declare("", exclusive=True).method.queue
    for number in range(5):
        channel.basic_publish("", queue, str(number).encode())
    got = []
    for method, _, body in channel.consume(queue):
        got.append(body)
        channel.basic_ack(method.delivery_tag)
        if len(got) == 5:
            connection.channel().queue_delete(queue)
    assert got == [b"0", b"1", b"2", b"3", b"4"]


def test_a_closed_channel_says_why_and_the_connection_goes_on(connection: Any, channel: Any, name: str) -> None:
    with pytest.raises(pika.exceptions.ChannelClosedByBroker) as caught:
        channel.queue_declare(name, passive=True)
    where = f"queue '{name}' in vhost '{connection._impl.params.virtual_host}'"
    assert (caught.value.reply_code, caught.value.reply_text) == (404, f"NOT_FOUND - no {where}")
    assert connection.channel().queue_declare("", exclusive=True).method.message_count == 0


def test_a_wrong_password(amqp_url: str) -> None:
    given = parameters(amqp_url, credentials=pika.PlainCredentials("guest", "wrong"))
    with pytest.raises(pika.exceptions.ProbableAuthenticationError, match="ACCESS_REFUSED"):
        pika.BlockingConnection(given)


def test_heartbeats_keep_an_idle_connection(amqp_url: str) -> None:
    connection = pika.BlockingConnection(parameters(amqp_url, heartbeat=1))
    channel = connection.channel()
    connection.sleep(2.5)
    assert channel.queue_declare("", exclusive=True).method.consumer_count == 0
    connection.close()


def test_a_client_without_heartbeats_is_dropped(amqp_url: str) -> None:
    connection = pika.BlockingConnection(parameters(amqp_url, heartbeat=1))
    time.sleep(3.5)
    with pytest.raises(pika.exceptions.AMQPError):
        connection.channel()


def test_it_asks_to_be_told_when_it_is_blocked(amqp_url: str) -> None:
    given = parameters(amqp_url, blocked_connection_timeout=5)
    connection = pika.BlockingConnection(given)
    connection.add_on_connection_blocked_callback(print)
    assert connection.basic_nack_supported
    assert connection.consumer_cancel_notify_supported
    assert connection.exchange_exchange_bindings_supported
    assert connection.publisher_confirms_supported
    connection.close()


def test_it_hears_that_it_is_blocked(low_disk: Server) -> None:
    heard: list[str] = []
    connection = pika.BlockingConnection(parameters(low_disk.url, blocked_connection_timeout=1))
    connection.add_on_connection_blocked_callback(lambda _, frame: heard.append(frame.method.reason))
    channel = connection.channel()
    queue = channel.queue_declare("", exclusive=True).method.queue
    channel.basic_publish("", queue, b"x")
    connection.process_data_events(time_limit=30)
    assert heard == ["low on disk"]
    with pytest.raises(pika.exceptions.ConnectionBlockedTimeout):
        connection.process_data_events(time_limit=30)


def test_reconnect_after_a_restart(server: Server, tmp_path: object) -> None:
    connection = pika.BlockingConnection(parameters(server.url))
    channel = connection.channel()
    channel.queue_declare("kept", durable=True)
    channel.confirm_delivery()
    channel.basic_publish("", "kept", b"1", pika.BasicProperties(delivery_mode=2))
    assert server.stop() == 0
    with pytest.raises(pika.exceptions.ConnectionClosedByBroker) as caught:
        channel.basic_get("kept")
    assert caught.value.reply_code == 320
    again = Server.start("--data-dir", f"{tmp_path}/data", port=server.port)
    try:
        connection = pika.BlockingConnection(parameters(again.url))
        assert connection.channel().basic_get("kept")[2] == b"1"
        connection.close()
    finally:
        assert again.stop() == 0


class Flow:
    """A SelectConnection that declares, publishes with confirms, consumes what it published, and stops."""

    def __init__(self, url: str, count: int) -> None:
        self.count = count
        self.confirmed = 0
        self.cancelled: list[Any] = []
        self.returned: list[int] = []
        self.got: list[bytes] = []
        self.queue = ""
        self.connection = pika.SelectConnection(parameters(url), on_open_callback=self.on_open)

    def run(self) -> None:
        """Until the connection is closed."""
        self.connection.ioloop.start()

    def on_open(self, connection: Any) -> None:
        """The connection is open."""
        connection.channel(on_open_callback=self.on_channel)

    def on_channel(self, channel: Any) -> None:
        """The channel is open."""
        self.channel = channel
        channel.add_on_return_callback(lambda _, method, __, ___: self.returned.append(method.reply_code))
        channel.add_on_cancel_callback(self.on_cancel)
        channel.confirm_delivery(self.on_confirm)
        channel.queue_declare("", exclusive=True, callback=self.on_queue)

    def on_queue(self, frame: Any) -> None:
        """The queue is there."""
        self.queue = frame.method.queue
        self.channel.basic_publish("", "interop-nowhere", b"", mandatory=True)
        for number in range(self.count):
            self.channel.basic_publish("", self.queue, str(number).encode())
        self.channel.basic_qos(prefetch_count=10)
        self.channel.basic_consume(self.queue, self.on_message)

    def on_confirm(self, frame: Any) -> None:
        """Some publishes are safe."""
        method = frame.method
        self.confirmed = method.delivery_tag if method.multiple else self.confirmed + 1

    def on_message(self, channel: Any, method: Any, _: Any, body: bytes) -> None:
        """A message."""
        self.got.append(body)
        channel.basic_ack(method.delivery_tag, multiple=len(self.got) % 5 == 0)
        if len(self.got) == self.count:
            channel.queue_delete(self.queue)

    def on_cancel(self, frame: Any) -> None:
        """The queue is gone."""
        self.cancelled.append(frame.method)
        self.connection.add_on_close_callback(lambda *_: self.connection.ioloop.stop())
        self.connection.close()


def test_the_callback_connection(amqp_url: str) -> None:
    flow = Flow(amqp_url, 500)
    flow.run()
    assert flow.got == [str(number).encode() for number in range(500)]
    assert flow.confirmed == 501
    assert flow.returned == [312]
    assert len(flow.cancelled) == 1
