"""What a broker remembers of a message beside its content: when it arrived, and how often it came back."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from leveret.core.exchange.exchange import Binding
from leveret.core.message import codec
from leveret.core.message.message import Message, Provenance, address
from leveret.core.queue.browsing import TOP, Page
from leveret.core.queue.entry import QueueEntry
from leveret.core.queue.retries import Retries
from leveret.management.messages import export_messages, import_messages
from leveret.wire.content import make_content
from leveret.wire.fields import Table, long, longstr
from leveret.wire.methods import BasicGetOk, BasicNack, BasicPublish, BasicReject
from leveret.wire.properties import BasicProperties
from tests.brokers.promises import kept
from tests.brokers.run import START_MS, Run
from tests.clients.socketless import Got

pytestmark = pytest.mark.usefixtures("load_bytes")

TYPES = pytest.mark.parametrize("kind", ["classic", "quorum"])


class Lives:
    """One life of a broker after the other. is_clean: none is killed."""

    def __init__(self, directory: Path, is_clean: bool) -> None:
        self._directory = directory
        self._is_clean = is_clean
        self._count = 0
        self._killed: list[Run] = []

    def begin(self) -> Run:
        """The next life, an hour later."""
        self._count += 1
        return Run(self._directory, 5_000, START_MS + self._count * 3_600_000)

    def end(self, run: Run) -> None:
        """The end of one. A killed one leaves what is written."""
        if self._is_clean:
            run.end()
            return
        run.commit()
        run.queue(f"behind {self._count}")  # with what the commit has led to, as the removal of a dead letter
        run.commit()
        copy = self._directory.with_name(f"life-{self._count}")
        shutil.copytree(self._directory, copy)
        self._directory = copy
        self._killed.append(run)

    def close(self) -> None:
        """Let go of all files."""
        for run in self._killed:
            run.end()


def take(run: Run, name: str = "q") -> Got:
    """Get a message, which stays outstanding."""
    got = run.get(name, no_ack=False)
    assert isinstance(got.method, BasicGetOk)
    return got


def reject(run: Run, name: str = "q") -> None:
    """Get a message and give it back with basic.reject."""
    got = take(run, name)
    assert isinstance(got.method, BasicGetOk)
    run.peer.send(BasicReject(got.method.delivery_tag, True))


def headers(got: Got) -> dict[str, int]:
    """The numbers in the headers of a message."""
    assert got.properties is not None
    found = got.properties.headers or {}
    return {name: field.integer for name, field in found.items() if field.is_integer}


def browsed(run: Run, name: str) -> list[QueueEntry]:
    """The ready messages of a queue."""
    page = Page(TOP, 0, -1, 1000, 1 << 30)
    run.broker.vhosts["/"].queues[name].browse(page)
    return page.messages


@TYPES
@pytest.mark.parametrize("is_clean", [True, False])
def test_the_delivery_limit_holds_across_restarts(tmp_path: Path, kind: str, is_clean: bool) -> None:
    lives = Lives(tmp_path / "data", is_clean)
    run = lives.begin()
    run.queue("dead")
    to_dead = {"x_dead_letter_exchange": "", "x_dead_letter_routing_key": "dead"}
    run.queue("q", x_queue_type=kind, x_delivery_limit=2, **to_dead)
    run.publish("q", b"poison")
    run.publish("q", b"good")
    run.commit()
    for left in (2, 2, 1):
        reject(run)
        assert run.ready("q") == left
        lives.end(run)
        run = lives.begin()
    assert (run.ready("q"), run.ready("dead")) == (1, 1)
    assert headers(take(run, "dead")) == {}
    assert take(run).body == b"good"
    run.end()
    lives.close()


@pytest.mark.parametrize("is_clean", [True, False])
def test_a_quorum_queue_shows_counts_of_earlier_runs(tmp_path: Path, is_clean: bool) -> None:
    lives = Lives(tmp_path / "data", is_clean)
    run = lives.begin()
    run.queue("q", x_queue_type="quorum")
    run.publish("q", b"a", headers={"own": long(7)})
    run.commit()
    expected = {"own": 7}
    for acquired, is_failure in enumerate((True, False, True), 1):
        got = take(run)
        assert headers(got) == expected
        assert isinstance(got.method, BasicGetOk)
        tag = got.method.delivery_tag
        run.peer.send(BasicReject(tag, True) if is_failure else BasicNack(tag, False, True))
        expected["x-acquired-count"] = acquired
        if is_failure:
            expected["x-delivery-count"] = expected.get("x-delivery-count", 0) + 1
        lives.end(run)
        run = lives.begin()
    (stored,) = browsed(run, "q")
    assert (stored.failures, stored.acquired) == (2, 3)
    assert headers(take(run)) == expected
    run.end()
    lives.close()


def test_classic_queues_show_no_counts_after_a_restart(tmp_path: Path) -> None:
    run = Run(tmp_path, 5_000, START_MS)
    run.queue("q")
    run.publish("q", b"a")
    run.commit()
    reject(run)
    run.end()
    run = Run(tmp_path, 5_000, START_MS)
    (stored,) = browsed(run, "q")
    assert (stored.failures, stored.acquired) == (1, 1)
    got = take(run)
    assert got.properties is not None
    assert got.properties.headers is None
    run.end()


def test_a_client_cannot_make_up_counts(tmp_path: Path) -> None:
    run = Run(tmp_path, 5_000, START_MS)
    run.queue("q", x_queue_type="quorum", x_delivery_limit=3)
    run.publish("q", b"a", headers={"x-delivery-count": long(50), "x-acquired-count": long(70)})
    reject(run)
    run.end()
    run = Run(tmp_path, 5_000, START_MS)
    assert headers(take(run)) == {"x-delivery-count": 1, "x-acquired-count": 1}
    run.end()


def test_what_has_to_wait_is_ready_after_a_restart(tmp_path: Path) -> None:
    run = Run(tmp_path, 5_000, START_MS)
    delays = {"x_delayed_retry_type": "all", "x_delayed_retry_min": 1000, "x_delayed_retry_max": 10_000}
    run.queue("q", x_queue_type="quorum", **delays)
    run.publish("q", b"a")
    reject(run)
    assert run.ready("q") == 0
    run.end()
    run = Run(tmp_path, 5_000, START_MS)
    assert run.ready("q") == 1
    reject(run)
    run.pass_ms(1999)
    assert run.ready("q") == 0  # for the second failure
    run.pass_ms(1)
    assert run.ready("q") == 1
    assert not any(isinstance(target, Retries) for _, target in run.broker.timers.waiting())
    run.end()


def test_a_message_arrives_when_its_queue_takes_it(tmp_path: Path) -> None:
    run = Run(tmp_path, 5_000, START_MS)
    run.queue("q")
    run.queue("other")
    run.pass_ms(10)
    vhost = run.broker.vhosts["/"]
    for name in ("q", "other"):
        vhost.bind(Binding(vhost.exchanges["amq.fanout"], vhost.queues[name], None, "", {}))
    properties = BasicProperties()
    properties.delivery_mode = 2
    run.peer.send(BasicPublish("amq.fanout", ""), b"both", properties)
    run.pass_ms(5)
    run.publish("q", b"own")
    times = {"q": [START_MS + 10, START_MS + 15], "other": [START_MS + 10]}
    for _ in range(3):
        for name, arrived in times.items():
            assert [int(stored.message.arrived_ms) for stored in browsed(run, name)] == arrived
        run.end()
        run = Run(tmp_path, 77, START_MS + 100_000)
    reject(run)
    run.end()
    run = Run(tmp_path, 77, START_MS + 200_000)
    assert [int(stored.message.arrived_ms) for stored in browsed(run, "q")] == times["q"]
    run.end()


@TYPES
def test_coming_back_is_no_arrival(tmp_path: Path, kind: str) -> None:
    run = Run(tmp_path, 5_000, START_MS)
    run.queue("q", x_queue_type=kind)
    run.publish("q", b"a")
    run.pass_ms(50)
    reject(run)
    (stored,) = browsed(run, "q")
    assert stored.message.arrived_ms == START_MS
    run.end()


def test_a_dead_letter_arrives_anew(tmp_path: Path) -> None:
    run = Run(tmp_path, 5_000, START_MS)
    run.queue("dead")
    run.queue("q", x_message_ttl=1000, x_dead_letter_exchange="", x_dead_letter_routing_key="dead")
    run.publish("q", b"a")
    run.pass_ms(1500)
    run.ready("dead")
    (letter,) = browsed(run, "dead")
    assert letter.message.arrived_ms == START_MS + 1500
    run.end()


def test_a_delayed_message_arrives_when_it_goes_out(tmp_path: Path) -> None:
    run = Run(tmp_path, 5_000, START_MS)
    run.queue("q")
    vhost = run.broker.vhosts["/"]
    kind: Table = {"x-delayed-type": longstr("fanout")}
    exchange = vhost.declare_exchange("e", "x-delayed-message", True, False, False, kind)
    vhost.bind(Binding(exchange, vhost.queues["q"], None, "", {}))
    properties = BasicProperties()
    properties.delivery_mode = 2
    properties.headers = {"x-delay": long(300)}
    run.peer.send(BasicPublish("e", ""), b"later", properties)
    run.pass_ms(300)
    (stored,) = browsed(run, "q")
    assert stored.message.arrived_ms == START_MS + 300
    run.end()


def test_an_export_says_when_and_an_import_arrives_anew(tmp_path: Path) -> None:
    run = Run(tmp_path, 5_000, START_MS)
    run.queue("q")
    run.queue("copy")
    run.publish("q", b"a")
    run.pass_ms(2000)
    data = kept(export_messages(run.broker, "q"))["data"]
    assert isinstance(data, bytes)
    (item,) = codec.decode(data)
    assert (item.arrived_ms, item.provenance) == (START_MS, None)
    import_messages(run.broker, "copy", data=data)
    (stored,) = browsed(run, "copy")
    assert stored.message.arrived_ms == START_MS + 2000
    run.end()


def test_where_a_message_was_before_is_kept(tmp_path: Path) -> None:
    run = Run(tmp_path, 5_000, START_MS)
    run.queue("q", x_queue_type="quorum")
    run.queue("copy")
    message = Message(address("", "q"), make_content(b"\x10\x00\x02", b"far"), True)
    message.provenance = Provenance("n\u00f6de", (1 << 63) - 1)
    run.broker.vhosts["/"].queues["q"].publish(message, None)
    reject(run)
    for _ in range(2):
        (stored,) = browsed(run, "q")
        assert stored.message.provenance is not None
        assert (stored.message.provenance.name, stored.message.provenance.number) == ("n\u00f6de", (1 << 63) - 1)
        run.end()
        run = Run(tmp_path, 5_000, START_MS)
    data = kept(export_messages(run.broker, "q"))["data"]
    assert isinstance(data, bytes)
    import_messages(run.broker, "copy", data=data)
    (stored,) = browsed(run, "copy")
    assert stored.message.provenance is not None
    assert (stored.message.provenance.name, stored.message.provenance.number) == ("n\u00f6de", (1 << 63) - 1)
    run.end()
