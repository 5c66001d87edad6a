"""Whatever a publish is refused for, it is kept who has published it and why; what arrives leaves no trace."""

from __future__ import annotations

from typing import Any

import pytest

from leveret.core.access.user import Credential, Permission, TopicPermission, User
from leveret.core.client.batch import Batch
from leveret.core.client.errand import Errand
from leveret.core.errors.refusals import Refusal
from leveret.core.message.destination import Destination
from leveret.core.message.message import Message
from leveret.core.message.refused import (
    DUPLICATE,
    INVALID,
    NO_EXCHANGE,
    NO_PERMISSION,
    NOT_WRITTEN,
    OBSERVER,
    QUEUE_FAULTY,
    QUEUE_FULL,
    RETURNED,
    TOO_LARGE,
    TOPIC,
    UNROUTABLE,
    RefusedPublish,
)
from leveret.core.policy.matching import Matcher
from leveret.core.queue.client import PASS, REFUSE, STRAY, Client, Observer
from leveret.core.queue.entry import QueueEntry
from leveret.core.queue.replies import REPLY_TO
from leveret.session.base.errors import AmqpError
from leveret.wire.fields import Table, boolean, long, longstr
from leveret.wire.methods import (
    BasicConsume,
    BasicPublish,
    ChannelClose,
    ChannelCloseOk,
    ConfirmSelect,
    ConfirmSelectOk,
    ExchangeDeclare,
    ExchangeDeclareOk,
    QueueBind,
    QueueBindOk,
    QueueDeclare,
    QueueDeclareOk,
    TxCommit,
    TxSelect,
    TxSelectOk,
)
from leveret.wire.properties import BasicProperties
from tests.clients.socketless import Peer, make_broker


def user() -> User:
    """Somebody who may write to all but what begins with closed, and use routing keys that begin with own."""
    found = User("shop", Credential("", ""), ())
    found.permissions["/"] = Permission(".*", "^(?!closed)", ".*", Matcher(print))
    found.topic_permissions["/"] = {"topics": TopicPermission("^own", ".*", Matcher(print))}
    return found


class Scene:
    """A client of a broker."""

    def __init__(self) -> None:
        self.broker = make_broker()
        self.broker.max_message_size = 1_000
        self.vhost = self.broker.vhosts["/"]
        self.peer = Peer(self.broker, user=user())

    def publish(self, exchange: str, key: str, body: bytes = b"m", mandatory: bool = False, **properties: Any) -> None:
        """Publish; a channel that is closed for it is opened again."""
        found = BasicProperties()
        for name, value in properties.items():
            setattr(found, name, value)
        self.peer.send(BasicPublish(exchange, key, mandatory=mandatory), body, found)
        if any(isinstance(got.method, ChannelClose) for got in self.peer.got()):
            self.peer.send(ChannelCloseOk())
            self.peer.open(1)

    def queue(self, name: str, **arguments: Any) -> None:
        """Declare a queue."""
        self.peer.call(QueueDeclare(name, arguments=table(arguments)), QueueDeclareOk)

    def exchange(self, name: str, kind: str, **arguments: Any) -> None:
        """Declare an exchange."""
        self.peer.call(ExchangeDeclare(name, kind, arguments=table(arguments)), ExchangeDeclareOk)

    def all(self) -> list[tuple[str, str, str, str, int]]:
        """Kind, exchange, routing key, queue and number of what was refused, the last in front."""
        return [
            (each.kind, each.exchange, each.routing_key, each.queue, int(each.count))
            for each in self.broker.refused.all()
        ]

    def one(self) -> RefusedPublish:
        """The only one."""
        (found,) = self.broker.refused.all()
        return found


def table(arguments: dict[str, Any]) -> Table:
    """Arguments, by names with underscores."""
    found: Table = {}
    for name, value in arguments.items():
        field = boolean(value) if isinstance(value, bool) else long(value) if isinstance(value, int) else longstr(value)
        found[name.replace("_", "-")] = field
    return found


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_what_arrives_leaves_nothing(scene: Scene) -> None:
    scene.queue("q", x_max_length=2, x_overflow="reject-publish")
    scene.publish("", "q", message_id="m")
    assert scene.all() == []


def test_what_no_queue_gets(scene: Scene) -> None:
    scene.publish("", "nobody", b"12345", message_id="m1")
    scene.publish("", "nobody", b"123", message_id="m2")
    found = scene.one()
    assert (found.kind, found.vhost, found.user, found.connection) == (UNROUTABLE, "/", "shop", "test")
    assert (found.exchange, found.routing_key, found.queue, found.size) == ("", "nobody", "", 3)
    assert (found.message_id, found.count, found.reason) == ("m1", 2, "there is no queue 'nobody'")
    scene.publish("amq.direct", "k", mandatory=True)
    assert scene.all()[0] == (RETURNED, "amq.direct", "k", "", 1)
    assert "has no binding to a queue" in scene.broker.refused.all()[0].reason


def test_exchanges_that_are_not_there_or_not_open(scene: Scene) -> None:
    scene.publish("missing", "k")
    scene.publish("closed", "k")
    scene.publish("amq.rabbitmq.trace", "k")
    scene.exchange("topics", "topic")
    scene.publish("topics", "foreign")
    assert scene.all() == [
        (TOPIC, "topics", "foreign", "", 1),
        (NO_PERMISSION, "amq.rabbitmq.trace", "k", "", 1),
        (NO_PERMISSION, "closed", "k", "", 1),
        (NO_EXCHANGE, "missing", "k", "", 1),
    ]
    found = scene.broker.refused.all()
    assert [each.user for each in found] == ["shop"] * 4
    assert (found[3].reason, found[3].hint) == ("no exchange 'missing' in vhost '/'", "declare it first")
    assert "write permission" in found[2].hint
    assert "write permission" not in found[2].reason
    assert "internal" in found[1].reason


def test_messages_that_cannot_be(scene: Scene) -> None:
    scene.queue("q")
    scene.publish("", "q", b"x" * 1_001)
    scene.publish("", "q", expiration="soon")
    scene.publish("", "q", user_id="other")
    scene.publish("", "q", reply_to=REPLY_TO)
    assert scene.all() == [(INVALID, "", "q", "", 3), (TOO_LARGE, "", "q", "", 1)]
    assert scene.broker.refused.all()[1].size == 1_001


def test_a_body_that_comes_in_pieces_and_is_too_large(scene: Scene) -> None:
    scene.queue("q")
    scene.broker.max_message_size = 100_000
    scene.peer = Peer(scene.broker, user=user())
    scene.publish("", "q", b"x" * 300_000)
    assert (scene.all(), scene.one().size) == ([(TOO_LARGE, "", "q", "", 1)], 300_000)


@pytest.mark.parametrize("is_confirmed", [False, True])
@pytest.mark.parametrize("targets", [1, 2])
def test_a_queue_that_is_full(scene: Scene, is_confirmed: bool, targets: int) -> None:
    scene.queue("q", x_max_length=1, x_overflow="reject-publish")
    scene.queue("other")
    for name in ("q", "other")[:targets]:
        scene.peer.call(QueueBind(name, "amq.fanout"), QueueBindOk)
    if is_confirmed:
        scene.peer.call(ConfirmSelect(), ConfirmSelectOk)
    for _ in range(3):
        scene.publish("amq.fanout", "k", message_id="m")
    found = scene.one()
    assert scene.all() == [(QUEUE_FULL, "amq.fanout", "k", "q", 2)]
    assert (found.user, found.connection, found.message_id) == ("shop", "test", "m")
    assert found.reason == "queue 'q' in vhost '/' takes no more than 1 messages"


def test_a_full_queue_whose_messages_die(scene: Scene) -> None:
    arguments = {"x_dead_letter_exchange": "", "x_dead_letter_routing_key": "dead"}
    scene.queue("q", x_max_length=0, x_overflow="reject-publish-dlx", **arguments)
    scene.queue("dead", x_max_length=0, x_overflow="reject-publish")
    scene.publish("", "q")
    assert scene.all() == [(QUEUE_FULL, "", "dead", "dead", 1), (QUEUE_FULL, "", "q", "q", 1)]
    assert [each.user for each in scene.broker.refused.all()] == ["", "shop"]
    assert "became a dead letter" in scene.broker.refused.all()[1].reason


def test_a_queue_that_is_faulty(scene: Scene) -> None:
    scene.queue("q")
    scene.vhost.queues["q"].fail("think", ValueError("broken"))
    scene.publish("", "q")
    assert scene.all() == [(QUEUE_FAULTY, "", "q", "q", 1)]
    assert "cannot think" in scene.one().reason


def test_keys_in_headers_belong_to_the_publisher_too(scene: Scene) -> None:
    from leveret.wire.fields import array

    scene.queue("q", x_max_length=0, x_overflow="reject-publish")
    scene.publish("", "nobody", headers={"CC": array([longstr("q")])})
    assert (scene.all(), scene.one().user) == ([(QUEUE_FULL, "", "nobody", "q", 1)], "shop")


def test_duplicates(scene: Scene) -> None:
    scene.queue("q", x_message_deduplication=True)
    scene.exchange("once", "x-message-deduplication", x_cache_size=10)
    scene.peer.call(QueueBind("q", "once"), QueueBindOk)
    for _ in range(3):
        scene.publish("", "q", headers={"x-deduplication-header": longstr("v")})
        scene.publish("once", "k", headers={"x-deduplication-header": longstr("w")})
    assert scene.all() == [(DUPLICATE, "once", "k", "", 2), (DUPLICATE, "", "q", "q", 2)]
    scene.publish("once", "k", headers={"x-deduplication-header": longstr("w")}, mandatory=True)
    assert scene.all()[0] == (DUPLICATE, "once", "k", "", 3)


def test_duplicates_by_message_id(scene: Scene) -> None:
    scene.queue("q", x_deduplicate_by="message-id")
    for _ in range(3):
        scene.publish("", "q", message_id="same")
    assert (scene.all(), scene.one().message_id) == ([(DUPLICATE, "", "q", "q", 2)], "same")
    assert scene.one().reason.endswith("has a message with the same message-id")


def test_a_batch_of_an_errand(scene: Scene) -> None:
    batch = Batch(Errand(scene.broker, "errand", user(), scene.vhost))
    batch.post("", "nobody", BasicProperties(), b"1")
    with pytest.raises(Refusal):
        batch.post("none", "k", BasicProperties(), b"2")
    batch.end()
    assert scene.all() == [(NO_EXCHANGE, "none", "k", "", 1), (RETURNED, "", "nobody", "", 1)]
    assert {(each.user, each.connection) for each in scene.broker.refused.all()} == {("shop", "errand")}


def test_what_a_transaction_brings_nowhere(scene: Scene) -> None:
    scene.queue("q", x_max_length=0, x_overflow="reject-publish")
    scene.peer.call(TxSelect(), TxSelectOk)
    scene.publish("", "q")
    scene.publish("", "nobody")
    assert scene.all() == []
    scene.peer.call(TxCommit(), ChannelClose)  # since a message was refused
    assert scene.all() == [(UNROUTABLE, "", "nobody", "", 1), (QUEUE_FULL, "", "q", "q", 1)]


def test_replies_to_who_does_not_read(scene: Scene) -> None:
    scene.peer.send(BasicConsume(REPLY_TO, no_ack=True))
    scene.peer.got()
    (name,) = scene.vhost.replies
    scene.broker.max_message_size = 1 << 20
    scene.broker.budget.limit = 1
    scene.peer.connection.pause_writing()
    other = Peer(scene.broker)
    for _ in range(3):
        other.send(BasicPublish("", name), b"x" * 900_000)
    assert [each[:4] for each in scene.all()] == [(QUEUE_FULL, "", name, name)]


def test_what_the_disk_does_not_take(scene: Scene) -> None:
    scene.peer.call(QueueDeclare("durable", durable=True), QueueDeclareOk)
    queue = scene.vhost.queues["durable"]
    scene.publish("", "durable", delivery_mode=2)
    queue.on_refused([1], False)
    assert scene.all() == [(NOT_WRITTEN, "", "durable", "durable", 1)]
    assert scene.one().user == "shop"


class Rule(Observer):
    """Wants something to become of each publish."""

    def __init__(self, verdict: int) -> None:
        self.verdict = verdict

    def on_publish(self, client: Client, message: Message, queues: list[Destination], mandatory: bool) -> int:
        """Say it."""
        if self.verdict < 0:
            raise AmqpError(403, "for a test")
        return self.verdict

    def on_held(self, confirm: object) -> None:
        """Nothing is held."""

    def on_delivery(self, client: Client, entry: QueueEntry, tag: int, no_ack: bool, is_get: bool) -> None:
        """Nothing."""

    def on_settle(self, entry: QueueEntry, how: int) -> None:
        """Nothing."""


@pytest.mark.parametrize(
    ("verdict", "kind"), [(PASS, None), (STRAY, OBSERVER), (REFUSE, OBSERVER), (-1, INVALID)], ids=str
)
def test_what_a_test_wants(scene: Scene, verdict: int, kind: str | None) -> None:
    scene.queue("q")
    scene.broker.let_watch(Rule(verdict))
    scene.publish("", "q")
    assert [each[0] for each in scene.all()] == ([] if kind is None else [kind])
    scene.publish("", "nobody")
    if verdict == PASS:
        assert scene.one().kind == UNROUTABLE


def test_what_belongs_to_nobody_any_more_is_forgotten(scene: Scene) -> None:
    scene.broker.make_defaults("guest", Credential("", ""))
    scene.broker.add_vhost("other")
    scene.broker.users.put("gone", Credential("", ""))
    for name, vhost in (("gone", "/"), ("guest", "other")):
        scene.broker.users.set_permission(name, vhost, "", ".*", "")
        found = scene.broker.users.user(name)
        Peer(scene.broker, user=found, vhost=vhost).send(BasicPublish("", "nobody"), b"m")
    assert {each.user for each in scene.broker.refused.all()} == {"gone", "guest"}
    scene.broker.users.delete("gone")
    assert scene.one().user == "guest"
    scene.broker.delete_vhost("other")
    assert scene.all() == []
