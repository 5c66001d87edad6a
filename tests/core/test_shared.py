"""Definitions that nodes of a cluster share: what the clients of one node see of the others' changes."""

from __future__ import annotations

import pytest

from leveret.core import definitions
from leveret.core.access.user import Credential
from leveret.core.definition import form
from leveret.core.errors.administration import InvalidError
from leveret.core.exchange.exchange import Binding
from leveret.core.message.refused import QUEUE_FAULTY
from leveret.core.policy.policy import Policy
from leveret.core.queue.life import LOST, RUNNING
from leveret.wire.constants import NOT_FOUND, PRECONDITION_FAILED
from leveret.wire.fields import Table as Fields
from leveret.wire.fields import boolean, long, longstr, table, table_bytes
from leveret.wire.methods import (
    BasicCancel,
    BasicConsume,
    BasicConsumeOk,
    BasicGet,
    BasicGetEmpty,
    BasicNack,
    BasicPublish,
    ChannelClose,
    ChannelCloseOk,
    ChannelOpen,
    ChannelOpenOk,
    ConfirmSelect,
    ConfirmSelectOk,
    ConnectionClose,
    ExchangeDeclare,
    ExchangeDeclareOk,
    QueueBind,
    QueueBindOk,
    QueueDeclare,
    QueueDeclareOk,
    QueueDelete,
    QueueDeleteOk,
    QueueUnbind,
    QueueUnbindOk,
)
from leveret.wire.properties import BasicProperties
from tests.brokers.cluster import ClusterNode, Table, in_effect, settle
from tests.clients.socketless import Peer, everybody
from tests.marks import interpreted_only

pytestmark = interpreted_only

SHORT: Fields = {"x-max-length": long(1)}
GONE = "NOT_FOUND - home node of durable queue 'q' in vhost '/' is down or inaccessible"


class Pair:
    """Two nodes, with a client each."""

    def __init__(self) -> None:
        self.table = Table()
        self.a, self.b = ClusterNode(self.table, 0, 2), ClusterNode(self.table, 1, 2)
        for node in (self.a, self.b):
            node.broker.users.put("guest", Credential("", ""), ())
        settle(self.a, self.b)
        self.at_a, self.at_b = Peer(self.a.broker), Peer(self.b.broker)

    def declare(self, arguments: Fields | None = None) -> None:
        """A queue that node a has."""
        self.at_a.send(QueueDeclare("q", durable=True, arguments=arguments or {}))
        settle(self.a, self.b)
        self.at_a.expect(QueueDeclareOk)


@pytest.fixture
def pair() -> Pair:
    """Two nodes."""
    return Pair()


def publish(peer: Peer, key: str = "q", exchange: str = "", mandatory: bool = False) -> None:
    """A persistent message."""
    properties = BasicProperties()
    properties.delivery_mode = 2
    peer.send(BasicPublish(exchange, key, mandatory=mandatory), b"x", properties)


def done(node: ClusterNode) -> None:
    """What the node has changed is written, and it knows."""
    node.write()
    node.hear()


def closed(peer: Peer) -> str:
    """Why the channel is closed."""
    close = peer.expect(ChannelClose)
    peer.send(ChannelCloseOk())
    peer.open(1)
    return close.reply_text


# -- queues of other nodes


def test_a_queue_of_another_node(pair: Pair) -> None:
    pair.declare(SHORT)
    queue = pair.b.broker.vhosts["/"].queues["q"]
    assert (queue.state, queue.fault) == (LOST, "another node has it")
    assert queue.queue_id == pair.a.broker.vhosts["/"].queues["q"].queue_id
    for method in (QueueDeclare("q", passive=True), QueueDeclare("q", durable=True, arguments=SHORT), BasicGet("q")):
        pair.at_b.send(method)
        assert closed(pair.at_b) == GONE
    pair.at_b.send(QueueDeclare("q", durable=True))
    assert "inequivalent arg 'x-max-length'" in closed(pair.at_b)
    pair.at_b.call(ConfirmSelect(), ConfirmSelectOk)
    publish(pair.at_b, mandatory=True)
    pair.at_b.expect(BasicNack)
    (refused,) = pair.b.broker.refused.all()
    assert (refused.kind, refused.reason) == (
        QUEUE_FAULTY,
        "queue 'q' in vhost '/' cannot take it: another node has it",
    )


def test_a_lost_queue_can_be_deleted_and_its_node_drops_the_messages(pair: Pair) -> None:
    pair.declare()
    pair.at_a.call(BasicConsume("q", "tag"), BasicConsumeOk)
    pair.at_b.send(QueueDelete("q"))
    done(pair.b)
    pair.at_b.expect(QueueDeleteOk)
    settle(pair.a, pair.b)
    pair.at_a.expect(BasicCancel)
    assert "q" not in pair.a.broker.vhosts["/"].queues
    assert pair.a.log.written == 2  # the user and the queue: nobody writes what another node has written


def test_overrides_and_policies_of_another_node(pair: Pair) -> None:
    pair.declare()
    there = pair.b.broker.vhosts["/"]
    there.override(there.queues["q"], {"max-length": 7})
    there.set_policy(Policy("p", ".*", {"message-ttl": 9}, 0, "queues"))
    settle(pair.a, pair.b)
    for node in (pair.a, pair.b):
        settings = node.broker.vhosts["/"].queues["q"].settings
        assert (settings.max_length, settings.message_ttl_ms) == (7, 9)
    there.delete_policy("p")
    there.override(there.queues["q"], {})
    settle(pair.a, pair.b)
    for node in (pair.a, pair.b):
        settings = node.broker.vhosts["/"].queues["q"].settings
        assert (settings.max_length, settings.message_ttl_ms) == (-1, -1)


def test_a_queue_that_was_declared_again_elsewhere(pair: Pair) -> None:
    pair.declare()
    pair.at_a.send(QueueBind("q", "amq.fanout"))
    settle(pair.a, pair.b)
    pair.at_a.expect(QueueBindOk)
    pair.at_a.call(BasicConsume("q", "tag"), BasicConsumeOk)
    before = pair.a.broker.vhosts["/"].queues["q"]
    there = pair.b.broker.vhosts["/"]
    there.delete_queue("q", False, False, 0)
    there.declare_queue("q", True, False, False, SHORT, 0)
    pair.b.write()
    settle(pair.a, pair.b)
    pair.at_a.expect(BasicCancel)
    queue = pair.a.broker.vhosts["/"].queues["q"]
    assert (before.deleted, queue.state, queue.settings.max_length) == (True, LOST, 1)
    assert pair.a.broker.vhosts["/"].bindings_to(queue) == []
    assert there.queues["q"].state == RUNNING


def test_an_own_row_that_comes_late_undoes_nothing(pair: Pair) -> None:
    pair.at_a.send(QueueDeclare("q", durable=True))
    done(pair.a)
    pair.at_a.expect(QueueDeclareOk)
    pair.a.read()
    pair.at_a.send(QueueDelete("q"))
    done(pair.a)
    pair.at_a.expect(QueueDeleteOk)
    pair.at_a.send(QueueDeclare("q", durable=True, arguments=SHORT))
    pair.a.take()
    done(pair.a)
    pair.at_a.expect(QueueDeclareOk)
    queue = pair.a.broker.vhosts["/"].queues["q"]
    settle(pair.a, pair.b)
    assert pair.a.broker.vhosts["/"].queues["q"] is queue
    assert not queue.deleted


def test_new_queues_get_ids_of_their_node(pair: Pair) -> None:
    assert all(pair.b.ownership.owns(pair.b.broker.new_id()) for _ in range(50))
    pair.b.ownership.owns_nothing = True
    queue = pair.b.broker.vhosts["/"].declare_queue("q", True, False, False, {}, 0)
    assert queue.state == LOST
    assert queue.fault.endswith("has it")
    assert pair.b.broker.vhosts["/"].declare_queue("t", False, False, False, {}, 0).state == RUNNING


def test_a_start_among_queues_of_others(pair: Pair) -> None:
    pair.declare()
    pair.b.broker.vhosts["/"].declare_queue("r", True, False, False, {}, 0)
    settle(pair.a, pair.b)
    started = ClusterNode(pair.table, 1, 2)
    states = {queue.name: queue.state for queue in started.broker.queues()}
    assert states == {"q": LOST, "r": RUNNING}


# -- conflicts


def both_declare(pair: Pair, at_a: Fields, at_b: Fields) -> None:
    """The same queue at once; node a is faster."""
    pair.at_a.send(QueueDeclare("q", durable=True, arguments=at_a))
    pair.at_b.send(QueueDeclare("q", durable=True, arguments=at_b))
    assert pair.at_a.got() == pair.at_b.got() == []
    done(pair.a)
    pair.at_a.expect(QueueDeclareOk)


def test_the_slower_node_gets_the_queue_of_the_other(pair: Pair) -> None:
    both_declare(pair, {}, {})
    assert pair.b.broker.vhosts["/"].queues["q"].state == RUNNING
    done(pair.b)
    pair.at_b.expect(QueueDeclareOk)
    assert pair.b.broker.vhosts["/"].queues["q"].state == LOST
    settle(pair.a, pair.b)
    assert in_effect(pair.a.broker) == in_effect(pair.b.broker)


def test_the_slower_node_gets_the_error_that_one_node_would_give(pair: Pair) -> None:
    both_declare(pair, {}, SHORT)
    pair.at_b.send(ChannelOpen(), channel=2)
    pair.at_b.send(QueueDeclare("r", durable=True), channel=2)
    done(pair.b)
    (close,) = pair.at_b.got()
    assert isinstance(close.method, ChannelClose)
    assert (close.channel, close.method.reply_code) == (1, PRECONDITION_FAILED)
    assert (close.method.class_id, close.method.method_id) == (50, 10)
    assert close.method.reply_text.startswith(
        "PRECONDITION_FAILED - inequivalent arg 'x-max-length' for queue 'q' in vhost '/': received "
    )
    done(pair.b)
    assert [type(got.method) for got in pair.at_b.got()] == [ChannelOpenOk, QueueDeclareOk]
    settle(pair.a, pair.b)
    assert in_effect(pair.a.broker) == in_effect(pair.b.broker)


def test_publishes_to_the_slower_queue_are_refused_and_its_bindings_stay(pair: Pair) -> None:
    both_declare(pair, {}, {})
    other = Peer(pair.b.broker)
    other.call(ConfirmSelect(), ConfirmSelectOk)
    other.send(QueueBind("q", "amq.fanout"))
    publish(other, "", "amq.fanout")
    queue = pair.b.broker.vhosts["/"].queues["q"]
    assert len(queue.ready) == 1
    done(pair.b)
    assert {type(got.method) for got in other.got()} <= {QueueBindOk, BasicNack}
    publish(other, "", "amq.fanout")
    assert [type(got.method) for got in other.got()] == [BasicNack]
    settle(pair.a, pair.b)
    for node in (pair.a, pair.b):
        vhost = node.broker.vhosts["/"]
        assert len(vhost.bindings_to(vhost.queues["q"])) == 1


def test_whoever_finds_the_queue_meanwhile_waits_too(pair: Pair) -> None:
    both_declare(pair, {}, SHORT)
    second = Peer(pair.b.broker)
    second.send(QueueDeclare("q", durable=True, arguments=SHORT))
    assert second.got() == []
    done(pair.b)
    assert "inequivalent" in closed(second)
    assert "inequivalent" in closed(pair.at_b)
    second.send(QueueDeclare("q", durable=True, arguments=SHORT))
    assert "inequivalent" in closed(second)


@pytest.mark.parametrize("arguments", [{}, SHORT], ids=["same", "different"])
def test_without_a_reply(pair: Pair, arguments: Fields) -> None:
    pair.at_a.send(QueueDeclare("q", durable=True))
    pair.at_b.send(QueueDeclare("q", durable=True, nowait=True, arguments=arguments))
    done(pair.a)
    done(pair.b)
    assert [type(got.method) for got in pair.at_b.got()] == ([ChannelClose] if arguments else [])


def test_a_client_that_leaves_while_it_waits(pair: Pair) -> None:
    both_declare(pair, {}, SHORT)
    pair.at_b.connection.lost()
    done(pair.b)
    settle(pair.a, pair.b)
    assert in_effect(pair.a.broker) == in_effect(pair.b.broker)


@pytest.mark.parametrize("kind", ["fanout", "direct"])
def test_exchanges(pair: Pair, kind: str) -> None:
    pair.at_a.send(ExchangeDeclare("x", "fanout", durable=True))
    pair.at_b.send(ExchangeDeclare("x", kind, durable=True))
    done(pair.a)
    pair.at_a.expect(ExchangeDeclareOk)
    assert pair.at_b.got() == []
    done(pair.b)
    if kind == "fanout":
        pair.at_b.expect(ExchangeDeclareOk)
    else:
        close = pair.at_b.expect(ChannelClose)
        assert (close.class_id, close.method_id) == (40, 10)
        assert "inequivalent arg 'type' for exchange 'x'" in close.reply_text
    settle(pair.a, pair.b)
    assert pair.b.broker.vhosts["/"].exchanges["x"].kind == "fanout"


def test_a_declaration_that_nobody_forestalls(pair: Pair) -> None:
    pair.at_b.send(QueueDeclare("q", durable=True))
    pair.at_b.send(BasicGet("q"))
    assert pair.at_b.got() == []
    done(pair.b)
    assert [type(got.method) for got in pair.at_b.got()] == [QueueDeclareOk, BasicGetEmpty]
    pair.at_b.call(QueueDeclare("q", durable=True), QueueDeclareOk)


# -- everything else


def test_a_deleted_user_is_out_everywhere(pair: Pair) -> None:
    pair.a.broker.users.put("ann", Credential("", ""), ())
    pair.a.broker.users.set_permission("ann", "/", ".*", ".*", ".*")
    settle(pair.a, pair.b)
    ann = pair.b.broker.users.user("ann")
    peer = Peer(pair.b.broker, user=ann)
    peer.send(QueueDeclare("mine", durable=True, auto_delete=True))
    settle(pair.a, pair.b)
    peer.got()
    peer.call(BasicConsume("mine", "tag"), BasicConsumeOk)
    pair.a.broker.users.delete("ann")
    settle(pair.a, pair.b)
    assert peer.expect(ConnectionClose).reply_text == "CONNECTION_FORCED - user 'ann' is deleted"
    assert pair.b.broker.users.get("ann") is None
    assert "mine" not in pair.a.broker.vhosts["/"].queues  # its last consumer went here


def test_changed_users_and_permissions(pair: Pair) -> None:
    users = pair.a.broker.users
    users.put("ann", Credential("", ""), ())
    users.set_permission("ann", "/", ".*", ".*", ".*")
    settle(pair.a, pair.b)
    ann = pair.b.broker.users.user("ann")
    peer = Peer(pair.b.broker, user=ann)
    publish(peer, "nowhere", "amq.fanout")
    assert peer.got() == []
    users.set_tags("ann", ("administrator",))
    users.set_permission("ann", "/", ".*", "", ".*")
    settle(pair.a, pair.b)
    assert ann.tags == ("administrator",)
    publish(peer, "nowhere", "amq.fanout")
    assert "ACCESS_REFUSED" in closed(peer)


def test_a_deleted_virtual_host_is_closed_everywhere(pair: Pair) -> None:
    pair.a.broker.add_vhost("v")
    settle(pair.a, pair.b)
    user = everybody()
    user.permissions["v"] = user.permissions["/"]
    peer = Peer(pair.b.broker, user=user, vhost="v")
    pair.b.broker.vhosts["v"].declare_queue("q", True, False, False, {}, 0)
    settle(pair.a, pair.b)
    pair.a.broker.delete_vhost("v")
    done(pair.a)
    pair.b.read()
    pair.b.take()
    assert peer.expect(ConnectionClose).reply_text == "CONNECTION_FORCED - vhost 'v' is deleted"
    settle(pair.a, pair.b)
    assert [key for key in pair.table.values() if "v" in form.names(key[1])] == []


def test_a_virtual_host_is_not_made_again_before_its_content_is_gone(pair: Pair) -> None:
    pair.a.broker.add_vhost("v")
    for number in range(50):
        pair.a.broker.vhosts["v"].declare_queue(f"q{number}", True, False, False, {}, 0)
    settle(pair.a, pair.b)
    pair.a.broker.delete_vhost("v")
    done(pair.a)
    pair.b.read()
    pair.b.take()
    pair.b.broker.finish()
    with pytest.raises(InvalidError, match="another node is still deleting"):
        pair.b.broker.add_vhost("v")
    settle(pair.a, pair.b)
    pair.b.broker.add_vhost("v")
    settle(pair.a, pair.b)
    assert pair.a.broker.vhosts["v"].queues == {}


def test_an_auto_delete_exchange_of_which_each_node_takes_a_binding(pair: Pair) -> None:
    pair.declare()
    vhost = pair.a.broker.vhosts["/"]
    exchange = vhost.declare_exchange("x", "direct", True, True, False, {})
    for key in ("1", "2"):
        vhost.bind(Binding(exchange, vhost.queues["q"], None, key, {}))
    settle(pair.a, pair.b)
    for peer, key in ((pair.at_a, "1"), (pair.at_b, "2")):
        peer.send(QueueUnbind("q", "x", key))
    settle(pair.a, pair.b)
    pair.at_a.expect(QueueUnbindOk)
    for node in (pair.a, pair.b):
        assert "x" not in node.broker.vhosts["/"].exchanges
    assert (form.EXCHANGE, form.key("/", "x")) not in pair.table.values()


def test_a_definition_that_nobody_understands_is_set_aside(pair: Pair) -> None:
    stream: Fields = {"x-queue-type": longstr("stream")}
    value = table_bytes({"id": long(2), "auto_delete": boolean(False), "arguments": table(stream)})
    for kind, key in ((form.QUEUE, form.key("/", "q")), ("novelty", form.key("x")), (form.QUEUE, "nonsense")):
        pair.table.set((kind, key), value)
    pair.table.set((form.USER, form.key("ann")), b"rubbish")
    settle(pair.a, pair.b)
    assert len(pair.b.broker.aside) == 4
    assert any("'stream' is not a queue type" in text for text in pair.b.broker.explanations)
    pair.table.set((form.QUEUE, form.key("/", "q")), None)
    pair.table.set((form.QUEUE, "nonsense"), None)
    settle(pair.a, pair.b)
    assert len(pair.b.broker.aside) == 2


def test_what_comes_before_its_owner_waits_for_it(pair: Pair) -> None:
    pair.declare()
    key = form.key("/", "amq.fanout", "queue", "r", "", "")
    pair.table.set((form.BINDING, key), b"")
    settle(pair.a, pair.b)
    assert any("queue 'r' in virtual host '/' does not exist" in text for text in pair.a.broker.explanations)
    pair.b.broker.vhosts["/"].declare_queue("r", True, False, False, {}, 0)
    settle(pair.a, pair.b)
    for node in (pair.a, pair.b):
        vhost = node.broker.vhosts["/"]
        assert len(vhost.bindings_to(vhost.queues["r"])) == 1
        assert len(node.broker.aside) == 0


def test_what_belongs_to_a_node_alone(pair: Pair) -> None:
    pair.a.broker.keep_time()
    settle(pair.a, pair.b)
    assert (form.CLOCK, form.key()) in pair.table.values()
    assert pair.b.broker.clock.drift_ms == 0


def test_not_found_is_the_code(pair: Pair) -> None:
    pair.declare()
    pair.at_b.send(BasicGet("q"))
    assert pair.at_b.expect(ChannelClose).reply_code == NOT_FOUND


# -- a table that has forgotten something


def test_what_the_table_does_not_have_any_more_goes(pair: Pair) -> None:
    pair.declare()
    shared = pair.b.broker.shared
    assert shared is not None
    left = {(kind, key) for kind, key in pair.table.values() if kind != form.QUEUE}
    shared.limit(left)
    assert "q" not in pair.b.broker.vhosts["/"].queues
    assert pair.b.broker.users.get("guest") is not None


def test_a_row_that_waits_goes_with_what_the_table_does_not_have_any_more(pair: Pair) -> None:
    pair.declare()
    node = pair.a.broker
    assert node.shared is not None
    key = definitions.queue_key(node.vhosts["/"].queues["q"])
    value = pair.table.values()[form.QUEUE, key]
    pair.at_a.send(QueueDelete("q"))
    node.shared.apply(form.QUEUE, key, value)  # read before the deletion was written
    left = {identity for identity in pair.table.values() if identity[0] != form.QUEUE}
    node.shared.limit(left)  # read behind it
    node.shared.caught_up(node.revision)
    assert "q" not in node.vhosts["/"].queues
