"""The messages of a queue in pieces over HTTP: pages, what may come in, who may ask, and what cannot be decoded."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from leveret.api.views.transfer import MOST, MOST_KEYS
from leveret.core.message import codec
from leveret.core.message.codec import Item
from leveret.wire.fields import longstr
from leveret.wire.properties import BasicProperties
from tests.api.http import Http, Reply
from tests.api.place import Place, Started
from tests.api.test_getting import Peak, fill

PASSWORD = "secret"
MB = 1 << 20
VHOST = "moved"


@pytest.fixture(scope="module")
def started() -> Iterator[Started]:
    """A broker with little memory for messages, and with users who may do some things in a virtual host."""
    with Started.start("--memory-budget", str(20 * MB)) as started:
        http = Http(started.place.api)
        http.ask("PUT", f"vhosts/{VHOST}").expect(201)
        http.ask("PUT", "vhosts/closed").expect(201)
        http.ask("PUT", "queues/closed/q", {}).expect(201)
        http.ask("PUT", f"queues/{VHOST}/q", {}).expect(201)
        for name, read, write, tags in (
            ("reader", "^q", "", "management"),
            ("writer", "", "^(q|amq\\.default|amq\\.topic)$", "management"),
            ("indirect", "", "^amq\\.topic$", "management"),
            ("monitor", ".*", ".*", "monitoring"),
            ("spokesman", ".*", ".*", "management,impersonator"),
            ("nobody", ".*", ".*", ""),
        ):
            http.ask("PUT", f"users/{name}", {"password": PASSWORD, "tags": tags}).expect(201)
            permission = {"configure": "", "write": write, "read": read}
            http.ask("PUT", f"permissions/{VHOST}/{name}", permission).expect(201)
        yield started


@pytest.fixture
def place(started: Started) -> Place:
    """Where it is."""
    return started.place


@pytest.fixture
def http(place: Place) -> Http:
    """Its administrator."""
    http = Http(place.api)
    http.ask("DELETE", f"queues/{VHOST}/q/contents").expect(204)
    return http


def user(place: Place, name: str) -> Http:
    """Somebody else."""
    return Http(place.api, name, PASSWORD)


def raw(**properties: Any) -> bytes:
    """Properties as they are in a message."""
    found = BasicProperties()
    for name, value in properties.items():
        setattr(found, name, value)
    return found.encode()


def packed(*bodies: bytes, exchange: str = "", key: str = "q", **properties: Any) -> bytes:
    """Encoded messages."""
    return b"".join(codec.encode(Item(exchange, key, raw(**properties), body)) for body in bodies)


def put(http: Http, data: bytes, queue: str = f"{VHOST}/q") -> Reply:
    """Put encoded messages into a queue."""
    return http.ask("POST", f"leveret/queues/{queue}/encoded", data, Content_Type="application/octet-stream")


def brought(reply: Reply) -> dict[str, Any]:
    """What came of it."""
    found = reply.expect(200).json
    assert isinstance(found, dict)
    return found


def page(http: Http, after: str = "", queue: str = f"{VHOST}/q") -> tuple[dict[str, Any], list[Item]]:
    """A page of a queue."""
    query = f"?after={after}" if after else ""
    reply = http.ask("GET", f"leveret/queues/{queue}/encoded{query}").expect(200)
    assert reply.headers["content-type"] == "application/octet-stream"
    line, _, data = reply.body.partition(b"\n")
    return json.loads(line), codec.decode(data)


def everything(http: Http, queue: str = f"{VHOST}/q") -> list[Item]:
    """All pages of a queue."""
    told, found = page(http, queue=queue)
    while told["next"] is not None:
        told, more = page(http, told["next"], queue)
        assert len(more) == told["count"]
        found += more
    return found


# -- there and back


def test_pages_are_what_came_in(http: Http) -> None:
    bodies = [b"%d" % number for number in range(1_200)]
    for at in range(0, 1_200, 400):
        assert brought(put(http, packed(*bodies[at : at + 400], app_id="a")))["stored"] == 400
    told, first = page(http)
    assert (told["count"], told["ready"], len(first)) == (500, 1_200, 500)
    found = everything(http)
    assert [item.body for item in found] == bodies
    assert {BasicProperties.parse(item.properties).app_id for item in found} == {"a"}
    assert page(http)[0] == told  # none was taken
    queue = http.ask("GET", f"queues/{VHOST}/q").json
    assert isinstance(queue, dict)
    assert (queue["messages_ready"], queue["message_stats"]["get"]) == (1_200, 0)


@pytest.mark.parametrize("size", [0, 1, 49_151, 49_152, 49_153, 3 * MB])
def test_bodies_of_any_size(http: Http, size: int) -> None:
    body = os.urandom(size)
    assert brought(put(http, packed(body, b"next")))["stored"] == 2
    assert [item.body for item in everything(http)] == [body, b"next"]


def test_all_that_belongs_to_a_message(place: Place, http: Http) -> None:
    item = Item("amq.topic", "a.b", raw(message_id="m"), b"body", ("cc",), ("bcc", "more"))
    item.has_died = True
    assert brought(put(http, codec.encode(item)))["stored"] == 1
    (found,) = everything(http)
    names = ("exchange", "routing_key", "properties", "body", "copies", "hidden", "has_died", "redelivered")
    assert [getattr(found, name) for name in names] == [getattr(item, name) for name in names]
    assert found.arrived_ms > 0


def test_what_would_be_possible(http: Http) -> None:
    told = brought(put(http, b""))
    assert told == {
        "stored": 0,
        "unsafe": 0,
        "is_full": False,
        "duplicates": 0,
        "blocked": "",
        "refused": None,
        "reason": "",
        "max_message_size": 16 * MB,
    }


def test_a_queue_that_is_full(http: Http) -> None:
    arguments = {"x-max-length": 30, "x-overflow": "reject-publish"}
    http.ask("PUT", f"queues/{VHOST}/tight", {"durable": True, "arguments": arguments}).expect(201)
    told = brought(put(http, packed(*[b"x"] * 100), f"{VHOST}/tight"))
    assert (told["stored"], told["is_full"]) == (30, True)
    http.ask("DELETE", f"queues/{VHOST}/tight").expect(204)


def test_publishers_have_to_wait() -> None:
    with Started.start("--memory-high-watermark", "0.0001") as started:
        http = Http(started.place.api)
        http.ask("PUT", "queues/%2F/q", {}).expect(201)
        for data in (b"", packed(b"x")):
            told = brought(put(http, data, "%2F/q"))
            assert "memory" in told["blocked"]
        assert everything(http, "%2F/q") == []


@pytest.mark.parametrize(
    "after",
    ["x", "1", "1-2-3", "1-2-3-4-5", "-1-0-0-0", "1-257-1-1", f"{1 << 63}-1-1-1", f"1-1-{1 << 63}-1", "%D9%A3-1-1-1"],
)
def test_a_place_that_is_none(http: Http, after: str) -> None:
    assert (
        b"not the `next` of an earlier page"
        in http.ask("GET", f"leveret/queues/{VHOST}/q/encoded?after={after}").expect(400).body
    )


def test_a_queue_that_was_made_anew(http: Http) -> None:
    http.ask("PUT", f"queues/{VHOST}/gone", {}).expect(201)
    for _ in range(2):
        brought(put(http, packed(*[b"x"] * 600), f"{VHOST}/gone"))
    told, _ = page(http, queue=f"{VHOST}/gone")
    path = f"leveret/queues/{VHOST}/gone/encoded?after={told['next']}"
    http.ask("DELETE", f"queues/{VHOST}/gone").expect(204)
    http.ask("GET", path).expect(404)
    http.ask("PUT", f"queues/{VHOST}/gone", {}).expect(201)
    assert b"declared again" in http.ask("GET", path).expect(400).body
    http.ask("DELETE", f"queues/{VHOST}/gone").expect(204)


# -- who may


@pytest.mark.parametrize(
    ("name", "may_read", "may_write"),
    [
        ("guest", True, True),
        ("reader", True, False),
        ("writer", False, True),
        ("indirect", False, False),
        ("monitor", True, True),
        ("nobody", False, False),
    ],
)
def test_permissions_decide(place: Place, http: Http, name: str, may_read: bool, may_write: bool) -> None:
    asking = http if name == "guest" else user(place, name)
    reply = asking.ask("GET", f"leveret/queues/{VHOST}/q/encoded")
    assert reply.status == (200 if may_read else 401)
    for data in (b"", packed(b"x")):
        assert put(asking, data).status == (200 if may_write else 401)
    assert len(everything(http)) == may_write


def test_a_virtual_host_without_permissions(place: Place, http: Http) -> None:
    http.ask("DELETE", "permissions/closed/guest").expect(204, 404)
    for name in ("reader", "writer", "monitor"):
        asking = user(place, name)
        for vhost in ("closed", "nowhere"):
            reason = f"virtual host '{vhost}' does not exist, or user '{name}' may not access it"
            for reply in (asking.ask("GET", f"leveret/queues/{vhost}/q/encoded"), put(asking, b"", f"{vhost}/q")):
                assert reply.expect(404).json == {"error": "not_found", "reason": reason}
    for reply in (http.ask("GET", "leveret/queues/closed/q/encoded"), put(http, b"", "closed/q")):
        assert b"access to vhost 'closed' refused" in reply.expect(401).body


def refusal(http: Http, *encoded: bytes) -> tuple[int, str]:
    """Which of some messages is refused, and why."""
    told = brought(put(http, b"".join(encoded)))
    assert (told["stored"], told["is_full"]) == (0, False)
    return told["refused"], told["reason"]


def test_nobody_speaks_for_another_exchange_or_user(place: Place, http: Http) -> None:
    writer, good = user(place, "writer"), packed(b"x", exchange="amq.topic", user_id="writer")
    number, reason = refusal(writer, good, good, packed(b"x", exchange="amq.direct"), good)
    assert number == 2
    assert reason.startswith("write access to exchange 'amq.direct' in vhost 'moved' refused for user 'writer'")
    number, reason = refusal(writer, good, packed(b"x", user_id="guest"))
    assert (number, reason[:18]) == (1, "user_id is 'guest'")
    assert everything(http) == []
    assert brought(put(writer, good))["stored"] == 1
    assert brought(put(user(place, "spokesman"), packed(b"x", user_id="guest")))["stored"] == 1


def test_topic_permissions_count(place: Place, http: Http) -> None:
    restricted = {"exchange": "amq.topic", "write": "^eu\\.", "read": ""}
    http.ask("PUT", f"topic-permissions/{VHOST}/writer", restricted).expect(201)
    writer = user(place, "writer")
    assert brought(put(writer, packed(b"x", exchange="amq.topic", key="eu.de")))["stored"] == 1
    number, reason = refusal(writer, packed(b"x", exchange="amq.topic", key="us.ny"))
    assert (number, "topic 'us.ny'" in reason) == (0, True)
    copies = Item("amq.topic", "eu.de", b"\0\0", b"", ("us.ny",))
    assert refusal(writer, codec.encode(copies))[0] == 0
    http.ask("DELETE", f"topic-permissions/{VHOST}/writer").expect(204)


# -- what may not come in


def test_what_a_publish_could_not_have(http: Http) -> None:
    good = packed(b"good")
    for bad in (
        packed(b"x", expiration="soon"),
        packed(b"x", expiration="-1"),
        packed(b"x" * (16 * MB + 1)),
        codec.encode(Item("", "q", b"\0\0", b"", ("k" * 1_000,) * 200)),
        codec.encode(Item("", "q", b"\0\0", b"", ("k" * 1_000,) * 100, ("k" * 1_000,) * 100)),
        codec.encode(Item("", "q", b"\x21\x00\0\0\0\5xxxxx\x013", b"")),  # an expiration, and headers that are none
    ):
        number, reason = refusal(http, good, bad, good)
        assert (number, bool(reason)) == (1, True)
    assert everything(http) == []
    assert brought(put(http, good))["stored"] == 1


@pytest.mark.parametrize(
    "data",
    [
        b"\0",
        packed(b"whole")[:-1],
        packed(b"x") + b"\0\xff",
        codec.encode(Item("", "q", b"\0\0" + b"\0" * 200_000, b"")),
        codec.encode(Item("", "q", b"\0\3", b"")),
        codec.encode(Item("", "q", b"", b"")),
        b"\0\0\0" + (60_000).to_bytes(2, "big") * 2 + b"\0" * 600_000,
        packed(*[b""] * (MOST + 1)),
    ],
)
def test_what_cannot_be_decoded(http: Http, data: bytes) -> None:
    reply = put(http, data).expect(400)
    assert len(reply.body) < 500
    assert everything(http) == []


def test_as_many_as_there_may_be(http: Http) -> None:
    assert brought(put(http, packed(*[b""] * MOST)))["stored"] == MOST
    keys = tuple("k" for _ in range(MOST_KEYS * 5 // 6))
    assert brought(put(http, codec.encode(Item("", "q", b"\0\0", b"", keys))))["stored"] == 1
    assert len(everything(http)) == MOST + 1


@given(st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_whatever_comes_is_answered(http: Http, data: st.DataObject) -> None:
    properties = raw(headers={"h": longstr(b"x"), "x-death": longstr(b"x")}, expiration="60000")
    changed = bytearray(codec.encode(Item("amq.topic", "q", properties, b"body", ("cc",))) * 2)
    for _ in range(data.draw(st.integers(1, 4))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    reply = put(http, bytes(changed)).expect(200, 400)
    stored = brought(reply)["stored"] if reply.status == 200 else 0
    assert stored in (0, 1, 2)
    queue = http.ask("GET", f"queues/{VHOST}/q").expect(200).json
    assert isinstance(queue, dict)
    assert queue["state"] == "running"
    wanted = {"count": 10, "ackmode": "reject_requeue_false", "encoding": "auto"}
    taken = http.ask("POST", f"queues/{VHOST}/q/get", wanted).expect(200).json
    assert isinstance(taken, list)
    assert len(taken) <= stored


# -- memory


def test_a_page_needs_no_copy_of_a_message() -> None:
    with Started.start("--memory-budget", str(200 * MB)) as started:
        http = Http(started.place.api)
        fill(started.place, "small", b"x")
        fill(started.place, "large", *[os.urandom(15 * MB)] * 3)
        everything(http, "%2F/small")  # what is loaded for the first one
        peak = Peak(started)
        assert [len(item.body) for item in everything(http, "%2F/large")] == [15 * MB] * 3
        assert peak.growth < 10 * MB


def test_headers_count_for_a_page(started: Started) -> None:
    fill(started.place, "wordy", *[b""] * 100, headers={"h": "x" * 100_000})
    told, found = page(Http(started.place.api), queue="%2F/wordy")
    assert (told["count"], len(found)) == (11, 11)  # a megabyte, and the last one beyond
    Http(started.place.api).ask("DELETE", "queues/%2F/wordy").expect(204)
