"""What goes wrong on request, as clients see it, and that it goes right again."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aio_pika
import aio_pika.exceptions
import pika
import pika.exceptions
import pytest

import leveret
from leveret.testing import Fault, Message, WaitTimeout
from tests.clients.methods import ChannelOpen, ChannelOpenOk
from tests.clients.peer import Channel, Peer
from tests.clients.waiting import eventually

from .conftest import LOOPS, Connect
from .support import PATIENCE_S, Call, connect, ending, is_listening, pump, raw, run

MakeLoop = Callable[[], asyncio.AbstractEventLoop]

CUT = b"\x08\x00\x00"  # of a heartbeat, before a reset


class Publisher:
    """A client of pika that publishes with confirms, and writes down what becomes of that."""

    def __init__(self, url: str, name: str = "") -> None:
        self.connection = connect(url, name)
        self._side = self.connection.channel()
        self.confirms: list[Any] = []
        self.returned: list[bytes] = []
        self.closed: list[int] = []
        self.open()

    def open(self) -> None:
        """Use a new channel."""
        self.channel = self.connection.channel()
        # BlockingChannel is not told, so that it does not wait.
        self.channel._impl.confirm_delivery(lambda frame: self.confirms.append(frame.method))
        self.channel._impl.add_on_return_callback(lambda _c, _m, _p, body: self.returned.append(body))
        self.channel._impl.add_on_close_callback(lambda _, reason: self.closed.append(getattr(reason, "reply_code", 0)))
        self.meet()

    def meet(self) -> None:
        """Wait until the broker has done all that was sent, and has said so."""
        for _ in range(3):
            self._side.basic_qos()

    def publish(self, key: str = "q", exchange: str = "", body: bytes = b"x", **properties: Any) -> str:
        """Publish a message. Returns: ack, nack, return, the code with which the channel is closed, or nothing."""
        seen = len(self.confirms), len(self.returned), len(self.closed)
        self.channel.basic_publish(exchange, key, body, pika.BasicProperties(**properties), mandatory=True)
        self.meet()
        if len(self.closed) > seen[2]:
            self.open()
            return str(self.closed[-1])
        if len(self.returned) > seen[1]:
            return "return"
        if len(self.confirms) > seen[0]:
            return "ack" if isinstance(self.confirms[-1], pika.spec.Basic.Ack) else "nack"
        return ""

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()


def consume(broker: Any, clients: Connect, name: str = "", queue: str = "q", **more: Any) -> tuple[Any, list[bytes]]:
    """A consumer, and what it gets."""
    connection = clients(broker.url, name)
    channel = connection.channel()
    channel.queue_declare(queue, durable=True)
    got: list[bytes] = []
    channel.basic_consume(queue, lambda _c, _m, _p, body: got.append(body), auto_ack=True, **more)
    broker.wait_for(queue, consumers=1)
    connection.process_data_events(0)
    return connection, got


# -- connections


def test_drop(broker: leveret.Broker, clients: Connect) -> None:
    connections = [clients(broker.url, name) for name in ("one", "two", "three")]
    assert broker.faults.drop("nobody") == 0
    assert broker.faults.drop("two") == 1
    error = ending(connections[1])
    assert isinstance(error, pika.exceptions.StreamLostError)
    connections[0].channel()
    eventually(lambda: [each.name for each in broker.connections] == ["one", "three"])
    assert broker.faults.drop() == 2
    eventually(lambda: not broker.connections)
    connect(broker.url).close()


def test_connections_by_address_and_by_queue(broker: leveret.Broker, clients: Connect) -> None:
    nameless = clients(broker.url)
    [address] = [each.name for each in broker.connections]
    consumer, _ = consume(broker, clients, "consumer")
    other, _ = consume(broker, clients, "other", "elsewhere")
    assert broker.faults.drop(address) == 1
    assert broker.faults.drop(queue="q") == 1
    assert broker.faults.drop("other", queue="q") == 0
    assert broker.faults.drop(queue="nothing") == 0
    assert isinstance(ending(nameless), pika.exceptions.StreamLostError)
    assert isinstance(ending(consumer), pika.exceptions.StreamLostError)
    assert other.is_open
    other.channel()


def test_two_of_a_name_and_other_virtual_hosts(broker: leveret.Broker, clients: Connect) -> None:
    host = broker.virtual_host("v")
    mine = [clients(host.url, "shop"), clients(host.url, "shop")]
    other = clients(broker.url, "shop")
    assert host.faults.drop("shop") == 2
    for connection in mine:
        assert isinstance(ending(connection), pika.exceptions.StreamLostError)
    other.channel()


def test_what_was_not_acknowledged_comes_back(broker: leveret.Broker, clients: Connect) -> None:
    channel = clients(broker.url).channel()
    channel.queue_declare("q")
    broker.publish("x", "q")
    channel.basic_get("q")
    broker.faults.drop()
    [message] = broker.wait_for("q")
    assert message.redelivered


def test_reset(broker: leveret.Broker) -> None:
    client = raw(broker.host, broker.port)
    assert broker.faults.reset() == 1
    assert client.link.rest() == (CUT, True)
    eventually(lambda: not broker.connections)
    client.link.close()


@pytest.mark.parametrize("after", [1, 7, 100])
def test_reset_after_some_bytes(broker: leveret.Broker, after: int) -> None:
    client = raw(broker.host, broker.port)
    channel = client.channel()
    broker.declare_queue("q")
    channel.consume("q", no_ack=True)
    assert broker.faults.reset(after=after) == 1
    broker.publish("x" * 1000, "q")
    data, was_reset = client.link.rest()
    assert (len(data), data[after:], was_reset) == (after + len(CUT), CUT, True)
    client.link.close()


def test_reset_with_pika(broker: leveret.Broker, clients: Connect) -> None:
    connection, got = consume(broker, clients)
    broker.faults.reset(after=2000)
    for _ in range(5):
        broker.publish(b"x" * 100, "q")
    pump(connection, lambda: len(got) == 5)
    for _ in range(15):
        broker.publish(b"x" * 100, "q")
    assert isinstance(ending(connection), pika.exceptions.StreamLostError)
    assert 5 <= len(got) < 20


@pytest.mark.parametrize("code", [320, 404, 501, 530, 541])
def test_close(broker: leveret.Broker, clients: Connect, code: int) -> None:
    connections = [clients(broker.url, name) for name in ("one", "two")]
    assert broker.faults.close("one", code, "so it is") == 1
    error = ending(connections[0])
    assert isinstance(error, pika.exceptions.ConnectionClosedByBroker)
    assert error.reply_code == code
    assert error.reply_text.endswith(" - so it is")
    connections[1].channel()
    eventually(lambda: len(broker.connections) == 1)


def test_close_as_it_is_by_default(broker: leveret.Broker, clients: Connect) -> None:
    connection = clients(broker.url)
    broker.faults.close()
    error = ending(connection)
    assert isinstance(error, pika.exceptions.ConnectionClosedByBroker)
    assert (error.reply_code, error.reply_text) == (320, "CONNECTION_FORCED - for a test")
    eventually(lambda: not broker.connections)
    assert broker.faults.close() == 0


def test_codes_that_there_are_not(broker: leveret.Broker) -> None:
    for fault in (broker.faults.close, broker.faults.close_channels, broker.faults.refuse):
        with pytest.raises(ValueError, match="AMQP has no reply code 200; choose from 311, 312"):
            fault(code=200)
    with pytest.raises(ValueError, match="320 is not a channel error; choose from 311, 403, 404, 405, 406"):
        broker.faults.close_channels(320)
    with pytest.raises(ValueError, match="not 'tired'"):
        broker.faults.block("tired")


def test_a_text_that_is_too_long(broker: leveret.Broker, clients: Connect) -> None:
    connection = clients(broker.url)
    channel = connection.channel()
    broker.faults.close_channels(text="ü" * 300)
    pump(connection, lambda: channel.is_closed)
    broker.faults.close(text="ü" * 300)
    error = ending(connection)
    assert isinstance(error, pika.exceptions.ConnectionClosedByBroker)
    assert "üüü" in error.reply_text


def test_silence(broker: leveret.Broker, clients: Connect) -> None:
    connection, got = consume(broker, clients, "one")
    other, others = consume(broker, clients, "two", "elsewhere")
    fault = broker.faults.silence("one")
    broker.publish("lost", "q")
    broker.publish("there", "elsewhere")
    pump(other, lambda: others == [b"there"])
    connection.process_data_events(0.05)
    assert got == []
    assert len(broker.connections) == 2
    fault.end()
    assert broker.faults.drop("one") == 1
    assert isinstance(ending(connection), pika.exceptions.StreamLostError)
    assert got == []


@pytest.mark.parametrize("after", [1, 50])
def test_silence_after_some_bytes(broker: leveret.Broker, after: int) -> None:
    client = raw(broker.host, broker.port)
    broker.faults.silence(after=after)
    for number in range(1, 20):
        Channel(client.link, number).send(ChannelOpen())
    eventually(lambda: broker.connections[0].channels == 19)
    broker.faults.drop()
    data, _ = client.link.rest()
    assert len(data) == after
    client.link.close()


def test_slow(broker: leveret.Broker, clients: Connect) -> None:
    connection, got = consume(broker, clients, "one")
    with broker.faults.slow(100_000, "one"):
        began = time.monotonic()
        broker.publish(b"x" * 30_000, "q")
        pump(connection, lambda: got)
        assert time.monotonic() - began > 0.25
        assert got == [b"x" * 30_000]


def test_what_waits_when_slow_ends(broker: leveret.Broker, clients: Connect) -> None:
    connection, got = consume(broker, clients)
    bodies = [b"a" * 50_000, b"b" * 50_000, b"c"]
    with broker.faults.slow(1000):
        broker.publish(bodies[0], "q")
        broker.publish(bodies[1], "q")
        connection.process_data_events(0.05)
        assert got == []
    broker.publish(bodies[2], "q")
    pump(connection, lambda: len(got) == 3)
    assert got == bodies


def test_clients_that_come_later_are_not_slow(broker: leveret.Broker) -> None:
    with broker.faults.slow(1):
        connect(broker.url).close()


def test_slow_and_many_small_messages(broker: leveret.Broker, clients: Connect) -> None:
    connection, got = consume(broker, clients)
    with broker.faults.slow(20_000):
        began = time.monotonic()
        for _ in range(100):
            broker.publish(b"x" * 50, "q")  # more than 10 000 bytes
        pump(connection, lambda: len(got) == 100)
        assert time.monotonic() - began > 0.4


def test_very_slow(broker: leveret.Broker, clients: Connect) -> None:
    connection, got = consume(broker, clients)
    with broker.faults.slow(10):
        broker.publish("", "q")  # some 60 bytes
        began = time.monotonic()
        while not got and time.monotonic() < began + 1.5:
            connection.process_data_events(0.05)
        assert got == []


def test_idle_when_a_slow_client_has_everything(broker: leveret.Broker, clients: Connect) -> None:
    consume(broker, clients)
    with broker.faults.slow(1000):
        broker.publish(b"x" * 50_000, "q")
        with pytest.raises(WaitTimeout):
            broker.wait_until_idle(timeout=0.2)


def test_refuse_connections(broker: leveret.Broker, clients: Connect) -> None:
    there = clients(broker.url)
    for _ in range(3):
        with broker.faults.refuse_connections():
            assert not is_listening(broker.port)
            with pytest.raises(pika.exceptions.AMQPConnectionError):
                connect(broker.virtual_host("v").url)
            there.channel()
        connect(broker.url).close()
    there.channel()


def test_refuse_connections_with_tls() -> None:
    with leveret.Broker(tls=True) as broker:
        options = pika.SSLOptions(ssl.create_default_context(cafile=str(broker.ca_file)), "localhost")
        port = int(broker.tls_url.rsplit(":", 1)[1].strip("/"))
        with broker.faults.refuse_connections():
            assert not is_listening(port)
            assert not is_listening(broker.port)
        connect(broker.tls_url, ssl_options=options).close()
        connect(broker.url).close()


def test_refuse_connections_over_ipv6() -> None:
    try:
        broker = leveret.Broker(host="::1")
        broker.start()
    except Exception as error:
        pytest.skip(f"this machine has no IPv6: {error}")
    try:
        broker.faults.refuse_connections().end()
        connect(broker.url).close()
    finally:
        broker.stop()


def test_refuse_logins(broker: leveret.Broker, clients: Connect) -> None:
    there = clients(broker.url)
    with broker.faults.refuse_logins(), pytest.raises(pika.exceptions.ProbableAuthenticationError):
        connect(broker.url)
    there.channel()
    connect(broker.url).close()


def test_freeze(broker: leveret.Broker, clients: Connect) -> None:
    connection, got = consume(broker, clients)
    publisher = clients(broker.url).channel()
    with broker.faults.freeze():
        late = Call(lambda: raw(broker.host, broker.port))
        publisher.basic_publish("", "q", b"x")
        connection.process_data_events(0.1)
        assert got == []
        assert not late.is_done
        assert (broker.queue("q").ready, len(broker.connections)) == (0, 2)
        with pytest.raises(WaitTimeout):
            broker.wait_for_published(timeout=0.05)
    late.result().link.close()
    pump(connection, lambda: got == [b"x"])


def test_freeze_one_connection(broker: leveret.Broker, clients: Connect) -> None:
    frozen, got = consume(broker, clients, "frozen")
    other, others = consume(broker, clients, "other", "elsewhere")
    channel = frozen.channel()
    with broker.faults.freeze("frozen"):
        channel.basic_publish("", "elsewhere", b"late")
        broker.publish("1", "q")
        broker.publish("1", "elsewhere")
        pump(other, lambda: others == [b"1"])
        frozen.process_data_events(0.05)
        assert got == []
    broker.publish("2", "q")
    pump(frozen, lambda: got == [b"1", b"2"])
    pump(other, lambda: others == [b"1", b"late"])


@pytest.mark.parametrize("reason", ["low on memory", "low on disk"])
@pytest.mark.parametrize("name", [None, "shop"])
def test_block(broker: leveret.Broker, clients: Connect, reason: str, name: str | None) -> None:
    connection = clients(broker.url, "shop")
    consumer, got = consume(broker, clients, "consumer")
    channel = connection.channel()
    blocked: list[str] = []
    unblocked: list[Any] = []
    connection.add_on_connection_blocked_callback(lambda _, frame: blocked.append(frame.method.reason))
    connection.add_on_connection_unblocked_callback(lambda _, frame: unblocked.append(frame))
    with broker.faults.block(reason, name):
        channel.basic_publish("", "q", b"1")
        pump(connection, lambda: blocked)
        channel.basic_publish("", "q", b"2")
        connection.process_data_events(0)
        assert (blocked, unblocked) == ([reason], [])
        broker.publish("mine", "q")
        pump(consumer, lambda: b"mine" in got)
        if name is not None:
            consumer.channel().basic_publish("", "q", b"other")
            pump(consumer, lambda: b"other" in got)
        assert b"2" not in got  # 1 may have come in with what was read
    pump(connection, lambda: unblocked)
    pump(consumer, lambda: b"2" in got)
    assert blocked == [reason]


def test_block_and_a_client_that_does_not_know_of_it(broker: leveret.Broker) -> None:
    client = raw(broker.host, broker.port)  # it has no capabilities
    channel, other = client.channel(), Channel(client.link, 2)
    with broker.faults.block():
        channel.publish("q", b"")
        broker.wait_for_published()
        channel.publish("q", b"")
        other.send(ChannelOpen())
        time.sleep(0.05)  # nothing may happen
        assert len(broker.published()) == 1
    broker.wait_for_published(2)
    other.expect(ChannelOpenOk)
    client.expect_silence()  # neither blocked nor unblocked
    client.link.close()


# -- channels and consumers


@pytest.mark.parametrize("code", [403, 404, 405, 406])
def test_close_channels(broker: leveret.Broker, clients: Connect, code: int) -> None:
    connection = clients(broker.url, "one")
    channels = [connection.channel(), connection.channel()]
    other = clients(broker.url, "two").channel()
    assert broker.faults.close_channels(code, "because", "one") == 2
    for channel in channels:
        until_closed(connection, channel)
        reason = channel._closing_reason
        assert isinstance(reason, pika.exceptions.ChannelClosedByBroker)
        assert reason.reply_code == code
        assert reason.reply_text.endswith(" - because")
    other.queue_declare("q")
    connection.channel().queue_declare("q")
    assert broker.faults.close_channels(connection="one") == 1


def test_close_channels_that_consume(broker: leveret.Broker, clients: Connect) -> None:
    connection, _ = consume(broker, clients)
    idle = connection.channel()
    assert broker.faults.close_channels(queue="q") == 1
    assert broker.queue("q").consumers == []
    idle.queue_declare("other")
    assert idle.is_open


def test_cancel_consumers(broker: leveret.Broker, clients: Connect) -> None:
    connection, got = consume(broker, clients, "one")
    consume(broker, clients, "one", "elsewhere")
    cancelled: list[Any] = []
    channel = connection.channel()
    channel.queue_declare("temporary", auto_delete=True)
    channel.add_on_cancel_callback(cancelled.append)
    channel.basic_consume("temporary", lambda *_: None)
    channel.basic_consume("q", lambda *_: None, consumer_tag="second")
    assert broker.faults.cancel_consumers("q", "nobody") == 0
    assert broker.faults.cancel_consumers("q") == 2
    assert broker.queue("q").consumers == []
    pump(connection, lambda: cancelled)
    assert [frame.method.consumer_tag for frame in cancelled] == ["second"]
    broker.publish("stays", "q")
    assert broker.queue("q").ready == 1
    assert broker.faults.cancel_consumers() == 2
    assert [queue.name for queue in broker.queues] == ["elsewhere", "q"]
    channel.basic_consume("q", lambda _c, _m, _p, body: got.append(body), auto_ack=True)
    pump(connection, lambda: got == [b"stays"])


def test_cancelled_consumers_keep_what_they_have(broker: leveret.Broker, clients: Connect) -> None:
    connection = clients(broker.url)
    channel = connection.channel()
    channel.queue_declare("q")
    tags: list[int] = []
    channel.basic_consume("q", lambda _c, method, _p, _b: tags.append(method.delivery_tag))
    broker.publish("x", "q")
    pump(connection, lambda: tags)
    broker.faults.cancel_consumers("q")
    assert (broker.queue("q").ready, broker.queue("q").unacked) == (0, 1)
    channel.basic_ack(tags[0])
    broker.wait_until_idle()
    assert (broker.queue("q").ready, broker.queue("q").unacked) == (0, 0)


def until_closed(connection: Any, channel: Any) -> None:
    """Wait until a client knows that its channel is closed."""
    pump(connection, lambda: channel.is_closed)


# -- publishes

HITS: dict[str, tuple[Callable[..., Fault], str]] = {
    "nack": (lambda faults, **more: faults.nack(**more), "nack"),
    "unroute": (lambda faults, **more: faults.unroute(**more), "return"),
    "refuse": (lambda faults, **more: faults.refuse(**more), "403"),
    "delay": (lambda faults, **more: faults.delay_confirms(3600, **more), ""),
}
HOLD: tuple[Callable[..., Fault], str] = (lambda faults, **more: faults.hold_confirms(**more), "")
each_fault = pytest.mark.parametrize(("begin", "hit"), HITS.values(), ids=HITS)
each_fault_and_hold = pytest.mark.parametrize(("begin", "hit"), [*HITS.values(), HOLD], ids=[*HITS, "hold"])


@each_fault
def test_the_next_publish(broker: leveret.Broker, begin: Callable[..., Fault], hit: str) -> None:
    broker.declare_queue("q")
    publisher = Publisher(broker.url)
    assert publisher.publish() == "ack"
    begin(broker.faults)
    assert [publisher.publish(body=b"1"), publisher.publish(body=b"2")] == [hit, "ack"]
    arrives = [b"x", b"1", b"2"] if hit == "" else [b"x", b"2"]
    assert [message.body for message in broker.queue("q").messages] == arrives
    publisher.close()


@each_fault
def test_by_count(broker: leveret.Broker, begin: Callable[..., Fault], hit: str) -> None:
    broker.declare_queue("q")
    publisher = Publisher(broker.url)
    begin(broker.faults, count=3)
    assert [publisher.publish() for _ in range(5)] == [hit, hit, hit, "ack", "ack"]
    with begin(broker.faults, count=3):
        assert publisher.publish() == hit
    assert publisher.publish() == "ack"
    with begin(broker.faults, count=None):
        assert {publisher.publish() for _ in range(5)} == {hit}
    assert publisher.publish() == "ack"
    publisher.close()


@each_fault
def test_none_of_them(broker: leveret.Broker, begin: Callable[..., Fault], hit: str) -> None:
    broker.declare_queue("q")
    publisher = Publisher(broker.url)
    begin(broker.faults, count=0)
    assert publisher.publish() == "ack"
    publisher.close()


@each_fault_and_hold
def test_by_queue(broker: leveret.Broker, begin: Callable[..., Fault], hit: str) -> None:
    for queue in ("q", "other", "third"):
        broker.declare_queue(queue)
    for queue in ("q", "other"):
        broker.bind(queue, "amq.fanout")
    publisher = Publisher(broker.url)
    with begin(broker.faults, queue="q"):
        assert [publisher.publish("other"), publisher.publish("third")] == ["ack", "ack"]
        assert publisher.publish(exchange="amq.fanout") == hit
    begin(broker.faults, queue="not there")
    assert publisher.publish() == "ack"
    publisher.close()


@each_fault_and_hold
def test_by_connection(broker: leveret.Broker, begin: Callable[..., Fault], hit: str) -> None:
    broker.declare_queue("q")
    nameless = Publisher(broker.url)
    [address] = [each.name for each in broker.connections]
    publishers = [nameless, *(Publisher(broker.url, name) for name in ("one", "two"))]
    for name, expected in (("two", ["ack", "ack", hit]), (address, [hit, "ack", "ack"]), ("none", ["ack"] * 3)):
        with begin(broker.faults, connection=name):
            assert [publisher.publish() for publisher in publishers] == expected
    for publisher in publishers:
        publisher.close()


@each_fault
def test_by_virtual_host(broker: leveret.Broker, begin: Callable[..., Fault], hit: str) -> None:
    host = broker.virtual_host("v")
    publishers = []
    for each in (broker, host):
        each.declare_queue("q")
        publishers.append(Publisher(each.url))
    begin(host.faults, count=None)
    assert [publisher.publish() for publisher in publishers] == ["ack", hit]
    broker.faults.clear()
    assert [publisher.publish() for publisher in publishers] == ["ack", hit]
    host.faults.clear()
    assert [publisher.publish() for publisher in publishers] == ["ack", "ack"]
    for publisher in publishers:
        publisher.close()


def outcomes(seed: int, begin: Callable[..., Fault], **more: Any) -> list[str]:
    """What becomes of 60 publishes."""
    with leveret.Broker(seed=seed) as broker:
        broker.declare_queue("q")
        publisher = Publisher(broker.url)
        begin(broker.faults, **more)
        found = [publisher.publish() for _ in range(60)]
        publisher.close()
        return found


@each_fault
def test_by_rate(begin: Callable[..., Fault], hit: str) -> None:
    found = outcomes(7, begin, count=None, rate=0.3)
    assert found == outcomes(7, begin, count=None, rate=0.3)
    assert found != outcomes(8, begin, count=None, rate=0.3)
    assert 5 < found.count(hit) < 35
    assert outcomes(7, begin, count=3, rate=0.3).count(hit) == 3
    assert outcomes(7, begin, count=None, rate=0).count(hit) == 0


def test_the_first_rule_that_applies_holds(broker: leveret.Broker) -> None:
    for queue in ("q", "other"):
        broker.declare_queue(queue)
    publisher = Publisher(broker.url)
    broker.faults.unroute(queue="other")
    broker.faults.nack(count=None)
    broker.faults.refuse()
    assert [publisher.publish(), publisher.publish("other"), publisher.publish()] == ["nack", "return", "nack"]
    broker.faults.clear()
    assert publisher.publish() == "ack"
    publisher.close()


def test_refuse_with_a_code(broker: leveret.Broker, clients: Connect) -> None:
    broker.declare_queue("q")
    publisher = Publisher(broker.url)
    broker.faults.refuse(404, "gone")
    assert publisher.publish() == "404"
    publisher.close()
    connection = clients(broker.url)
    channel = connection.channel()
    broker.faults.refuse(541, "very wrong")
    channel.basic_publish("", "q", b"x")
    error = ending(connection)
    assert isinstance(error, pika.exceptions.ConnectionClosedByBroker)
    assert (error.reply_code, error.reply_text) == (541, "INTERNAL_ERROR - very wrong")


def test_refuse_for_long() -> None:
    script = """
import leveret, pika

with leveret.Broker() as broker:
    broker.faults.refuse(count=None)
    connection = pika.BlockingConnection(pika.URLParameters(broker.url))
    for _ in range(100):
        channel = connection.channel()
        channel.basic_publish("", "q", b"x")
        try:
            channel.queue_declare("q")
        except pika.exceptions.ChannelClosedByBroker:
            pass
    connection.close()
del broker
"""
    environment = {**os.environ, "PYTHONMALLOC": "debug"}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=60, env=environment)
    assert done.returncode == 0


def test_publishers_without_confirms(broker: leveret.Broker, clients: Connect) -> None:
    channel = clients(broker.url).channel()
    channel.queue_declare("q")
    broker.faults.nack()
    broker.faults.unroute()
    for body in (b"nacked", b"lost", b"there"):
        channel.basic_publish("", "q", body)
    assert [message.text for message in broker.wait_for("q")] == ["there"]
    assert [each.outcome for each in broker.published()] == ["nacked", "unroutable", "routed"]


def test_transactions(broker: leveret.Broker, clients: Connect) -> None:
    channel = clients(broker.url).channel()
    channel.queue_declare("q")
    channel.tx_select()
    broker.faults.nack()
    broker.faults.unroute()
    broker.faults.hold_confirms()
    for body in (b"nacked", b"lost", b"there"):
        channel.basic_publish("", "q", body)
    channel.tx_commit()
    assert [message.text for message in broker.wait_for("q")] == ["there"]


def test_delay_confirms(broker: leveret.Broker, clients: Connect) -> None:
    channel = clients(broker.url).channel()
    channel.queue_declare("q")
    channel.confirm_delivery()
    broker.faults.delay_confirms(60, count=2)
    for number, persistent in enumerate((1, 2), 1):
        properties = pika.BasicProperties(delivery_mode=persistent)
        call = Call(lambda properties=properties: channel.basic_publish("", "q", b"x", properties))  # type: ignore[misc]
        broker.wait_for("q", number)
        broker.clock.advance(30)
        assert not call.is_done
        broker.clock.advance(30)
        call.result()
    began = broker.clock.now()
    channel.basic_publish("", "q", b"x")
    assert broker.clock.now() - began < 60
    broker.faults.delay_confirms(0.1)
    with pytest.raises(pika.exceptions.UnroutableError):
        channel.basic_publish("", "nowhere", b"x", mandatory=True)


def test_hold_confirms(broker: leveret.Broker) -> None:
    broker.declare_queue("q")
    publisher = Publisher(broker.url)
    assert publisher.publish() == "ack"
    with broker.faults.hold_confirms():
        assert [publisher.publish(delivery_mode=mode) for mode in (1, 2, 1)] == ["", "", ""]
        assert broker.queue("q").ready == 4
        assert publisher.publish("nowhere") == "return"
    assert publisher.publish() == "ack"
    confirmed: set[int] = set()
    for ack in publisher.confirms:
        first = 1 if ack.multiple else ack.delivery_tag
        confirmed |= set(range(first, ack.delivery_tag + 1))
    assert confirmed == {1, 2, 3, 4, 5, 6}
    publisher.close()


def test_confirms_of_clients_that_are_gone(broker: leveret.Broker) -> None:
    broker.declare_queue("q")
    broker.faults.delay_confirms(60)
    fault = broker.faults.hold_confirms()
    for _ in range(2):
        publisher = Publisher(broker.url)
        assert publisher.publish() == ""
        publisher.close()
    broker.clock.advance(60)
    fault.end()
    publisher = Publisher(broker.url)
    assert publisher.publish() == "ack"
    publisher.close()


def test_only_confirms_are_delayed(broker: leveret.Broker, clients: Connect) -> None:
    broker.declare_queue("q")
    broker.faults.delay_confirms(3600, count=1)
    clients(broker.url).channel().basic_publish("", "q", b"x")
    broker.wait_for("q")
    publisher = Publisher(broker.url)
    assert publisher.publish() == ""
    publisher.close()


# -- the end of faults

LASTING: dict[str, Callable[[Any], Fault]] = {
    "silence": lambda broker: broker.faults.silence(),
    "slow": lambda broker: broker.faults.slow(10),
    "refuse_connections": lambda broker: broker.faults.refuse_connections(),
    "refuse_logins": lambda broker: broker.faults.refuse_logins(),
    "freeze": lambda broker: broker.faults.freeze(),
    "freeze_one": lambda broker: broker.faults.freeze("shop"),
    "block": lambda broker: broker.faults.block(),
    "block_one": lambda broker: broker.faults.block(connection="shop"),
    "nack": lambda broker: broker.faults.nack(count=None),
    "unroute": lambda broker: broker.faults.unroute(count=None),
    "refuse": lambda broker: broker.faults.refuse(count=None),
    "delay_confirms": lambda broker: broker.faults.delay_confirms(3600, count=None),
    "hold_confirms": lambda broker: broker.faults.hold_confirms(),
}
lasting = pytest.mark.parametrize("begin", LASTING.values(), ids=LASTING)


def works(broker: leveret.Broker) -> None:
    """A broker takes a client and confirms what it publishes."""
    publisher = Publisher(broker.url)
    publisher.channel.queue_declare("fine")
    assert publisher.publish("fine") == "ack"
    publisher.close()


@lasting
def test_ends_as_often_as_you_like(broker: leveret.Broker, begin: Callable[[Any], Fault]) -> None:
    fault = begin(broker)
    fault.end()
    fault.end()
    with fault:
        works(broker)
    works(broker)
    with begin(broker) as again:
        pass
    again.end()
    works(broker)


@lasting
def test_clear(broker: leveret.Broker, clients: Connect, begin: Callable[[Any], Fault]) -> None:
    connection = clients(broker.url, "shop")
    fault = begin(broker)
    broker.faults.clear()
    works(broker)
    fault.end()
    broker.faults.clear()
    works(broker)
    connection.channel()


def test_clear_all_at_once(broker: leveret.Broker, clients: Connect) -> None:
    connection, got = consume(broker, clients, "shop")
    for name in ("slow", "block", "nack", "hold_confirms", "refuse_logins", "refuse_connections", "freeze"):
        LASTING[name](broker)
    broker.publish(b"x" * 10_000, "q")
    broker.faults.clear()
    works(broker)
    pump(connection, lambda: got == [b"x" * 10_000])


@lasting
def test_ends_after_the_broker(clients: Connect, begin: Callable[[Any], Fault]) -> None:
    broker = leveret.Broker()
    broker.start()
    clients(broker.url, "shop")
    fault = begin(broker)
    Call(broker.stop).result()
    fault.end()
    fault.end()
    broker.faults.clear()


@lasting
def test_ends_after_the_next_start(begin: Callable[[Any], Fault]) -> None:
    broker = leveret.Broker()
    with broker:
        faults = [begin(broker), begin(broker)]
    with broker:
        for fault in faults:
            fault.end()
        works(broker)


def test_a_recording_ends_after_the_next_start(tmp_path: Path) -> None:
    broker = leveret.Broker()
    with broker:
        fault = broker.record(tmp_path / "recording")
    with broker:
        fault.end()


@lasting
def test_ends_after_a_restart(broker: leveret.Broker, clients: Connect, begin: Callable[[Any], Fault]) -> None:
    clients(broker.url, "shop")
    fault = begin(broker)
    Call(broker.restart).result()
    fault.end()
    works(broker)


@lasting
def test_ends_after_the_client(broker: leveret.Broker, clients: Connect, begin: Callable[[Any], Fault]) -> None:
    consume(broker, clients, "shop")
    fault = begin(broker)
    broker.publish(b"x" * 10_000, "q")
    broker.faults.drop()
    if begin is not LASTING["freeze"]:
        eventually(lambda: not broker.connections)
    fault.end()
    works(broker)


OVERLAPPING = ["refuse_connections", "refuse_logins", "freeze", "freeze_one", "block", "block_one"]


@pytest.mark.parametrize("name", OVERLAPPING)
def test_two_of_a_kind(broker: leveret.Broker, clients: Connect, name: str) -> None:
    channel = clients(broker.url, "shop").channel()

    def is_wrong(patience_s: float = 0.2) -> bool:
        if name == "refuse_connections":
            return not is_listening(broker.port)
        if name == "refuse_logins":
            call = Call(lambda: connect(broker.url).close())
            try:
                call.result()
            except pika.exceptions.AMQPConnectionError:
                return True
            return False
        before = len(broker.published())
        for number in (1, 2):  # the first one comes in while all are blocked, with what was read at once
            channel.basic_publish("", "q", b"x")
            try:
                broker.wait_for_published(before + number, timeout=patience_s)
            except WaitTimeout:
                return True
        return False

    first, second = LASTING[name](broker), LASTING[name](broker)
    assert is_wrong()
    first.end()
    assert is_wrong()
    second.end()
    assert not is_wrong(PATIENCE_S)


# -- restart


def fill(broker: leveret.Broker) -> None:
    """Declare and publish what is to stay, and what is not."""
    broker.declare_queue("kept", arguments={"x-max-priority": 3})
    broker.declare_queue("passing", durable=False)
    broker.declare_exchange("shop", "topic")
    broker.declare_exchange("gone", durable=False)
    broker.bind("kept", "shop", "#.order")
    broker.virtual_host("v").declare_queue("other")
    broker.define({"policies": [{"name": "p", "pattern": "^kept$", "definition": {"max-length": 10}}]})
    for text, mode, priority in (("first", 2, 0), ("lost", 1, 2), ("second", 2, 1), ("third", 2, 0)):
        broker.publish(text, "kept", delivery_mode=mode, priority=priority, headers={"a": [1]})
    broker.publish("lost", "passing", delivery_mode=2)
    broker.publish("expires", "kept", delivery_mode=2, priority=0, expiration="60000")


@pytest.mark.parametrize("clean", [True, False])
@pytest.mark.parametrize("is_on_disk", [False, True])
def test_restart_with_its_data(tmp_path: Path, is_on_disk: bool, clean: bool) -> None:
    with leveret.Broker(data_dir=tmp_path / "data" if is_on_disk else None) as broker:
        fill(broker)
        publisher = Publisher(broker.url)  # what is confirmed is safe
        publisher.publish("kept", delivery_mode=2, body=b"confirmed")
        pump(publisher.connection, lambda: publisher.confirms)
        publisher.channel.queue_declare("mine", exclusive=True)
        url, port = broker.url, broker.port
        for _ in range(2):
            broker.restart(clean=clean)
            assert (broker.url, broker.port) == (url, port)
            assert isinstance(ending(publisher.connection), pika.exceptions.AMQPConnectionError)
            assert [queue.name for queue in broker.queues] == ["kept"]
            assert broker.exchanges == ["shop"]
            assert broker.connections == []
            texts = [message.text for message in broker.queue("kept").messages]
            assert texts == ["second", "first", "third", "expires", "confirmed"]
            assert not any(message.redelivered for message in broker.queue("kept").messages)
            assert [queue.name for queue in broker.virtual_host("v").queues] == ["other"]
            publisher = Publisher(broker.url)
        assert broker.publish("x", "new.order", "shop").queues == ("kept",)
        for _ in range(10):
            broker.publish("x", "kept")
        assert broker.queue("kept").ready == 10
        publisher.close()


def test_time_goes_on_after_a_restart(broker: leveret.Broker) -> None:
    broker.declare_queue("q")
    broker.clock.advance(hours=5)
    broker.publish("x", "q", delivery_mode=2, expiration="60000")
    broker.restart()
    broker.clock.advance(50)
    assert broker.queue("q").ready == 1
    broker.clock.advance(10)
    assert broker.queue("q").ready == 0


@pytest.mark.parametrize("clean", [True, False])
@pytest.mark.parametrize("is_on_disk", [False, True])
def test_restart_without_its_data(tmp_path: Path, is_on_disk: bool, clean: bool) -> None:
    data_dir = tmp_path / "data" if is_on_disk else None
    definitions = {"queues": [{"name": "given", "vhost": "/", "durable": True}]}
    with leveret.Broker(data_dir=data_dir, definitions=definitions, users={"shop": "secret"}) as broker:
        fill(broker)
        port = broker.port
        broker.restart(keep_data=False, clean=clean)
        assert broker.port == port
        assert [queue.name for queue in broker.queues] == ["given"]
        assert broker.exchanges == []
        assert broker.virtual_host("v").queues == []
        works(broker)
        connect(broker.virtual_host("v").url).close()


def test_what_was_delivered_comes_again(broker: leveret.Broker, clients: Connect) -> None:
    channel = clients(broker.url).channel()
    channel.queue_declare("q", durable=True)
    for body in (b"taken", b"done", b"waits"):
        channel.basic_publish("", "q", body, pika.BasicProperties(delivery_mode=2))
    channel.basic_get("q")
    channel.basic_get("q", auto_ack=True)
    broker.restart()
    found = [(message.text, message.redelivered) for message in broker.queue("q").messages]
    assert found == [("taken", True), ("waits", False)]


def test_a_clean_restart_tells_the_clients(broker: leveret.Broker, clients: Connect) -> None:
    connection = clients(broker.url)
    broker.restart()
    error = ending(connection)
    assert isinstance(error, pika.exceptions.ConnectionClosedByBroker)
    assert error.reply_code == 320


def test_a_restart_that_is_not_clean_tells_nobody(broker: leveret.Broker) -> None:
    client = raw(broker.host, broker.port)
    broker.restart(clean=False)
    assert client.link.rest()[0] == b""
    client.link.close()


def test_restart_with_a_file_of_definitions_and_tls(tmp_path: Path) -> None:
    with leveret.Broker(tls=True) as broker:
        urls, ca = (broker.url, broker.tls_url), broker.ca_file
        for clean in (True, False):
            broker.restart(clean=clean)
            assert ((broker.url, broker.tls_url), broker.ca_file) == (urls, ca)
            assert ca is not None
            context = ssl.create_default_context(cafile=str(ca))
            connect(broker.tls_url, ssl_options=pika.SSLOptions(context, "localhost")).close()


def test_many_restarts_with_a_client_in_between(broker: leveret.Broker) -> None:
    broker.declare_queue("q")
    for number in range(20):
        publisher = Publisher(broker.url)
        assert publisher.publish(delivery_mode=2) == "ack"
        broker.restart(clean=number % 2 == 0)
        assert broker.queue("q").ready == number + 1


# -- with aio-pika, in the event loops that there are


def test_aio_pika(make_loop: MakeLoop) -> None:
    async def scenario() -> None:
        async with leveret.AsyncBroker() as broker:
            broker.declare_queue("q")
            connection = await aio_pika.connect(broker.url, client_properties={"connection_name": "shop"})
            channel = await connection.channel(on_return_raises=True)
            exchange = channel.default_exchange

            async def publish(body: bytes = b"x", key: str = "q") -> None:
                await asyncio.wait_for(exchange.publish(aio_pika.Message(body), key), 5)

            broker.faults.nack()
            with pytest.raises(aio_pika.exceptions.DeliveryError):
                await publish()
            broker.faults.unroute()
            with pytest.raises(aio_pika.exceptions.DeliveryError):
                await publish()
            await publish()
            with broker.faults.hold_confirms():
                held = asyncio.create_task(publish())
                await broker.wait_for("q", 2)
                assert not held.done()
            await held
            with broker.faults.freeze("shop"):
                frozen = asyncio.create_task(publish(b"late"))
                await asyncio.sleep(0.05)
                assert broker.queue("q").ready == 2
            await frozen
            broker.faults.refuse(404, "gone")
            with pytest.raises(aio_pika.exceptions.AMQPError):
                await publish()
            assert [each.outcome for each in broker.published()] == [
                "nacked",
                "returned",
                "routed",
                "routed",
                "routed",
                "refused",
            ]
            assert broker.faults.close("shop", 320, "go away") == 1
            closed = asyncio.get_running_loop().time()
            while broker.connections:
                assert asyncio.get_running_loop().time() < closed + PATIENCE_S
                await asyncio.sleep(0.01)
            with broker.faults.refuse_connections(), pytest.raises(ConnectionError):
                await aio_pika.connect(broker.url)
            with broker.faults.refuse_logins(), pytest.raises(aio_pika.exceptions.AMQPError):
                await aio_pika.connect(broker.url)
            async with await aio_pika.connect(broker.url):
                pass
            await connection.close()

    run(scenario, make_loop)


@pytest.mark.parametrize("trouble", ["drop", "reset", "close", "restart", "kill"])
def test_a_robust_connection_comes_back(make_loop: MakeLoop, trouble: str) -> None:
    async def scenario() -> None:
        async with leveret.AsyncBroker() as broker:
            connection = await aio_pika.connect_robust(broker.url, reconnect_interval=0.05)
            channel = await connection.channel()
            queue = await channel.declare_queue("q", durable=True)
            got: asyncio.Queue[bytes] = asyncio.Queue()

            async def on_message(message: aio_pika.abc.AbstractIncomingMessage) -> None:
                async with message.process():
                    await got.put(message.body)

            await queue.consume(on_message)
            broker.publish("1", "q")
            assert await asyncio.wait_for(got.get(), PATIENCE_S) == b"1"
            await broker.wait_until_idle()
            if trouble in ("restart", "kill"):
                await broker.restart(clean=trouble == "restart")
            else:
                assert getattr(broker.faults, trouble)() == 1
            broker.publish("2", "q", delivery_mode=2)
            assert await asyncio.wait_for(got.get(), PATIENCE_S) == b"2"
            await connection.close()

    run(scenario, make_loop)


def test_the_way_of_bytes_in_both_loops(make_loop: MakeLoop) -> None:
    async def scenario() -> None:
        async with leveret.AsyncBroker() as broker:

            async def connected() -> Peer:
                return await asyncio.to_thread(raw, broker.host, broker.port)

            client = await connected()
            broker.faults.reset()
            assert await asyncio.to_thread(client.link.rest) == (CUT, True)
            client.link.close()

            client = await connected()
            broker.faults.silence(after=5)
            Channel(client.link, 1).send(ChannelOpen())
            while broker.connections[0].channels == 0:
                await asyncio.sleep(0.01)
            broker.faults.drop()
            assert len((await asyncio.to_thread(client.link.rest))[0]) == 5
            client.link.close()

            client = await connected()
            with broker.faults.slow(200):
                began = time.monotonic()
                await asyncio.to_thread(client.channel)  # 16 bytes
                assert time.monotonic() - began > 0.05
            client.link.close()

    run(scenario, make_loop)


@pytest.mark.parametrize(
    "make_loop",
    [
        pytest.param(LOOPS["asyncio"], id="asyncio"),
        pytest.param(LOOPS["uvloop"], id="uvloop"),
    ],
)
def test_stop_with_what_goes_slowly(make_loop: MakeLoop, noise: list[str]) -> None:
    async def scenario() -> None:
        async with leveret.AsyncBroker() as broker:
            broker.declare_queue("q")
            client = await asyncio.to_thread(raw, broker.host, broker.port)
            channel = await asyncio.to_thread(client.channel)
            await asyncio.to_thread(channel.consume, "q", no_ack=True)
            broker.faults.slow(100)
            broker.publish(b"x" * 10_000, "q")
        await asyncio.sleep(0.1)  # nothing may go wrong
        await asyncio.to_thread(client.link.rest)
        client.link.close()
        assert not noise

    run(scenario, make_loop)


def test_messages_are_equal_in_all_brokers() -> None:
    with leveret.Broker() as one, leveret.Broker() as other:
        for broker in (one, other):
            broker.declare_queue("q")
            broker.publish("x", "q", headers={"a": 1}, priority=3)
        assert one.queue("q").messages == other.queue("q").messages == [Message(b"x", "", "q", {"a": 1}, priority=3)]
        assert socket.gethostbyname(one.host) == other.host
