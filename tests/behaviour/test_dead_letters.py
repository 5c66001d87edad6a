"""Dead letters: why messages die, where they go, and what of them stays."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.clients.methods import QueueDelete, QueuePurge
from tests.clients.methods_basic import BasicAck, BasicNack, BasicReject
from tests.clients.peer import Channel
from tests.marks import differs_from_rabbitmq

from .conftest import Names
from .letters import dead_letter, deaths, reject


def die_by_reject(channel: Channel, queue: str) -> None:
    """Reject the only message."""
    channel.send(BasicReject(delivery_tag=channel.get(queue).delivery_tag))


def die_by_nack(channel: Channel, queue: str) -> None:
    """Refuse the only message with basic.nack."""
    channel.send(BasicNack(delivery_tag=channel.get(queue).delivery_tag))


def die_by_nack_multiple(channel: Channel, queue: str) -> None:
    """Refuse everything with basic.nack."""
    channel.get(queue)
    channel.send(BasicNack(multiple=True))


@pytest.mark.parametrize("die", [die_by_reject, die_by_nack, die_by_nack_multiple])
def test_rejected(channel: Channel, source: str, dead: str, die: Any) -> None:
    channel.publish(source, b"x", content_type="text/plain", headers={"own": 1}, delivery_mode=2)
    die(channel, source)
    letter = dead_letter(channel, dead)
    assert (letter.body, letter.exchange, letter.routing_key) == (b"x", "", dead)
    assert (letter.properties.content_type, letter.properties.delivery_mode) == ("text/plain", 2)
    headers = dict(letter.properties.headers or {})
    (death,) = headers.pop("x-death")
    assert abs(death.pop("time") - time.time()) < 10
    assert death == {
        "count": 1,
        "reason": "rejected",
        "queue": source,
        "exchange": "",
        "routing-keys": [source],
    }
    assert headers == {
        "own": 1,
        "x-first-death-exchange": "",
        "x-first-death-queue": source,
        "x-first-death-reason": "rejected",
        "x-last-death-exchange": "",
        "x-last-death-queue": source,
        "x-last-death-reason": "rejected",
    }


def test_expired(channel: Channel, names: Names, dead: str) -> None:
    queue = channel.queue(names.plain(), x_message_ttl=20, x_dead_letter_exchange="", x_dead_letter_routing_key=dead)
    channel.publish(queue, b"1", b"2")
    channel.expect_ready(dead, 2)
    found = channel.drain(dead)
    assert [message.body for message in found] == [b"1", b"2"]
    assert [deaths(message)[0]["reason"] for message in found] == ["expired"] * 2
    assert "original-expiration" not in deaths(found[0])[0]


def test_expiration_is_removed_and_remembered(channel: Channel, source: str, dead: str) -> None:
    channel.publish(source, b"x", expiration="20")
    letter = dead_letter(channel, dead)
    assert letter.properties.expiration is None
    assert deaths(letter)[0]["original-expiration"] == "20"
    assert deaths(letter)[0]["reason"] == "expired"


def test_expiration_is_removed_from_rejected_messages_too(channel: Channel, source: str, dead: str) -> None:
    channel.publish(source, b"x", expiration="600000")
    reject(channel, source)
    letter = dead_letter(channel, dead)
    assert letter.properties.expiration is None
    assert deaths(letter)[0]["original-expiration"] == "600000"


@pytest.mark.parametrize("limit", [{"x_max_length": 2}, {"x_max_length_bytes": 2}], ids=str)
def test_too_many(channel: Channel, names: Names, dead: str, limit: dict[str, Any]) -> None:
    queue = channel.queue(names.plain(), x_dead_letter_exchange="", x_dead_letter_routing_key=dead, **limit)
    channel.publish(queue, b"1", b"2", b"3", b"4")
    channel.expect_ready(dead, 2)
    assert channel.bodies(queue) == [b"3", b"4"]
    found = channel.drain(dead)
    assert [(message.body, deaths(message)[0]["reason"]) for message in found] == [
        (b"1", "maxlen"),
        (b"2", "maxlen"),
    ]


def test_reject_publish_dlx(channel: Channel, names: Names, dead: str) -> None:
    queue = channel.queue(
        names.plain(),
        x_max_length=1,
        x_overflow="reject-publish-dlx",
        x_dead_letter_exchange="",
        x_dead_letter_routing_key=dead,
    )
    channel.confirm()
    channel.confirmed(queue, b"1")
    channel.publish(queue, b"2")
    channel.expect(BasicNack)
    letter = dead_letter(channel, dead)
    assert (letter.body, deaths(letter)[0]["reason"]) == (b"2", "maxlen")


def test_key_stays_where_none_is_set(channel: Channel, names: Names, dead: str) -> None:
    exchange = channel.exchange(names.exchange(), "topic")
    channel.bind(dead, exchange, "#")
    queue = channel.queue(names.plain(), x_dead_letter_exchange=exchange)
    channel.bind(queue, "amq.direct", f"{queue}.key")
    channel.publish(f"{queue}.key", b"x", exchange="amq.direct")
    reject(channel, queue)
    letter = dead_letter(channel, dead)
    assert (letter.exchange, letter.routing_key) == (exchange, f"{queue}.key")
    death = deaths(letter)[0]
    assert (death["exchange"], death["routing-keys"]) == ("amq.direct", [f"{queue}.key"])


def test_copies_keep_their_keys(channel: Channel, names: Names) -> None:
    exchange = channel.exchange(names.exchange(), "direct")
    ends = [channel.queue() for _ in range(3)]
    queue = channel.queue(names.plain(), x_dead_letter_exchange=exchange)
    for end, key in zip(ends, (queue, "cc", "bcc"), strict=True):
        channel.bind(end, exchange, key)
    channel.publish(queue, b"x", headers={"CC": ["cc"], "BCC": ["bcc"]})
    reject(channel, queue)
    for end in ends:
        letter = dead_letter(channel, end)
        assert letter.routing_key == queue
        assert (letter.properties.headers or {}).get("CC") == ["cc"]
        assert "BCC" not in (letter.properties.headers or {})
        assert deaths(letter)[0]["routing-keys"] == [queue, "cc"]


def test_no_exchange_no_letter(channel: Channel, names: Names) -> None:
    queue = channel.queue(names.plain(), x_dead_letter_exchange=names.plain())
    channel.publish(queue, b"x")
    reject(channel, queue)
    assert channel.bodies(queue) == []


def test_unroutable_letters_are_lost(channel: Channel, names: Names) -> None:
    queue = channel.queue(names.plain(), x_dead_letter_exchange="amq.direct")
    channel.publish(queue, b"x", mandatory=True)
    reject(channel, queue)
    channel.expect_silence()


def test_exchange_is_looked_up_at_death(channel: Channel, names: Names, dead: str) -> None:
    exchange = names.exchange()
    queue = channel.queue(names.plain(), x_dead_letter_exchange=exchange)
    channel.publish(queue, b"x")
    channel.bind(dead, channel.exchange(exchange, "fanout"))
    reject(channel, queue)
    assert dead_letter(channel, dead).exchange == exchange


def test_only_rejected_messages_die(channel: Channel, source: str, dead: str) -> None:
    channel.publish(source, *[b"x"] * 5)
    for _ in range(2):
        channel.get(source)
    channel.send(BasicAck(delivery_tag=1), BasicNack(delivery_tag=2, requeue=True))
    channel.get(source, no_ack=True)
    channel.call(QueuePurge(queue=source))
    channel.call(QueueDelete(queue=source))
    channel.expect_silence()
    assert channel.ready(dead) == 0


def test_letters_reach_every_queue_of_a_fanout(channel: Channel, names: Names) -> None:
    exchange = channel.exchange(names.exchange(), "fanout")
    ends = [channel.queue() for _ in range(3)]
    for end in ends:
        channel.bind(end, exchange)
    queue = channel.queue(names.plain(), x_dead_letter_exchange=exchange)
    channel.publish(queue, b"x")
    reject(channel, queue)
    assert [dead_letter(channel, end).body for end in ends] == [b"x"] * 3


def test_order_of_the_letters(channel: Channel, source: str, dead: str) -> None:
    channel.publish(source, *[b"%d" % i for i in range(20)])
    for _ in range(20):
        channel.get(source)
    channel.send(BasicNack(multiple=True))
    channel.expect_ready(dead, 20)
    assert channel.bodies(dead) == [b"%d" % i for i in range(20)]


def test_a_key_of_the_queue_replaces_all_others(channel: Channel, names: Names, dead: str) -> None:
    exchange = channel.exchange(names.exchange(), "direct")
    for key in ("cc", "bcc"):
        channel.bind(dead, exchange, key)
    end = channel.queue()
    channel.bind(end, exchange, "end")
    queue = channel.queue(names.plain(), x_dead_letter_exchange=exchange, x_dead_letter_routing_key="end")
    channel.publish(queue, b"x", headers={"CC": ["cc"], "BCC": ["bcc"]})
    reject(channel, queue)
    letter = dead_letter(channel, end)
    assert (letter.routing_key, (letter.properties.headers or {}).get("CC")) == ("end", ["cc"])
    assert deaths(letter)[0]["routing-keys"] == [queue, "cc"]
    assert channel.ready(dead) == 0


@pytest.mark.parametrize("key", [None, "middle"])
def test_keys_on_the_second_way(channel: Channel, names: Names, dead: str, key: str | None) -> None:
    exchanges = [channel.exchange(names.exchange(), "fanout") for _ in range(2)]
    keys: dict[str, Any] = {} if key is None else {"x_dead_letter_routing_key": key}
    first = channel.queue(names.plain(), x_dead_letter_exchange=exchanges[0], **keys)
    second = channel.queue(names.plain(), x_dead_letter_exchange=exchanges[1])
    channel.bind(second, exchanges[0])
    channel.bind(dead, exchanges[1])
    channel.publish(first, b"x", headers={"CC": ["cc"], "BCC": ["bcc"]})
    for queue in (first, second):
        reject(channel, queue)
    letter = dead_letter(channel, dead)
    assert (letter.exchange, letter.routing_key) == (exchanges[1], key or first)
    assert [(death["exchange"], death["routing-keys"]) for death in deaths(letter)] == [
        (exchanges[0], [key] if key else [first, "cc"]),
        ("", [first, "cc"]),
    ]


def test_everything_else_stays(channel: Channel, source: str, dead: str) -> None:
    properties: dict[str, Any] = {
        "content_type": "text/plain",
        "content_encoding": "utf-8",
        "delivery_mode": 2,
        "priority": 7,
        "correlation_id": "c",
        "reply_to": "r",
        "message_id": "m",
        "timestamp": 1_700_000_000,
        "type": "t",
        "user_id": "guest",
        "app_id": "a",
        "cluster_id": "i",
    }
    channel.publish(source, b"x" * 300_000, **properties)
    reject(channel, source)
    letter = dead_letter(channel, dead)
    assert {name: getattr(letter.properties, name) for name in properties} == properties
    assert letter.body == b"x" * 300_000


def test_a_full_queue_with_letters_takes_those_of_others(channel: Channel, names: Names, dead: str) -> None:
    full = channel.queue(names.plain(), x_max_length=1, x_dead_letter_exchange="", x_dead_letter_routing_key=dead)
    source = channel.queue(names.plain(), x_dead_letter_exchange="", x_dead_letter_routing_key=full)
    channel.publish(full, b"old")
    channel.expect_ready(full, 1)
    channel.publish(source, b"new")
    reject(channel, source)
    letter = dead_letter(channel, dead)
    assert (letter.body, deaths(letter)[0]["reason"]) == (b"old", "maxlen")
    assert channel.bodies(full) == [b"new"]


def test_an_expired_letter_is_not_redelivered(channel: Channel, names: Names, dead: str) -> None:
    queue = channel.queue(names.plain(), x_message_ttl=20, x_dead_letter_exchange="", x_dead_letter_routing_key=dead)
    channel.publish(queue, b"x")
    assert not dead_letter(channel, dead).redelivered


@differs_from_rabbitmq("RabbitMQ 4.3 flags a letter that was delivered before, unless a consumer waits for it")
def test_a_rejected_letter_is_not_redelivered(channel: Channel, source: str, dead: str) -> None:
    channel.publish(source, b"x")
    reject(channel, source)
    assert not dead_letter(channel, dead).redelivered


def test_letters_have_priorities(channel: Channel, names: Names) -> None:
    dead = channel.queue(names.plain(), x_max_priority=5)
    source = channel.queue(names.plain(), x_dead_letter_exchange="", x_dead_letter_routing_key=dead)
    for priority in (1, 3, 2):
        channel.publish(source, b"%d" % priority, priority=priority)
        reject(channel, source)
    channel.expect_ready(dead, 3)
    assert channel.bodies(dead) == [b"3", b"2", b"1"]


def test_requeued_too_much_dies_at_the_head(channel: Channel, names: Names, dead: str) -> None:
    queue = channel.queue(names.plain(), x_max_length=2, x_dead_letter_exchange="", x_dead_letter_routing_key=dead)
    channel.publish(queue, b"1", b"2")
    channel.expect_ready(queue, 2)
    for _ in range(2):
        channel.get(queue)
    channel.publish(queue, b"3", b"4")
    channel.expect_ready(queue, 2)
    channel.send(BasicNack(multiple=True, requeue=True))
    channel.expect_ready(dead, 2)
    assert sorted(channel.bodies(dead)) == [b"1", b"2"]
    assert channel.bodies(queue) == [b"3", b"4"]
