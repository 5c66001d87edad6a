"""What a dead letter tells of its deaths, how they are counted, and which circles end."""

from __future__ import annotations

import time

from tests.clients.codec import Typed
from tests.clients.peer import Channel

from .conftest import Names
from .letters import dead_letter, deaths, reject


def test_types_and_order(channel: Channel, source: str, dead: str) -> None:
    channel.publish(source, b"x", expiration="600000")
    reject(channel, source)
    tag, ((_, death),) = dead_letter(channel, dead).properties.typed_headers["x-death"]
    assert tag == "A"
    assert [(name, value.tag) for name, value in death.items()] == [
        ("original-expiration", "S"),
        ("count", "l"),
        ("reason", "S"),
        ("queue", "S"),
        ("time", "T"),
        ("exchange", "S"),
        ("routing-keys", "A"),
    ]
    assert death["routing-keys"].value == [Typed("S", source)]


def test_headers_are_sorted(channel: Channel, source: str, dead: str) -> None:
    channel.publish(source, b"x", headers={"y": 1, "B": 2, "a": 3})
    reject(channel, source)
    names = list(dead_letter(channel, dead).properties.typed_headers)
    assert names == sorted(names)
    assert {"B", "a", "x-death", "y"} < set(names)


def test_second_queue_comes_first(channel: Channel, names: Names, dead: str) -> None:
    second = channel.queue(names.plain(), x_dead_letter_exchange="", x_dead_letter_routing_key=dead)
    first = channel.queue(names.plain(), x_dead_letter_exchange="", x_dead_letter_routing_key=second)
    channel.publish(first, b"x")
    for queue in (first, second):
        reject(channel, queue)
    letter = dead_letter(channel, dead)
    assert [(death["queue"], death["count"]) for death in deaths(letter)] == [(second, 1), (first, 1)]
    assert deaths(letter)[0]["routing-keys"] == [second]


def test_first_and_last_death(channel: Channel, names: Names, dead: str) -> None:
    exchange = channel.exchange(names.exchange(), "fanout")
    third = channel.queue(names.plain(), x_dead_letter_exchange="", x_dead_letter_routing_key=dead)
    second = channel.queue(names.plain(), x_dead_letter_exchange="", x_dead_letter_routing_key=third)
    first = channel.queue(names.plain(), x_message_ttl=10, x_dead_letter_exchange=exchange)
    channel.bind(second, exchange)
    channel.publish(first, b"x")
    for queue in (second, third):
        reject(channel, queue)
    headers = dead_letter(channel, dead).properties.headers or {}
    about = ("queue", "reason", "exchange")
    found = [[headers[f"x-{which}-death-{what}"] for what in about] for which in ("first", "last")]
    assert found == [[first, "expired", ""], [third, "rejected", ""]]


def test_same_death_again_is_counted(channel: Channel, names: Names) -> None:
    name = names.plain()
    queue = channel.queue(name, x_dead_letter_exchange="", x_dead_letter_routing_key=name)
    channel.publish(queue, b"x")
    for _ in range(3):
        reject(channel, queue)
    channel.expect_ready(queue, 1)
    (death,) = deaths(channel.get(queue))
    assert (death["count"], death["reason"], death["routing-keys"]) == (3, "rejected", [queue])


def test_what_stays_at_the_second_death(channel: Channel, names: Names) -> None:
    first, back = channel.exchange(names.exchange(), "fanout"), channel.exchange(names.exchange(), "fanout")
    queue = channel.queue(names.plain(), x_dead_letter_exchange=back, x_dead_letter_routing_key="again")
    for exchange in (first, back):
        channel.bind(queue, exchange)
    channel.publish("once", b"x", exchange=first, expiration="600000", headers={"CC": ["cc"]})
    reject(channel, queue)
    (before,) = deaths(reject(channel, queue))
    time.sleep(1.1)
    reject(channel, queue)
    channel.expect_ready(queue, 1)
    (after,) = deaths(channel.get(queue))
    assert (before["exchange"], before["routing-keys"]) == (first, ["once", "cc"])
    assert (before["original-expiration"], before["count"]) == ("600000", 1)
    assert after == {**before, "count": 3}


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


def test_a_cycle_ends_for_one_queue_only(channel: Channel, names: Names, dead: str) -> None:
    exchange = channel.exchange(names.exchange(), "fanout")
    queue = channel.queue(names.plain(), x_message_ttl=20, x_dead_letter_exchange=exchange)
    for end in (queue, dead):
        channel.bind(end, exchange)
    channel.publish(queue, b"x")
    channel.expect_ready(dead, 1)
    channel.expect_silence()
    assert (channel.ready(queue), channel.ready(dead)) == (0, 1)


def test_a_cycle_that_a_client_tells_is_none(channel: Channel, names: Names, dead: str) -> None:
    queue = channel.queue(names.plain(), x_message_ttl=20, x_dead_letter_exchange="", x_dead_letter_routing_key=dead)
    told = {"count": 1, "reason": "expired", "queue": dead, "exchange": "", "routing-keys": [dead]}
    channel.publish(queue, b"x", headers={"x-death": [told]})
    assert [death["queue"] for death in deaths(dead_letter(channel, dead))] == [queue]
