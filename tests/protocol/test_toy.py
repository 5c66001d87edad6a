"""Another protocol than AMQP publishes and consumes through the doors of the core, and meets AMQP there."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from leveret.core import sums
from leveret.core.access.user import Credential, Permission, TopicPermission, User
from leveret.core.broker import Broker
from leveret.core.client import party
from leveret.core.exchange.exchange import Binding
from leveret.core.policy.matching import Matcher
from leveret.store.memory import MemoryLog
from leveret.wire.fields import Table, long, longstr
from leveret.wire.methods import BasicConsume, BasicConsumeOk, BasicDeliver, BasicPublish, QueueDeclare, QueueDeclareOk
from tests.clients.socketless import Peer, everybody, make_broker, turn

if not str(party.__file__).endswith(".py"):
    pytest.skip("a protocol is compiled with the core, or not, as the core is", allow_module_level=True)

from tests.protocol.toy import Toy


def queue(broker: Broker, name: str, arguments: Table | None = None, durable: bool = False) -> None:
    """Declare a queue."""
    broker.vhosts["/"].declare_queue(name, durable, False, False, arguments or {}, 0)


def bind(broker: Broker, exchange: str, name: str, key: str) -> None:
    """Bind a queue."""
    vhost = broker.vhosts["/"]
    vhost.bind(Binding(vhost.exchanges[exchange], vhost.queues[name], None, key, {}))


def somebody(name: str, write: str, read: str) -> User:
    """A user who may do little."""
    user = User(name, Credential("", ""), ())
    user.permissions["/"] = Permission("", write, read, Matcher(print))
    return user


@pytest.fixture
def broker() -> Broker:
    """A broker with a queue."""
    found = make_broker()
    queue(found, "q")
    return found


@pytest.fixture
def toy(broker: Broker) -> Toy:
    """A client of the toy protocol, who may do everything."""
    return Toy(broker, everybody())


def test_the_toy_knows_nothing_of_amqp() -> None:
    tree = ast.parse(Path(__file__).with_name("toy.py").read_text())
    modules = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert any(module.startswith("leveret.core") for module in modules)
    for module in modules:
        assert not module.startswith(("leveret.session", "leveret.wire.methods"))


def test_publish_and_confirm(broker: Broker, toy: Toy) -> None:
    toy.tell("publish -/q: before")
    toy.tell("confirm", "publish -/q: one", "publish -/q: two", "publish -/nowhere: three")
    assert toy.heard() == ["confirmed 1", "confirmed 2", "confirmed 3"]
    assert [len(broker.vhosts["/"].queues["q"].ready), toy.published] == [3, 4]


def test_a_durable_message_is_confirmed_when_it_is_durable() -> None:
    log = MemoryLog(hold=True)
    broker = make_broker(log)
    queue(broker, "kept", {"x-queue-type": longstr("quorum")}, durable=True)
    toy = Toy(broker, everybody())
    toy.tell("confirm", "publish -/kept: one", "publish -/nowhere: two")
    turn(broker)
    assert toy.heard() == ["confirmed 2"]
    log.release()
    assert toy.heard() == ["confirmed 1"]


def test_a_full_queue_refuses(broker: Broker, toy: Toy) -> None:
    queue(broker, "full", {"x-max-length": long(1), "x-overflow": longstr("reject-publish")})
    toy.tell("confirm", "publish -/full: one", "publish -/full: two")
    assert toy.heard() == ["confirmed 1", "refused 2"]


def test_a_mandatory_message_comes_back_before_its_confirm(toy: Toy) -> None:
    toy.tell("publish -/nowhere!: one", "confirm", "publish -/nowhere!: two", "publish -/q!: three")
    assert toy.heard() == ["returned -/nowhere: one", "returned -/nowhere: two", "confirmed 1", "confirmed 2"]


def test_prefetch_and_ack(toy: Toy) -> None:
    toy.tell("consume q c 2", *[f"publish -/q: {number}" for number in range(4)])
    assert toy.heard() == ["done c", "message c 1: 0", "message c 2: 1"]
    toy.tell("ack 2")
    assert toy.heard() == ["message c 3: 2"]
    toy.tell("ack 1", "ack 3", "ack 3")
    assert toy.heard() == ["message c 4: 3", "error unfit: unknown delivery tag 3"]


def test_requeue_and_reject(broker: Broker, toy: Toy) -> None:
    queue(broker, "dead")
    queue(broker, "work", {"x-dead-letter-exchange": longstr(""), "x-dead-letter-routing-key": longstr("dead")})
    toy.tell("publish -/work: one", "consume work c 1")
    toy.tell("requeue 1")
    assert toy.heard() == ["done c", "message c 1: one", "again c 2: one"]
    toy.tell("reject 2")
    turn(broker)
    toy.tell("get work", "get dead no-ack", "get dead")
    assert toy.heard() == ["nothing", "got 3: one", "nothing"]


def test_what_is_not_acknowledged_goes_back_when_the_client_goes(broker: Broker, toy: Toy) -> None:
    toy.tell("publish -/q: one", "publish -/q: two", "consume q c 1", "cancel c", "get q")
    assert toy.heard() == ["done c", "message c 1: one", "done c", "got 2: two"]
    toy.leave()
    assert (broker.connections, len(broker.vhosts["/"].queues["q"].ready)) == ({}, 2)


def test_a_client_without_room_gets_its_messages_later(toy: Toy) -> None:
    toy.has_room = False
    toy.tell("consume q c 0", "publish -/q: one")
    assert toy.heard() == ["done c"]
    toy.has_room = True
    toy.receiving.resume()
    toy.tell("publish -/q: two")
    assert toy.heard() == ["message c 1: one", "message c 2: two"]


def test_permissions(broker: Broker) -> None:
    queue(broker, "other")
    toy = Toy(broker, somebody("few", "^(amq.default|amq.topic)$", "^q$"))
    topics = TopicPermission("^{username}$", "", Matcher(print))
    toy.user.topic_permissions["/"] = {"amq.topic": topics}
    toy.tell("publish amq.fanout/k: no", "consume other c 1", "get other", "get q")
    toy.tell("publish amq.topic/few: yes", "publish amq.topic/many: no", "publish amq.topic/few cc=many: no")
    fanout, other = (
        f"access to {what} in vhost '/' refused for user 'few'" for what in ("exchange 'amq.fanout'", "queue 'other'")
    )
    topic = "write access to topic 'many' in exchange 'amq.topic' in vhost '/' refused for user 'few'"
    assert toy.heard() == [
        f"error forbidden: write {fanout}",
        f"error forbidden: read {other}",
        f"error forbidden: read {other}",
        "nothing",
        f"error forbidden: {topic}",
        f"error forbidden: {topic}",
    ]


def test_a_route_is_looked_up_once_until_something_changes(broker: Broker, toy: Toy) -> None:
    toy.tell(*["publish -/q: one", "publish -/r: two"] * 3)
    assert toy.publishing.resolved == 2
    queue(broker, "r")
    toy.tell(*["publish -/r: three"] * 3, "get r", "publish amq.rabbitmq.trace/k: no", "publish unknown/k: no")
    assert toy.publishing.resolved == 5
    assert toy.heard() == [
        "got 1: three",
        "error forbidden: cannot publish to internal exchange 'amq.rabbitmq.trace' in vhost '/'",
        "error unknown: no exchange 'unknown' in vhost '/'",
    ]


def test_properties_that_concern_the_broker(broker: Broker, toy: Toy) -> None:
    queue(broker, "copy")
    toy.tell("publish -/q user=guest: mine", "publish -/q user=root: not mine", "publish -/q ttl=soon: never")
    toy.tell("publish -/q cc=copy ttl=50: twice", "get q", "get copy", "get q")
    assert toy.heard() == [
        "error unfit: user_id property set to 'root' but authenticated user was 'guest'",
        "error unfit: invalid expiration 'soon': no_integer",
        "got 1: mine",
        "got 2: twice",
        "got 3: twice",
    ]


def test_a_body_may_be_too_large(broker: Broker) -> None:
    broker.max_message_size = 3
    toy = Toy(broker, everybody())
    toy.tell("publish -/q: four", "publish -/q: two")
    assert toy.heard() == ["error unfit: message size 4 is larger than configured max size 3"]
    assert len(broker.vhosts["/"].queues["q"].ready) == 1


def test_exclusive_consumers_and_queues(broker: Broker, toy: Toy) -> None:
    other = Toy(broker, everybody())
    broker.vhosts["/"].declare_queue("mine", False, True, False, {}, toy.number)
    toy.tell("consume q c 0 alone", "consume q c 0", "consume mine d 0")
    other.tell("consume q c 0", "get mine")
    assert toy.heard() == ["done c", "error not allowed: attempt to reuse consumer tag 'c'", "done d"]
    heard = other.heard()
    assert heard[0] == "error forbidden: queue 'q' in vhost '/' in exclusive use"
    assert heard[1].startswith("error locked: cannot obtain exclusive access to locked queue 'mine' in vhost '/'")


def test_a_transaction(broker: Broker, toy: Toy) -> None:
    toy.tell("publish -/q: one", "get q", "begin", "publish -/q: two", "publish -/nowhere!: three", "ack 1")
    assert (toy.heard(), len(broker.vhosts["/"].queues["q"].ready)) == (["got 1: one"], 0)
    toy.tell("commit", "get q", "begin", "ack 2", "rollback", "ack 2")
    assert toy.heard() == ["returned -/nowhere: three", "committed", "got 2: two"]


def test_direct_replies(broker: Broker, toy: Toy) -> None:
    toy.tell("publish -/q reply=amq.rabbitmq.reply-to: too soon", "replies r")
    toy.tell("publish -/q reply=amq.rabbitmq.reply-to: please")
    assert toy.heard() == ["error unfit: fast reply consumer does not exist", "done r"]
    stored = broker.vhosts["/"].queues["q"].get()
    assert stored is not None
    Toy(broker, everybody()).tell(f"publish -/{stored.message.properties().reply_to}: here you are")
    assert toy.heard() == ["message r 1: here you are"]


def test_a_client_that_has_to_go_is_told(broker: Broker, toy: Toy) -> None:
    toy.tell("consume q c 0")
    broker.vhosts["/"].delete_queue("q", False, False, 0)
    broker.close_connections(toy.user, None, "because")
    assert toy.heard() == ["done c", "cancelled c", "closed because"]
    assert broker.connections == {}


def test_the_firehose_sees_it(broker: Broker, toy: Toy) -> None:
    queue(broker, "trace")
    bind(broker, "amq.rabbitmq.trace", "trace", "#")
    broker.vhosts["/"].watch(True, None)
    toy.tell("publish -/q: seen", "get q no-ack", "get trace no-ack", "get trace no-ack")
    assert toy.heard()[:3] == ["got 1: seen", "got 2: seen", "got 3: seen"]


def test_both_protocols_meet(broker: Broker, toy: Toy) -> None:
    peer = Peer(broker)
    peer.call(QueueDeclare("amqp"), QueueDeclareOk)
    peer.call(BasicConsume("amqp", "c", no_ack=True), BasicConsumeOk)
    toy.tell("confirm", "consume q toy 2", "publish -/amqp: from the toy")
    delivered = peer.got()
    assert [(type(got.method), got.body) for got in delivered] == [(BasicDeliver, b"from the toy")]
    peer.send(BasicPublish("", "q"), b"from amqp")
    assert toy.heard() == ["done toy", "confirmed 1", "message toy 1: from amqp"]


def test_what_the_toy_does_is_counted(broker: Broker, toy: Toy) -> None:
    toy.tell("publish -/q: before", "confirm", *["publish -/q: two"] * 2)
    toy.tell("publish -/no: three", "publish -/no!: four")
    toy.tell("consume q c 1", "requeue 1", "reject 2", "ack 3", "cancel c", "get q", "get q", "ack 4")
    toy.tell("publish -/q: five", "get q no-ack")
    total = toy.total()
    assert (total.published, total.unroutable, total.returned, total.confirmed, total.nacked) == (6, 2, 1, 5, 0)
    assert (total.delivered, total.got, total.got_no_ack, total.get_empty, total.redelivered) == (4, 0, 1, 2, 1)
    assert (total.acked, total.rejected, total.requeued) == (2, 1, 1)
    assert total.bytes_out == sum(len(line) + 1 for line in toy.said)
    exchange = sums.of_exchange(broker.vhosts["/"].exchanges[""])
    assert (exchange.published, exchange.routed, exchange.unroutable, exchange.returned) == (6, 4, 2, 1)
    queue_total = broker.vhosts["/"].queues["q"].total()
    assert (queue_total.published, queue_total.delivered, queue_total.got_no_ack) == (4, 4, 1)
    assert (queue_total.acked, queue_total.rejected, queue_total.requeued) == (2, 1, 1)


def test_a_transaction_counts_when_it_is_committed(broker: Broker, toy: Toy) -> None:
    toy.tell("publish -/q: one", "get q", "begin", "publish -/q: two", "publish -/nowhere!: three", "ack 1")
    total = toy.total()
    assert (total.published, total.returned, total.acked) == (1, 0, 0)
    assert [each.delivery_tag for each in broker.vhosts["/"].queues["q"].unacknowledged()] == [1]
    toy.tell("commit")
    total = toy.total()
    assert (total.published, total.returned, total.acked) == (3, 1, 1)
    assert broker.vhosts["/"].queues["q"].unacknowledged() == []


def test_what_a_client_did_that_is_gone_stays_counted(broker: Broker, toy: Toy) -> None:
    toy.tell("publish -/q: one", "publish -/q: two", "consume q c 1", "get q", "ack 1")
    before = sums.of_vhost(broker.vhosts["/"])
    held = broker.vhosts["/"].queues["q"].unacknowledged()
    assert [(each.connection, each.label, each.consumer_tag, each.delivery_tag) for each in held] == [
        ("a toy", "a toy", "", 2)
    ]
    toy.leave()
    after = sums.of_vhost(broker.vhosts["/"])
    assert (before.connections.requeued, after.connections.requeued, after.queues.requeued) == (0, 1, 1)
    for name in ("published", "delivered", "got", "acked", "bytes_in", "bytes_out"):
        assert getattr(after.connections, name) == getattr(before.connections, name) > 0
    assert (after.exchanges.published, after.exchanges.routed) == (2, 2)
    assert (after.queues.published, after.queues.delivered, after.queues.got, after.queues.acked) == (2, 1, 1, 1)


def test_queues_and_bindings(broker: Broker) -> None:
    toy = Toy(broker, everybody())
    toy.tell("declare one", "bind one amq.fanout/", "publish amq.fanout/: a", "get one", "delete one", "get one")
    assert toy.heard() == [
        "done one",
        "done one",
        "got 1: a",
        "done one",
        "error unknown: no queue 'one' in vhost '/'",
    ]
    toy.tell("declare -", "declare mine alone")
    assert toy.heard()[0].startswith("done amq.gen-")
    other = Toy(broker, somebody("guest", "", ""))
    other.tell("declare mine", "declare new", "bind q amq.fanout/", "delete q")
    assert [line.partition(":")[0] for line in other.heard()] == ["error forbidden"] * 4
    toy.leave()
    assert "mine" not in broker.vhosts["/"].queues
