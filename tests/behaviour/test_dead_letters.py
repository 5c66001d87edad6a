"""Dead letters: why messages die, where they go, and what their headers then say."""

from __future__ import annotations

import time
from typing import Any

import pytest

from .codec import Typed
from .conftest import Names
from .marks import differs_from_rabbitmq
from .methods import QueueDelete, QueuePurge
from .methods_basic import BasicAck, BasicGetOk, BasicNack, BasicReject
from .peer import Channel


@pytest.fixture
def dead(channel: Channel, names: Names) -> str:
    """The queue where dead letters end."""
    return channel.queue(names.plain())


@pytest.fixture
def source(channel: Channel, names: Names, dead: str) -> str:
    """A queue whose dead letters go to `dead` by way of the default exchange."""
    return channel.queue(names.plain(), x_dead_letter_exchange="", x_dead_letter_routing_key=dead)


def deaths(message: BasicGetOk) -> list[dict[str, Any]]:
    """Return x-death."""
    found: list[dict[str, Any]] = (message.properties.headers or {})["x-death"]
    return found


def reject(channel: Channel, queue: str) -> BasicGetOk:
    """Get a message and let it die."""
    channel.expect_ready(queue, 1)
    message = channel.get(queue)
    channel.send(BasicReject(delivery_tag=message.delivery_tag))
    return message


def dead_letter(channel: Channel, dead: str) -> BasicGetOk:
    """Wait for a dead letter and get it."""
    channel.expect_ready(dead, 1)
    return channel.get(dead, no_ack=True)


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


def test_types_of_the_header(channel: Channel, source: str, dead: str) -> None:
    channel.publish(source, b"x", expiration="600000")
    reject(channel, source)
    tag, ((_, death),) = dead_letter(channel, dead).properties.typed_headers["x-death"]
    assert tag == "A"
    assert {name: value.tag for name, value in death.items()} == {
        "original-expiration": "S",
        "count": "l",
        "reason": "S",
        "queue": "S",
        "time": "T",
        "exchange": "S",
        "routing-keys": "A",
    }
    assert death["routing-keys"].value == [Typed("S", source)]


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


def test_second_queue_comes_first_in_the_header(channel: Channel, names: Names, dead: str) -> None:
    second = channel.queue(names.plain(), x_dead_letter_exchange="", x_dead_letter_routing_key=dead)
    first = channel.queue(names.plain(), x_dead_letter_exchange="", x_dead_letter_routing_key=second)
    channel.publish(first, b"x")
    for queue in (first, second):
        reject(channel, queue)
    letter = dead_letter(channel, dead)
    assert [(death["queue"], death["count"]) for death in deaths(letter)] == [(second, 1), (first, 1)]
    assert deaths(letter)[0]["routing-keys"] == [second]
    headers = letter.properties.headers or {}
    assert (headers["x-first-death-queue"], headers["x-last-death-queue"]) == (first, second)


def test_same_death_again_is_counted(channel: Channel, names: Names) -> None:
    name = names.plain()
    queue = channel.queue(name, x_dead_letter_exchange="", x_dead_letter_routing_key=name)
    channel.publish(queue, b"x")
    for _ in range(3):
        reject(channel, queue)
    channel.expect_ready(queue, 1)
    (death,) = deaths(channel.get(queue))
    assert (death["count"], death["reason"], death["routing-keys"]) == (3, "rejected", [queue])


def test_other_reason_is_another_death(channel: Channel, names: Names) -> None:
    name, back = names.plain(), names.plain()
    queue = channel.queue(name, x_dead_letter_exchange="", x_dead_letter_routing_key=back)
    channel.queue(back, x_dead_letter_exchange="", x_dead_letter_routing_key=name)
    channel.publish(queue, b"x", expiration="10")
    reject(channel, back)
    reject(channel, queue)
    reject(channel, back)
    channel.expect_ready(queue, 1)
    found = [(death["queue"], death["reason"], death["count"]) for death in deaths(channel.get(queue))]
    assert found == [(back, "rejected", 2), (queue, "rejected", 1), (queue, "expired", 1)]


def test_cycle_without_a_rejection_ends(channel: Channel, names: Names) -> None:
    name, other = names.plain(), names.plain()
    channel.queue(name, x_message_ttl=10, x_dead_letter_exchange="", x_dead_letter_routing_key=other)
    channel.queue(other, x_message_ttl=10, x_dead_letter_exchange="", x_dead_letter_routing_key=name)
    channel.publish(name, b"x")
    channel.expect_silence(0.2)
    assert (channel.ready(name), channel.ready(other)) == (0, 0)


def test_cycle_of_one_queue_without_a_rejection_ends(channel: Channel, names: Names) -> None:
    name = names.plain()
    channel.queue(name, x_max_length=1, x_dead_letter_exchange="", x_dead_letter_routing_key=name)
    channel.publish(name, b"1", b"2")
    channel.expect_silence()
    assert channel.bodies(name) == [b"2"]


def test_retry_by_waiting_queue(channel: Channel, names: Names) -> None:
    work, wait = names.plain(), names.plain()
    channel.queue(work, x_dead_letter_exchange="", x_dead_letter_routing_key=wait)
    channel.queue(wait, x_message_ttl=20, x_dead_letter_exchange="", x_dead_letter_routing_key=work)
    channel.publish(work, b"x")
    for _ in range(3):
        reject(channel, work)
    channel.expect_ready(work, 1)
    found = [(death["queue"], death["reason"], death["count"]) for death in deaths(channel.get(work))]
    assert found == [(wait, "expired", 3), (work, "rejected", 3)]


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


def test_deaths_that_a_client_tells_do_not_count(channel: Channel, source: str, dead: str) -> None:
    told = {"count": 5, "reason": "rejected", "queue": source, "exchange": "", "routing-keys": ["told"]}
    channel.publish(source, b"x", headers={"x-death": [told], "x-first-death-queue": "told", "x-last-death-queue": "t"})
    headers = reject(channel, source).properties.headers or {}
    assert (headers["x-death"], headers["x-first-death-queue"]) == ([told], "told")
    letter = dead_letter(channel, dead)
    (death,) = deaths(letter)
    assert (death["count"], death["routing-keys"]) == (1, [source])
    headers = letter.properties.headers or {}
    assert (headers["x-first-death-queue"], headers["x-last-death-queue"]) == (source, source)


def test_a_cycle_that_a_client_tells_is_none(channel: Channel, names: Names, dead: str) -> None:
    queue = channel.queue(names.plain(), x_message_ttl=20, x_dead_letter_exchange="", x_dead_letter_routing_key=dead)
    told = {"count": 1, "reason": "expired", "queue": dead, "exchange": "", "routing-keys": [dead]}
    channel.publish(queue, b"x", headers={"x-death": [told]})
    assert [death["queue"] for death in deaths(dead_letter(channel, dead))] == [queue]


def test_headers_are_sorted(channel: Channel, source: str, dead: str) -> None:
    channel.publish(source, b"x", headers={"y": 1, "B": 2, "a": 3})
    reject(channel, source)
    names = list(dead_letter(channel, dead).properties.typed_headers)
    assert names == sorted(names)
    assert {"B", "a", "x-death", "y"} < set(names)


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


def test_a_cycle_ends_for_one_queue_only(channel: Channel, names: Names, dead: str) -> None:
    exchange = channel.exchange(names.exchange(), "fanout")
    queue = channel.queue(names.plain(), x_message_ttl=20, x_dead_letter_exchange=exchange)
    for end in (queue, dead):
        channel.bind(end, exchange)
    channel.publish(queue, b"x")
    channel.expect_ready(dead, 1)
    channel.expect_silence()
    assert (channel.ready(queue), channel.ready(dead)) == (0, 1)


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
