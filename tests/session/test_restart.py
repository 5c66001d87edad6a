"""What a broker knows again after a restart: deadlines, deaths, and letters that were on their way."""

from __future__ import annotations

from pathlib import Path

import pytest

from leveret.core.errors.refusals import Refusal
from leveret.core.exchange.exchange import Binding
from leveret.store.database import FILE_NAME
from leveret.wire.fields import Table, array, longstr
from leveret.wire.methods import BasicReject
from tests.brokers.on_disk import PATIENCE_S
from tests.brokers.run import START_MS, Run
from tests.clients.socketless import Got

pytestmark = pytest.mark.usefixtures("load_bytes")


def test_time_to_live_goes_on(tmp_path: Path) -> None:
    run = Run(tmp_path, 5_000, START_MS)
    run.queue("q", x_message_ttl=1000)
    run.queue("own")
    run.publish("q", b"a")
    run.publish("own", b"b", expiration="1500")
    run.publish("own", b"c")
    run.pass_ms(300)
    run.end()
    run = Run(tmp_path, 77, START_MS + 300 + 600)
    assert (run.ready("q"), run.ready("own")) == (1, 2)
    run.pass_ms(99)
    assert run.ready("q") == 1
    run.pass_ms(1)
    assert (run.ready("q"), run.ready("own")) == (0, 2)
    run.pass_ms(500)
    assert run.ready("own") == 1
    run.pass_ms(1_000_000)
    assert run.get("own").body == b"c"
    run.end()


def test_quorum_queues_keep_transient_messages(tmp_path: Path) -> None:
    run = Run(tmp_path, 5_000, START_MS)
    for name, type_ in (("all", "quorum"), ("some", "classic")):
        run.queue(name, x_queue_type=type_)
        for delivery_mode in (None, 1, 2):
            run.publish(name, str(delivery_mode).encode(), delivery_mode=delivery_mode)
    run.end()
    run = Run(tmp_path, 5_000, START_MS)
    assert (run.ready("all"), run.ready("some")) == (3, 1)
    for delivery_mode in (None, 1, 2):
        got = run.get("all")
        assert got.properties is not None
        assert (got.body, got.properties.delivery_mode) == (str(delivery_mode).encode(), delivery_mode)
    assert run.get("some").body == b"2"
    run.end()
    run = Run(tmp_path, 5_000, START_MS)
    assert (run.ready("all"), run.ready("some")) == (0, 0)
    run.end()


def test_what_expired_meanwhile_becomes_a_dead_letter_at_the_start(tmp_path: Path) -> None:
    run = Run(tmp_path, 5_000, START_MS)
    run.queue("dead")
    run.queue("q", x_message_ttl=1000, x_dead_letter_exchange="", x_dead_letter_routing_key="dead")
    run.publish("q", b"a")
    run.end()
    run = Run(tmp_path, 5_000, START_MS + 5000)
    assert (run.ready("q"), run.ready("dead")) == (0, 1)
    run.end()
    run = Run(tmp_path, 5_000, START_MS + 9000)
    got = run.get("dead")
    assert got.properties is not None
    assert got.properties.headers is not None
    (death,) = deaths(got)
    assert (death["reason"].text, death["time"].integer) == ("expired", (START_MS + 5000) // 1000)
    run.end()


def test_what_is_beyond_the_limits_of_a_virtual_host_comes_back(tmp_path: Path) -> None:
    run = Run(tmp_path, 5_000, START_MS)
    vhost = run.broker.vhosts["/"]
    for name in ("one", "two"):
        run.queue(name)
        vhost.declare_exchange(name, "direct", True, False, False, {})
        vhost.bind(Binding(vhost.exchanges[name], vhost.queues[name], None, "", {}))
    limits = dict.fromkeys(("max-queues", "max-exchanges", "max-bindings"), 1)
    run.broker.set_vhost_limits("/", limits)
    run.end()
    run = Run(tmp_path, 5_000, START_MS)
    vhost = run.broker.vhosts["/"]
    assert (set(vhost.queues), vhost.bindings, vhost.limits) == ({"one", "two"}, 2, limits)
    assert {"one", "two"} <= set(vhost.exchanges)
    with pytest.raises(Refusal, match="queue limit in vhost '/' \\(1\\) is reached"):
        run.queue("three")
    with pytest.raises(Refusal, match="exchange limit in vhost '/' \\(1\\) is reached"):
        vhost.declare_exchange("three", "direct", True, False, False, {})
    with pytest.raises(Refusal, match="cannot bind queue 'one' to exchange 'two': binding limit in vhost '/'"):
        vhost.bind(Binding(vhost.exchanges["two"], vhost.queues["one"], None, "", {}))
    run.end()


def deaths(got: Got) -> list[Table]:
    """The tables of x-death."""
    assert got.properties is not None
    items = (got.properties.headers or {})["x-death"].value
    assert isinstance(items, list)
    return [item.value for item in items]


def test_deaths_are_counted_on_after_a_restart_and_those_of_clients_are_not(tmp_path: Path) -> None:
    run = Run(tmp_path, 5_000, START_MS)
    run.queue("q", x_dead_letter_exchange="", x_dead_letter_routing_key="q")
    run.publish("q", b"a", headers={"x-death": array([longstr("whatever")]), "CC": array([longstr("cc")])})
    for count in (1, 2, 3):
        run.get("q", no_ack=False)
        run.peer.send(BasicReject(1, False))
        run.end()
        run = Run(tmp_path, 5_000, START_MS + count)
        (death,) = deaths(run.get("q", no_ack=False))
        assert death["count"].integer == count
        assert repr(death["routing-keys"].value) == repr([longstr("q"), longstr("cc")])
        run.end()
        run = Run(tmp_path, 5_000, START_MS)
    run.end()


def copied(directory: Path, to: Path) -> Path:
    """What a power cut would leave now."""
    to.mkdir()
    for path in directory.glob(FILE_NAME + "*"):
        (to / path.name).write_bytes(path.read_bytes())
    return to


def test_a_letter_on_its_way_is_not_lost_in_a_crash(tmp_path: Path) -> None:
    run = Run(tmp_path / "live", 5_000, START_MS)
    run.queue("dead")
    run.queue("q", x_dead_letter_exchange="", x_dead_letter_routing_key="dead")
    run.publish("q", b"a")
    run.end()
    run = Run(tmp_path / "live", 5_000, START_MS)
    run.get("q", no_ack=False)
    run.peer.send(BasicReject(1, False))
    copies = [copied(tmp_path / "live", tmp_path / "before")]
    run.log.flush()
    for name in ("sent", "removed"):
        run.committed.get(timeout=PATIENCE_S)
        copies.append(copied(tmp_path / "live", tmp_path / name))
        run.log.on_committed()
        run.log.flush()
    run.end()
    places: list[list[str]] = []
    for directory in copies:
        run = Run(directory, 5_000, START_MS)
        places.append([name for name in ("q", "dead") if run.ready(name)])
        run.end()
    assert places == [["q"], ["q", "dead"], ["dead"]]


def test_old_letters_of_a_queue_that_must_hand_them_over_come_back(tmp_path: Path) -> None:
    run = Run(tmp_path, 5_000, START_MS)
    strategy = {"x_overflow": "reject-publish", "x_dead_letter_strategy": "at-least-once"}
    run.queue("q", x_message_ttl=10, x_dead_letter_exchange="later", **strategy)
    run.publish("q", b"a")
    run.pass_ms(10)
    assert run.ready("q") == 0
    run.end()
    run = Run(tmp_path, 5_000, START_MS + 100)
    run.queue("dead")
    vhost = run.broker.vhosts["/"]
    exchange = vhost.declare_exchange("later", "fanout", True, False, False, {})
    vhost.bind(Binding(exchange, vhost.queues["dead"], None, "", {}))
    run.pass_ms(2000)
    assert run.get("dead").body == b"a"
    run.end()
