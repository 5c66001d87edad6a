"""Time that passes at once: what falls due in it happens, each at its time and in order."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import aio_pika
import pika
import pika.exceptions
import pytest

import leveret
from leveret.testing import Message
from tests.clients.waiting import eventually

from .conftest import Connect
from .support import PATIENCE_S, Call, ending, pump, raw, run

MakeLoop = Callable[[], asyncio.AbstractEventLoop]


def letters_to(queue: str, **arguments: object) -> dict[str, Any]:
    """Arguments of a queue whose dead letters go to another one."""
    return {
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": queue,
        **{f"x-{name.replace('_', '-')}": value for name, value in arguments.items()},
    }


def deaths(message: Message) -> list[tuple[str, str, int]]:
    """Of what a message died where, and when, the last death first."""
    found: Any = message.headers["x-death"]
    return [(each["queue"], each["reason"], each["time"]) for each in found]


def texts(broker: Any, queue: str) -> list[str]:
    """What is in a queue."""
    return [message.text for message in broker.queue(queue).messages]


# -- what falls due


def test_the_time(broker: leveret.Broker) -> None:
    assert abs(broker.clock.now() - time.time()) < PATIENCE_S
    began = broker.clock.now()
    broker.clock.advance(1, minutes=2, hours=3, days=4)
    passed = 1 + 2 * 60 + 3 * 3600 + 4 * 86400
    assert passed <= broker.clock.now() - began < passed + PATIENCE_S
    broker.clock.advance()
    broker.clock.advance(0.5)
    assert passed + 0.5 <= broker.clock.now() - began < passed + PATIENCE_S
    assert broker.virtual_host("v").clock.now() - began >= passed + 0.5


def test_the_time_stays_after_a_restart(broker: leveret.Broker) -> None:
    broker.clock.advance(days=1)
    before = broker.clock.now()
    broker.restart()
    assert abs(broker.clock.now() - before) < PATIENCE_S
    assert broker.clock.now() - time.time() > 86_000


@pytest.mark.parametrize("seconds", [-1, -0.001])
def test_time_does_not_go_back(broker: leveret.Broker, seconds: float) -> None:
    before = broker.clock.now()
    with pytest.raises(ValueError, match="the clock can only be advanced"):
        broker.clock.advance(seconds)
    with pytest.raises(ValueError, match="the clock can only be advanced"):
        broker.clock.advance(days=1, hours=-25)
    with pytest.raises((ValueError, OverflowError)):
        broker.clock.advance(float("inf"))
    assert 0 <= broker.clock.now() - before < 5


def test_a_message_expires(broker: leveret.Broker) -> None:
    broker.declare_queue("own")
    broker.declare_queue("all", arguments={"x-message-ttl": 60_000})
    broker.publish("own", "own", expiration="60000")
    broker.publish("all", "all")
    broker.publish("stays", "own")
    broker.clock.advance(59)
    assert (texts(broker, "own"), texts(broker, "all")) == (["own", "stays"], ["all"])
    broker.clock.advance(1)
    assert (texts(broker, "own"), texts(broker, "all")) == (["stays"], [])


def test_a_message_expires_in_front_of_a_client(broker: leveret.Broker, clients: Connect) -> None:
    channel = clients(broker.url).channel()
    channel.queue_declare("q", arguments=letters_to("dead", message_ttl=86_400_000))
    channel.queue_declare("dead")
    channel.basic_publish("", "q", b"x")
    broker.wait_for("q")
    broker.clock.advance(days=1)
    assert channel.basic_get("q")[0] is None
    assert channel.basic_get("dead", auto_ack=True)[2] == b"x"


def test_a_queue_expires(broker: leveret.Broker, clients: Connect) -> None:
    broker.declare_queue("idle", arguments={"x-expires": 60_000})
    broker.declare_queue("used", arguments={"x-expires": 60_000})
    channel = clients(broker.url).channel()
    channel.basic_consume("used", lambda *_: None)
    broker.wait_for("used", consumers=1)
    broker.clock.advance(59)
    assert broker.queue("idle").exists
    broker.clock.advance(1)
    assert not broker.queue("idle").exists
    broker.clock.advance(hours=1)
    assert broker.queue("used").exists
    with pytest.raises(pika.exceptions.ChannelClosedByBroker, match="no queue 'idle'"):
        channel.queue_declare("idle", passive=True)


def test_a_delayed_message_comes(broker: leveret.Broker) -> None:
    broker.declare_exchange("later", "x-delayed-message", arguments={"x-delayed-type": "direct"})
    broker.declare_queue("q")
    broker.bind("q", "later", "k")
    for text, delay in (("c", 3_600_000), ("a", 1000), ("b", 60_000), ("now", 0)):
        broker.publish(text, "k", "later", headers={"x-delay": delay})
    assert texts(broker, "q") == ["now"]
    broker.clock.advance(0.5)
    assert texts(broker, "q") == ["now"]
    broker.clock.advance(0.5)
    assert texts(broker, "q") == ["now", "a"]
    broker.clock.advance(hours=2)
    assert texts(broker, "q") == ["now", "a", "b", "c"]


def test_more_delayed_messages_than_go_out_in_one_call(broker: leveret.Broker) -> None:
    broker.declare_exchange("later", "x-delayed-message", arguments={"x-delayed-type": "fanout"})
    broker.declare_queue("q")
    broker.bind("q", "later")
    for number in range(2500):
        broker.publish(str(number), exchange="later", headers={"x-delay": 60_000})
    broker.clock.advance(minutes=2)
    assert texts(broker, "q") == [str(number) for number in range(2500)]


def test_a_delivery_is_not_acknowledged_for_too_long(broker: leveret.Broker, clients: Connect) -> None:
    broker.declare_queue("q")
    connection = clients(broker.url)
    channel, other = connection.channel(), connection.channel()
    channel.basic_consume("q", lambda *_: None)
    broker.publish("x", "q")
    broker.wait_for("q", unacked=1)
    broker.clock.advance(minutes=29)
    assert broker.queue("q").unacked == 1
    broker.clock.advance(minutes=2)  # it looks once a minute
    assert (broker.queue("q").unacked, broker.queue("q").ready) == (0, 1)
    pump(connection, lambda: not channel.is_open)
    assert other.is_open
    assert channel._closing_reason.reply_code == 406
    assert "Timeout value used: 1800000 ms" in channel._closing_reason.reply_text


def test_the_timeout_of_a_queue(broker: leveret.Broker, clients: Connect) -> None:
    broker.declare_queue("q", arguments={"x-consumer-timeout": 60_000})
    channel = clients(broker.url).channel()
    channel.basic_consume("q", lambda *_: None)
    broker.publish("x", "q")
    broker.wait_for("q", unacked=1)
    broker.clock.advance(59)
    assert broker.queue("q").unacked == 1
    broker.clock.advance(1.1)
    assert broker.queue("q").unacked == 0


# -- in order


def test_a_chain_of_dead_letters(broker: leveret.Broker) -> None:
    broker.declare_queue("end")
    broker.declare_queue("third", arguments=letters_to("end", message_ttl=40_000))
    broker.declare_queue("second", arguments=letters_to("third", message_ttl=20_000))
    broker.declare_queue("first", arguments=letters_to("second", message_ttl=10_000))
    began = int(broker.clock.now())
    broker.publish("x", "first")
    broker.clock.advance(100)
    [message] = broker.queue("end").messages
    [third, second, first] = deaths(message)
    assert [each[:2] for each in (first, second, third)] == [
        ("first", "expired"),
        ("second", "expired"),
        ("third", "expired"),
    ]
    assert first[2] - began in (10, 11)
    assert second[2] - first[2] in (20, 21)
    assert third[2] - second[2] in (40, 41)


def test_several_things_in_one_advance(broker: leveret.Broker) -> None:
    # At 10 s a letter gets into a queue that expires at 30 s; at 40 s the next one finds it gone.
    broker.declare_queue("end")
    broker.declare_queue("short", arguments={"x-expires": 30_000})
    broker.declare_queue("early", arguments=letters_to("short", message_ttl=10_000))
    broker.declare_queue("late", arguments=letters_to("short", message_ttl=40_000))
    broker.declare_exchange("later", "x-delayed-message", arguments={"x-delayed-type": "fanout"})
    broker.declare_queue("log", arguments={"x-message-ttl": 5000, **letters_to("end")})
    broker.bind("log", "later")
    broker.publish("late", "late")
    broker.publish("early", "early")
    for delay in (25, 3, 14):
        broker.publish(str(delay), exchange="later", headers={"x-delay": delay * 1000})
    began = int(broker.clock.now())
    broker.clock.advance(29)
    assert texts(broker, "short") == ["early"]
    broker.clock.advance(71)
    assert [queue.name for queue in broker.queues] == ["early", "end", "late", "log"]
    assert texts(broker, "end") == ["3", "14", "25"]
    times = [deaths(message)[0][2] - began for message in broker.queue("end").messages]
    assert times == pytest.approx([8, 19, 30], abs=5)
    assert (broker.queue("late").ready, broker.queue("early").ready) == (0, 0)


def test_a_chain_of_many_dead_letters(broker: leveret.Broker, clients: Connect) -> None:
    count = 3000  # more than the worklist does in one call
    broker.declare_queue("end")
    broker.declare_queue("third", arguments=letters_to("end", message_ttl=10_000))
    broker.declare_queue("second", arguments=letters_to("third", message_ttl=10_000))
    broker.declare_queue("first", arguments=letters_to("second"))
    connection = clients(broker.url)
    channel = connection.channel()
    for _ in range(count):
        channel.basic_publish("", "first", b"x")
    got: list[bytes] = []
    channel.basic_consume("first", lambda _c, _m, _p, body: got.append(body))
    pump(connection, lambda: len(got) == count)
    channel.basic_nack(0, multiple=True, requeue=False)
    broker.wait_for("second", count)
    broker.clock.advance(25)
    assert {queue.name: queue.ready for queue in broker.queues} == {"first": 0, "second": 0, "third": 0, "end": count}
    assert {deaths(message)[0][2] - deaths(message)[1][2] for message in broker.queue("end").messages} <= {10, 11}


def test_consumers_get_what_fell_due(broker: leveret.Broker, clients: Connect) -> None:
    broker.declare_queue("work")
    broker.declare_queue("later", arguments=letters_to("work", message_ttl=3_600_000))
    connection = clients(broker.url)
    channel = connection.channel()
    got: list[bytes] = []
    channel.basic_consume("work", lambda _c, _m, _p, body: got.append(body), auto_ack=True)
    channel.basic_publish("", "later", b"again")
    broker.wait_for("later")
    broker.clock.advance(hours=1)
    pump(connection, lambda: got)
    assert got == [b"again"]


def test_real_time_goes_on(broker: leveret.Broker) -> None:
    broker.clock.advance(days=1)
    broker.declare_queue("q")
    broker.publish("x", "q", expiration="50")
    assert texts(broker, "q") == ["x"]
    eventually(lambda: not texts(broker, "q"))


def test_a_timer_that_was_set_before(broker: leveret.Broker) -> None:
    broker.declare_queue("q")
    broker.publish("long", "q", expiration="3600000")
    broker.clock.advance(hours=0.5)
    broker.declare_queue("short")
    broker.publish("short", "short", expiration="100")
    eventually(lambda: not texts(broker, "short"))
    assert texts(broker, "q") == ["long"]
    broker.clock.advance(hours=0.5)
    assert texts(broker, "q") == []


# -- clients


def test_heartbeats_are_taken_for_sent(broker: leveret.Broker, clients: Connect) -> None:
    silent = raw(broker.host, broker.port, heartbeat=10)
    connection = clients(broker.url, heartbeat=10)
    broker.clock.advance(hours=1)
    assert len(broker.connections) == 2
    connection.channel()
    silent.link.close()


def test_a_silent_client_is_given_up(broker: leveret.Broker) -> None:
    silent = raw(broker.host, broker.port, heartbeat=10)
    lax = raw(broker.host, broker.port, heartbeat=0)
    broker.clock.advance(9, heartbeats=True)
    assert len(broker.connections) == 2
    broker.clock.advance(60, heartbeats=True)
    eventually(lambda: len(broker.connections) == 1)
    assert silent.link.rest()[1] is True  # the connection is reset
    lax.channel()
    silent.link.close()
    lax.link.close()


def test_a_connection_of_pika_is_given_up(broker: leveret.Broker, clients: Connect) -> None:
    connection = clients(broker.url)
    broker.clock.advance(minutes=10, heartbeats=True)
    assert isinstance(ending(connection), pika.exceptions.AMQPConnectionError)


def test_a_day_with_a_client_that_has_heartbeats(broker: leveret.Broker) -> None:
    client = raw(broker.host, broker.port, heartbeat=10)
    broker.clock.advance(days=1)
    broker.faults.drop()
    assert len(client.link.rest()[0]) < 10_000
    client.link.close()


def test_delayed_confirms_are_due(broker: leveret.Broker, clients: Connect) -> None:
    channel = clients(broker.url).channel()
    channel.confirm_delivery()
    channel.queue_declare("q")
    broker.faults.delay_confirms(600)
    call = Call(lambda: channel.basic_publish("", "q", b"x"))
    broker.wait_for("q")
    broker.clock.advance(599)
    assert not call.is_done
    broker.clock.advance(1)
    call.result()


# -- by itself


def test_auto(broker: leveret.Broker) -> None:
    broker.declare_queue("end")
    broker.declare_queue("second", arguments=letters_to("end", message_ttl=86_400_000))
    broker.declare_queue("first", arguments=letters_to("second", message_ttl=3_600_000))
    broker.declare_queue("idle", arguments={"x-expires": 7_200_000})
    began = broker.clock.now()
    with broker.clock.auto():
        broker.publish("x", "first")
        assert [message.text for message in broker.wait_for("end")] == ["x"]
        eventually(lambda: not broker.queue("idle").exists)
    assert 90_000 <= broker.clock.now() - began < 90_000 + PATIENCE_S
    broker.publish("y", "first")
    broker.wait_until_idle()
    time.sleep(0.05)  # nothing may happen
    assert texts(broker, "first") == ["y"]


def test_auto_and_a_client_that_tries_again(broker: leveret.Broker, clients: Connect) -> None:
    broker.declare_queue("work", arguments=letters_to("retry"))
    broker.declare_queue("retry", arguments=letters_to("work", message_ttl=60_000))
    connection = clients(broker.url)
    channel = connection.channel()
    tries: list[float] = []

    def on_message(_: Any, method: Any, __: Any, ___: bytes) -> None:
        tries.append(broker.clock.now())
        if len(tries) < 6:
            channel.basic_reject(method.delivery_tag, requeue=False)
        else:
            channel.basic_ack(method.delivery_tag)

    channel.basic_consume("work", on_message)
    with broker.clock.auto():
        broker.publish("x", "work")
        pump(connection, lambda: len(tries) == 6)
        broker.wait_until_idle()
    assert [later - earlier for earlier, later in pairwise(tries)] == pytest.approx([60] * 5, abs=PATIENCE_S)
    assert broker.queue("retry").ready == broker.queue("work").ready == 0


def test_auto_waits_for_what_is_on_its_way(broker: leveret.Broker, clients: Connect) -> None:
    broker.declare_queue("q")
    broker.declare_queue("later", arguments=letters_to("end", message_ttl=60_000))
    broker.declare_queue("end")
    channel = clients(broker.url).channel()
    broker.publish("work", "q")
    method, _, _ = channel.basic_get("q")
    broker.publish("x", "later")
    with broker.clock.auto():
        time.sleep(0.1)  # nothing may happen
        assert texts(broker, "later") == ["x"]
        channel.basic_ack(method.delivery_tag)
        broker.wait_for("end")


def test_auto_lets_no_time_pass_for_heartbeats_and_consumers(broker: leveret.Broker, clients: Connect) -> None:
    connection = clients(broker.url, heartbeat=10)
    channel = connection.channel()
    channel.queue_declare("q")
    channel.basic_consume("q", lambda *_: None)
    began = broker.clock.now()
    with broker.clock.auto():
        time.sleep(0.1)  # nothing may happen
        assert broker.clock.now() - began < 5
    assert connection.is_open


def goes_on_by_itself(broker: leveret.Broker) -> bool:
    """Whether time passes until something happens."""
    began = broker.clock.now()
    broker.declare_queue("q", arguments={"x-expires": 3_600_000})
    time.sleep(0.05)  # nothing may happen
    return not broker.queue("q").exists or broker.clock.now() - began > 5


def test_auto_can_be_ended_after_a_restart(broker: leveret.Broker) -> None:
    fault = broker.clock.auto()
    broker.restart()
    fault.end()
    fault.end()
    assert not goes_on_by_itself(broker)


def test_auto_ends_with_its_broker(broker: leveret.Broker) -> None:
    fault = broker.clock.auto()
    broker.stop()
    broker.start()
    assert not goes_on_by_itself(broker)
    fault.end()


def test_auto_ends_with_its_virtual_host(broker: leveret.Broker) -> None:
    broker.virtual_host("v").clock.auto()
    broker.delete_virtual_host("v")
    assert not goes_on_by_itself(broker)


def test_auto_goes_on_after_a_restart(broker: leveret.Broker) -> None:
    with broker.clock.auto():
        broker.restart()
        broker.declare_queue("q", arguments={"x-expires": 3_600_000})
        eventually(lambda: not broker.queue("q").exists, 0.5)


def test_async(make_loop: MakeLoop) -> None:
    async def scenario() -> None:
        async with leveret.AsyncBroker() as broker, await aio_pika.connect(broker.url) as connection:
            broker.declare_queue("work")
            broker.declare_queue("later", arguments=letters_to("work", message_ttl=600_000))
            channel = await connection.channel()
            got: asyncio.Queue[bytes] = asyncio.Queue()

            async def on_message(message: aio_pika.abc.AbstractIncomingMessage) -> None:
                async with message.process():
                    await got.put(message.body)

            queue = await channel.get_queue("work")
            await queue.consume(on_message)
            broker.publish("1", "later")
            broker.clock.advance(minutes=10)
            assert await got.get() == b"1"
            with broker.clock.auto():
                broker.publish("2", "later")
                assert await got.get() == b"2"
            await broker.wait_until_idle()

    run(scenario, make_loop)
