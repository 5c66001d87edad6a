"""Many or large messages that are gotten at once: what one answer has, and what the broker needs for all of them."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pika
import pytest

import leveret
from leveret.api import answers
from leveret.api.payloads import PIECE, parts
from leveret.core.client.errand import MAX_BYTES
from leveret.wire.content import make_content
from tests.api.http import Http
from tests.api.place import Place, Started
from tests.api.raw import Wire, wire
from tests.clients.peer import Peer
from tests.clients.waiting import eventually

MB = 1 << 20
LARGE = 16 * MB
WANTED = {"count": 1, "ackmode": "ack_requeue_true", "encoding": "auto"}
EVERYTHING = {"configure": ".*", "write": ".*", "read": ".*"}


def fill(place: Place, queue: str, *bodies: bytes, **properties: Any) -> None:
    """Put messages into a new queue."""
    with place.connect() as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.queue_delete(queue)
        channel.queue_declare(queue, durable=True)
        for body in bodies:
            channel.basic_publish("", queue, body, pika.BasicProperties(**properties))


def get(http: Http, queue: str, **more: object) -> list[dict[str, Any]]:
    """What an answer has."""
    found: Any = http.ask("POST", f"queues/%2F/{queue}/get", {**WANTED, **more}).expect(200).json
    return list(found)


# -- bodies in pieces


@pytest.mark.parametrize("frame_max", [0, 1_000, 4_096, 131_072])
@pytest.mark.parametrize("size", [0, 1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE, 5 * PIECE + 7])
def test_parts_of_a_body(size: int, frame_max: int) -> None:
    body = bytes(at % 251 for at in range(size))
    content = make_content(b"\0\0", body, frame_max)
    for most in {0, 1, PIECE, PIECE + 1, size, size + 1, max(size - 1, 0)}:
        found = list(parts(content, most))
        assert b"".join(found) == body[:most]
        assert {len(part) for part in found[:-1]} <= {PIECE}
        assert found == [] or 0 < len(found[-1]) <= PIECE


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"x" * (3 * PIECE),
        "ü€😀".encode() * PIECE,  # letters that lie across the borders of parts
        b'\x00\x1f"\\\x7f' * PIECE,
        b"x" * (3 * PIECE) + "ü".encode()[:1],
        b"\xff" + b"x" * (3 * PIECE),
        bytes(range(256)) * 1_000,
    ],
)
@pytest.mark.parametrize("cut", [None, 7, PIECE, PIECE + 1, 2 * PIECE + 3])
def test_payloads_are_what_was_published(started: Started, body: bytes, cut: int | None) -> None:
    fill(started.place, "exact", body, headers={"payload": ""})
    (found,) = get(Http(started.place.api), "exact", truncate=cut)
    shown = body if cut is None else body[:cut]
    try:
        expected = ("string", shown.decode())
    except UnicodeDecodeError:
        expected = ("base64", base64.b64encode(shown).decode())
    assert (found["payload_encoding"], found["payload"]) == expected
    assert (found["payload_bytes"], found["properties"]) == (len(body), {"headers": {"payload": ""}})
    (found,) = get(Http(started.place.api), "exact", truncate=cut, encoding="base64")
    assert found["payload"] == base64.b64encode(shown).decode()


def test_a_key_that_is_no_text(started: Started) -> None:
    fill(started.place, "odd")
    peer = Peer((started.place.host, started.place.port)).login()
    channel = peer.channel()
    channel.bind("odd", "amq.fanout")
    channel.confirm()
    channel.confirmed("k\udcff", b"body", exchange="amq.fanout", headers={"payload": ""})
    peer.close()
    (found,) = get(Http(started.place.api), "odd")
    assert (found["routing_key"], found["payload"]) == ("k\udcff", "body")


# -- what one answer has


def test_bodies_are_bounded_but_for_the_last_one(started: Started) -> None:
    body = b"x" * (3 * MB)
    fill(started.place, "heavy", *[body] * 8)
    assert len(get(Http(started.place.api), "heavy", count=8)) == MAX_BYTES // len(body) + 1
    assert len(get(Http(started.place.api), "heavy", count=8, truncate=1)) == MAX_BYTES // len(body) + 1


def test_headers_count_as_well(started: Started) -> None:
    headers = {"h": "x" * 100_000}
    fill(started.place, "wordy", *[b""] * 300, headers=headers)
    found = get(Http(started.place.api), "wordy", count=300)
    assert MAX_BYTES // 101_000 <= len(found) <= MAX_BYTES // 100_000 + 1


# -- what all of them need


@pytest.fixture(scope="module")
def heavy() -> Iterator[Started]:
    """A broker with a large message in memory, which JSON makes six times as large."""
    with Started.start("--memory-budget", str(200 * MB)) as started:
        fill(started.place, "large", bytes(LARGE))
        yield started


class Peak:
    """The most resident memory of a process from now on."""

    def __init__(self, started: Started) -> None:
        self._place = Path(f"/proc/{started.server.process.pid}")
        (self._place / "clear_refs").write_text("5")
        self._before = self._read("VmRSS")

    def _read(self, key: str) -> int:
        lines = (self._place / "status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith(key)).split()[1]) << 10

    @property
    def growth(self) -> int:
        """Bytes more than before."""
        return self._read("VmHWM") - self._before


def test_one_answer_needs_no_copy_of_a_message(heavy: Started) -> None:
    http = Http(heavy.place.api)
    get(http, "large", truncate=10)  # what is loaded for the first one
    peak = Peak(heavy)
    (found,) = get(http, "large", truncate=10)
    assert found["payload"] == "\0" * 10
    assert peak.growth < LARGE / 2
    assert len(http.ask("POST", "queues/%2F/large/get", WANTED).expect(200).body) > 6 * LARGE
    assert peak.growth < LARGE / 2


def test_many_answers_at_once_need_no_copies_either(heavy: Started) -> None:
    http = Http(heavy.place.api)
    get(http, "large", truncate=10)
    peak = Peak(heavy)
    with ThreadPoolExecutor(8) as pool:
        sizes = list(pool.map(lambda _: len(http.ask("POST", "queues/%2F/large/get", WANTED).body), range(8)))
    assert max(sizes) > 6 * LARGE  # it may have been the turn of another one; then there is nothing
    assert peak.growth < LARGE


def test_answers_are_bounded_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "MOST", 4_000_000)
    with leveret.Broker(management=True) as broker:
        api = broker.management_url
        http = Http(api)
        for name in ("one", "two", "three"):
            http.ask("PUT", f"users/{name}", {"password": "x", "tags": "management"}).expect(201)
            http.ask("PUT", f"permissions/%2F/{name}", EVERYTHING).expect(201)
        for name in ("q", "small"):
            http.ask("PUT", f"queues/%2F/{name}", {}).expect(201)
        for name, size in (("q", 3_000_000), ("q", 3_000_000), ("small", 1)):
            message = {"properties": {}, "routing_key": name, "payload": "\0" * size, "payload_encoding": "string"}
            http.ask("POST", "exchanges/%2F/amq.default/publish", message).expect(200)

        def ask(name: str) -> int:
            return Http(api, name, "x").ask("POST", "queues/%2F/small/get", WANTED).status

        def held() -> dict[str, int]:
            return dict(broker._server.call(lambda: broker._server.node._api._services.answers.held))  # type: ignore

        wanted = json.dumps({**WANTED, "ackmode": "ack_requeue_false"}).encode()

        def begin(wire: Wire, name: str) -> None:
            login = base64.b64encode(f"{name}:x".encode()).decode()
            lines = ["POST /api/queues/%2F/q/get HTTP/1.1", "Host: x", f"Content-Length: {len(wanted)}"]
            wire.send("\r\n".join([*lines, f"Authorization: Basic {login}", "", ""]).encode() + wanted)

        with wire(api) as first, wire(api) as second:
            begin(first, "one")
            eventually(lambda: held().keys() == {"one"})
            assert (ask("one"), ask("two")) == (503, 200)
            begin(second, "two")
            eventually(lambda: held().keys() == {"one", "two"})
            assert ask("three") == 503
        eventually(lambda: held() == {})
        assert (ask("one"), ask("two"), ask("three")) == (200, 200, 200)
