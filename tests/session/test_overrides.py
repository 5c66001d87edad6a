"""Arguments of a queue change while it is in use, and clients that declare it as before notice nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from leveret.core.client import tending
from leveret.core.client.errand import Errand
from leveret.core.errors.administration import InvalidError
from leveret.core.errors.refusals import FORBIDDEN, LOCKED, UNKNOWN, Refusal
from leveret.core.policy.arguments import BY_NAME, LIVE_NAMES, TABLE
from leveret.core.policy.overrides import as_arguments, checked, limited
from leveret.core.policy.policy import Policy
from leveret.management.entries import CHANGED
from leveret.wire.fields import longstr
from leveret.wire.methods import BasicAck, BasicNack, ChannelClose, QueueDeclare, QueueDeclareOk
from tests.brokers.run import START_MS, Run
from tests.clients.socketless import Peer, everybody, make_broker
from tests.management.test_definitions import load, save
from tests.session.queue_scene import QueueScene, Taker

OTHERS = {  # a value that each live argument may have
    "x-expires": 60_000,
    "x-message-ttl": 1000,
    "x-dead-letter-exchange": "dlx",
    "x-dead-letter-routing-key": "dead",
    "x-dead-letter-strategy": "at-least-once",
    "x-max-length": 5,
    "x-max-length-bytes": 5000,
    "x-overflow": "reject-publish",
    "x-delivery-limit": 3,
    "x-consumer-timeout": 60_000,
    "x-delayed-retry-type": "all",
    "x-delayed-retry-min": 10,
    "x-delayed-retry-max": 20,
    "x-paused": True,
    "x-delivery-rate": 12.5,
    "x-delivery-burst": 4,
    "x-max-prefetch": 7,
    "x-consumer-order": "least-loaded",
    "x-hold-until-header": "eta",
    "x-deduplicate-by": "message-id",
}


def test_there_is_a_value_for_each() -> None:
    assert set(OTHERS) == set(LIVE_NAMES)
    assert all(BY_NAME[name].key for name in LIVE_NAMES)


@pytest.mark.parametrize("name", LIVE_NAMES)
@pytest.mark.parametrize("kind", ["classic", "quorum"])
def test_each_changes_at_once_and_is_given_back(name: str, kind: str) -> None:
    scene = QueueScene(queue_type=kind)
    before = _settings(scene)
    scene.vhost.override(scene.queue, checked({name: OTHERS[name]}, kind))
    if name not in ("x-dead-letter-strategy", "x-delayed-retry-type", "x-delayed-retry-max"):  # which need another
        assert _settings(scene) != before
    assert as_arguments(scene.queue.overrides) == {name: OTHERS[name]}
    assert scene.declare().queue == "q"
    scene.vhost.override(scene.queue, {})
    assert _settings(scene) == before


def _settings(scene: QueueScene) -> dict[str, Any]:
    """All that the queue heeds."""
    settings = scene.queue.settings
    return {name: getattr(settings, name) for name in dir(settings) if not name.startswith("_")}


@pytest.mark.parametrize("original", [{}, {"max_length": 10, "message_ttl": 5000}])
def test_who_declares_with_the_originals_succeeds_and_who_does_not_is_refused(original: dict[str, object]) -> None:
    scene = QueueScene(**original)
    scene.override(max_length=3, message_ttl=None)
    assert scene.declare().queue == "q"
    other = {**scene.arguments, "x-max-length": longstr("3")}
    refusal = Peer(scene.broker).call(QueueDeclare("q", durable=True, arguments=other), ChannelClose)
    assert refusal.reply_code == 406


def test_it_counts_before_arguments_and_policies() -> None:
    scene = QueueScene(max_length=10)
    scene.policy({"max-length": 5})
    assert scene.queue.settings.max_length == 5
    scene.override(max_length=20)
    assert scene.queue.settings.max_length == 20
    scene.policy({"max-length": 3, "message-ttl": 1000})
    assert (scene.queue.settings.max_length, scene.queue.settings.message_ttl_ms) == (20, 1000)
    scene.override(max_length=None, message_ttl=None)
    assert (scene.queue.settings.max_length, scene.queue.settings.message_ttl_ms) == (-1, -1)
    scene.vhost.override(scene.queue, {})
    assert (scene.queue.settings.max_length, scene.queue.settings.message_ttl_ms) == (3, 1000)


def test_an_operator_policy_limits_it() -> None:
    scene = QueueScene()
    scene.policy({"max-length": 100, "paused": True, "delivery-rate": 5}, is_operator=True)
    scene.override(max_length=1000, paused=False, delivery_rate=50, message_ttl=70)
    settings = scene.queue.settings
    assert (settings.max_length, settings.is_paused, settings.delivery_rate) == (100, True, 5)
    assert settings.message_ttl_ms == 70
    scene.override(max_length=None, delivery_rate=1)
    assert (scene.queue.settings.max_length, scene.queue.settings.delivery_rate) == (100, 1)
    scene.policy(None, is_operator=True)
    settings = scene.queue.settings
    assert (settings.max_length, settings.is_paused, settings.delivery_rate) == (-1, False, 1)


def test_limited_by_itself() -> None:
    policy = Policy("p", "", {"max-length": 5, "target-group-size": 3}, 0, "all")
    assert limited({}, policy) == {}
    assert limited({"max-length": 9, "expires": 3}, policy) == {"max-length": 5, "expires": 3}
    assert limited({"max-length": None}, policy) == {"max-length": 5}
    assert limited({"max-length": 9}, None) == {"max-length": 9}


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"x-max-priority": 5}, "x-max-priority cannot change on an existing queue"),
        ({"x-queue-type": "quorum"}, "x-queue-type cannot change on an existing queue"),
        ({"x-single-active-consumer": True}, "x-single-active-consumer cannot change on an existing queue"),
        ({"x-max-age": "1D"}, "queues of type classic do not support x-max-age"),
        ({"x-nonsense": 1}, "'x-nonsense' is unknown; the arguments are x-expires"),
        ({"max-length": 1}, "'max-length' is unknown"),
        ({"x-max-length": -1}, "x-max-length cannot be -1; it takes a whole number from 0"),
        ({"x-max-length": "5"}, 'x-max-length cannot be <<"5">>; it takes'),
        ({"x-max-length": True}, "x-max-length cannot be true"),
        ({"x-max-length": 1.5}, "x-max-length cannot be 1.5"),
        ({"x-max-length": [1]}, "x-max-length cannot be [1]"),
        ({"x-max-length": 5, "x-expires": 0}, "x-expires cannot be 0; it takes milliseconds"),
        ({"x-overflow": "explode"}, "x-overflow cannot be"),
        ({"x-dead-letter-exchange": "x" * 256}, "x-dead-letter-exchange cannot be"),
        ({"x-delivery-rate": 0}, "x-delivery-rate cannot be 0; it takes messages a second, a number from 0.001 to"),
        ({"x-delivery-rate": 1e9}, "x-delivery-rate cannot be 1000000000.0"),
        ({"x-delivery-rate": True}, "x-delivery-rate cannot be true"),
        ({"x-delivery-burst": 0}, "x-delivery-burst cannot be 0"),
        ({"x-max-prefetch": 0}, "x-max-prefetch cannot be 0"),
        ({"x-consumer-order": "random"}, "x-consumer-order cannot be"),
        ({"x-hold-until-header": ""}, "x-hold-until-header cannot be"),
        ({"x-hold-until-header": "x" * 256}, "x-hold-until-header cannot be"),
        ({"x-paused": 1}, "x-paused cannot be 1; it takes true or false"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_changes(changes: dict[str, object], text: str) -> None:
    with pytest.raises(InvalidError) as refused:
        checked(changes, "classic")
    assert str(refused.value).startswith(text)


def test_what_is_not_live_is_said_of_every_row() -> None:
    for row in TABLE:
        if row.name and row.name not in LIVE_NAMES:
            for kind in ("classic", "quorum"):
                with pytest.raises(InvalidError):
                    checked({row.name: 1}, kind)


def test_limits_that_come_later_drop_and_refuse_at_once() -> None:
    scene = QueueScene()
    scene.publish(*"abcde")
    scene.override(max_length=3)
    assert (scene.ready(), int(scene.queue.counters.dropped)) == (3, 2)
    scene.override(overflow="reject-publish")
    assert [type(each) for each in scene.publish("f")] == [BasicNack]
    scene.override(max_length=None)
    assert [type(each) for each in scene.publish("f")] == [BasicAck]


# -- who may


def errand(scene: QueueScene, **patterns: str) -> Errand:
    """A request of somebody with these permissions."""
    from leveret.core.access.user import Permission

    user = everybody()
    given = {"configure": "^$", "write": "^$", "read": "^$", **patterns}
    user.permissions["/"] = Permission(given["configure"], given["write"], given["read"], scene.broker.matcher)
    return Errand(scene.broker, "test", user, scene.vhost)


def test_it_takes_the_permission_to_configure_or_to_read() -> None:
    scene = QueueScene(hold_until_header="eta")
    may_not, may = errand(scene, read=".*"), errand(scene, configure="^q$")
    for act in (
        lambda who: tending.pause(who, "q"),
        lambda who: tending.resume(who, "q"),
        lambda who: tending.change(who, "q", {"x-max-length": 1}),
        lambda who: tending.restore(who, "q", ["x-max-length"]),
        lambda who: tending.set_prefetch(who, "q", 1, None, None),
    ):
        with pytest.raises(Refusal) as refused:
            act(may_not)
        assert refused.value.kind == FORBIDDEN
        act(may)
    with pytest.raises(Refusal) as refused:
        tending.drop_held(may, "q", "1-1")
    assert refused.value.kind == FORBIDDEN
    assert not tending.drop_held(may_not, "q", "1-1")


def test_dead_letters_go_only_where_the_caller_may_publish() -> None:
    scene = QueueScene()
    with pytest.raises(Refusal) as refused:
        tending.change(errand(scene, configure=".*"), "q", {"x-dead-letter-exchange": "amq.fanout"})
    assert refused.value.kind == FORBIDDEN
    assert scene.queue.overrides == {}
    tending.change(errand(scene, configure=".*", read=".*", write="amq"), "q", {"x-dead-letter-exchange": "amq.fanout"})
    assert scene.queue.settings.dead_letter_exchange == "amq.fanout"


def test_other_peoples_exclusive_queues_and_no_queue_at_all() -> None:
    scene = QueueScene()
    Peer(scene.broker).call(QueueDeclare("own", exclusive=True), QueueDeclareOk)
    who = errand(scene, configure=".*")
    for name, kind in (("own", LOCKED), ("none", UNKNOWN)):
        with pytest.raises(Refusal) as refused:
            tending.pause(who, name)
        assert refused.value.kind == kind


def test_resume_says_more_than_arguments_and_policies_and_less_than_operators() -> None:
    scene = QueueScene(paused=True)
    who = errand(scene, configure=".*")
    tending.pause(who, "q")
    tending.resume(who, "q")
    assert (scene.queue.settings.is_paused, scene.queue.overrides) == (False, {"paused": False})
    scene.policy({"paused": True}, is_operator=True)
    assert scene.queue.settings.is_paused
    with pytest.raises(InvalidError, match="operator policy 'p' pauses queue 'q'"):
        tending.resume(who, "q")
    other = QueueScene()
    tending.pause(errand(other, configure=".*"), "q")
    tending.resume(errand(other, configure=".*"), "q")
    assert other.queue.overrides == {}


def test_consumers_are_found_by_tag_and_channel() -> None:
    scene = QueueScene()
    takers = [Taker(scene, 1, tag=tag) for tag in ("one", "one", "two")]
    who = errand(scene, configure=".*")
    scene.publish(*"abcdefghi")
    assert [len(taker.got()) for taker in takers] == [1, 1, 1]
    assert tending.set_prefetch(who, "q", 2, "one", None) == 2
    assert [len(taker.got()) for taker in takers] == [1, 1, 0]
    assert tending.set_prefetch(who, "q", 3, None, "test (1)") == 3
    assert tending.set_prefetch(who, "q", 3, None, "test (2)") == 0
    assert tending.set_prefetch(who, "q", 3, "none", None) == 0


# -- kept


@pytest.mark.usefixtures("load_bytes")
def test_all_are_kept_over_a_restart_and_go_with_the_queue(tmp_path: Path) -> None:
    run = Run(tmp_path, 5_000, START_MS)
    run.queue("q", x_max_length=100)
    vhost = run.broker.vhosts["/"]
    vhost.override(vhost.queues["q"], checked(OTHERS, "classic"))
    run.end()
    run = Run(tmp_path, 5_000, START_MS)
    queue = run.broker.vhosts["/"].queues["q"]
    assert as_arguments(queue.overrides) == OTHERS
    assert (queue.settings.max_length, queue.settings.delivery_rate, queue.settings.is_paused) == (5, 12.5, True)
    assert queue.arguments["x-max-length"].integer == 100
    run.broker.vhosts["/"].delete_queue("q", False, False, 0)
    run.queue("q", x_max_length=100)
    assert run.broker.vhosts["/"].queues["q"].overrides == {}
    run.end()
    run = Run(tmp_path, 5_000, START_MS)
    assert run.broker.vhosts["/"].queues["q"].overrides == {}
    run.end()


def test_those_of_a_transient_queue_are_not_kept(tmp_path: Path) -> None:
    run = Run(tmp_path, 5_000, START_MS)
    vhost = run.broker.vhosts["/"]
    queue = vhost.make_queue("t", False, 0, False, {})
    vhost.override(queue, {"paused": True})
    assert queue.settings.is_paused
    run.end()
    run = Run(tmp_path, 5_000, START_MS)
    vhost = run.broker.vhosts["/"]
    assert "t" not in vhost.queues
    assert not vhost.make_queue("t", False, 0, False, {}).settings.is_paused
    run.end()


def test_they_go_out_with_definitions_and_come_in_again() -> None:
    scene = QueueScene(max_length=100)
    scene.override(max_length=5, paused=True)
    out = save(scene.broker)
    (entry,) = out["queues"]
    assert entry["arguments"]["x-max-length"] == 100
    assert entry[CHANGED] == {"x-max-length": 5, "x-paused": True}
    again = make_broker()
    assert load(again, out)["errors"] == []
    queue = again.vhosts["/"].queues["q"]
    assert (queue.overrides, queue.settings.is_paused) == ({"max-length": 5, "paused": True}, True)
    assert save(again)["queues"] == out["queues"]


@pytest.mark.parametrize(
    ("changed", "reason"),
    [({"x-max-priority": 3}, "x-max-priority cannot change"), ({"x-max-length": "x"}, "x-max-length cannot be")],
)
def test_what_a_file_changes_wrongly_is_told(changed: dict[str, object], reason: str) -> None:
    content = {"queues": [{"name": "q", "vhost": "/", "arguments": {}, CHANGED: changed}]}
    (wrong,) = load(make_broker(), content)["errors"]
    assert wrong["path"] == "queues[0]"
    assert wrong["reason"].startswith(reason)


def test_rabbitmq_gets_neither_changes_nor_what_it_does_not_have() -> None:
    scene = QueueScene(max_length=100, hold_until_header="eta")
    scene.override(paused=True)
    scene.policy({"delivery-rate": 5, "max-length": 7})
    scene.policy({"max-prefetch": 5, "max-length": 8}, is_operator=True)
    out = save(scene.broker, target="rabbitmq-4.3")
    (entry,) = out["queues"]
    assert entry["arguments"] == {"x-queue-type": "classic", "x-max-length": 100}
    assert CHANGED not in entry
    (policy,) = out["policies"]
    assert policy["definition"] == {"max-length": 7}
    (parameter,) = out["parameters"]
    assert parameter["value"]["definition"] == {"max-length": 8}
    notes = [note["reason"] for note in out["notes"]]
    assert len(notes) == 4
    assert "changes of its arguments are left out: RabbitMQ 4.3 only supports the declared arguments" in notes
