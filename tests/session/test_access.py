"""What each method asks a user's permissions for, in which order, and that limits and changes count at once.

The tables hold for RabbitMQ as well: tests/behaviour/test_permissions.py has them for a real broker.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, field

import pytest

from leveret.core.access.user import Credential, User
from leveret.core.broker import Broker
from leveret.core.errors.administration import InvalidError, ProtectedError, UnknownError
from leveret.session.connection.connection import Connection
from leveret.wire.fields import Table, array, longstr
from leveret.wire.methods import (
    BasicAck,
    BasicCancel,
    BasicConsume,
    BasicConsumeOk,
    BasicGet,
    BasicGetEmpty,
    BasicPublish,
    ChannelClose,
    ChannelCloseOk,
    ChannelOpen,
    ChannelOpenOk,
    ConfirmSelect,
    ConfirmSelectOk,
    ConnectionClose,
    ConnectionOpenOk,
    ConnectionUpdateSecret,
    ConnectionUpdateSecretOk,
    ExchangeBind,
    ExchangeBindOk,
    ExchangeDeclare,
    ExchangeDeclareOk,
    ExchangeDelete,
    ExchangeDeleteOk,
    ExchangeUnbind,
    ExchangeUnbindOk,
    Method,
    QueueBind,
    QueueBindOk,
    QueueDeclare,
    QueueDeclareOk,
    QueueDelete,
    QueueDeleteOk,
    QueuePurge,
    QueuePurgeOk,
    QueueUnbind,
    QueueUnbindOk,
    TxSelect,
    TxSelectOk,
)
from leveret.wire.properties import BasicProperties
from tests.clients.socketless import Parser, Peer, encode, handshake, make_broker, turn

C, W, R = "configure", "write", "read"
SETS = [frozenset(chosen) for count in range(4) for chosen in itertools.combinations((C, W, R), count)]
DLX: Table = {"x-dead-letter-exchange": longstr("x")}
AE: Table = {"alternate-exchange": longstr("x")}


@dataclass
class Case:
    """A method, what is asked for in this order, and what comes when all of it is allowed: a reply or a refusal."""

    method: Method
    asks: list[tuple[str, str]]
    reply: type[Method] | str
    body: bytes | None = field(default=None)


CASES = {
    "exchange.declare": Case(ExchangeDeclare("new", "direct"), [(C, "exchange 'new'")], ExchangeDeclareOk),
    "exchange.declare, alternate": Case(
        ExchangeDeclare("new", "direct", arguments=AE),
        [(C, "exchange 'new'"), (R, "exchange 'new'"), (W, "exchange 'x'")],
        ExchangeDeclareOk,
    ),
    "exchange.declare, existing": Case(ExchangeDeclare("x", "direct"), [(C, "exchange 'x'")], ExchangeDeclareOk),
    "exchange.declare, existing, alternate": Case(
        ExchangeDeclare("x", "direct", arguments=AE), [(C, "exchange 'x'")], "PRECONDITION_FAILED - inequivalent arg"
    ),
    "exchange.declare, reserved": Case(
        ExchangeDeclare("amq.new", "direct"), [(C, "exchange 'amq.new'")], "ACCESS_REFUSED - exchange name 'amq.new'"
    ),
    "exchange.declare, default": Case(ExchangeDeclare("", "direct"), [], "ACCESS_REFUSED - operation not permitted"),
    "exchange.declare, bad type": Case(ExchangeDeclare("new", "bad"), [], "PRECONDITION_FAILED - invalid exchange"),
    "exchange.delete": Case(ExchangeDelete("x"), [(C, "exchange 'x'")], ExchangeDeleteOk),
    "exchange.delete, missing": Case(ExchangeDelete("none"), [(C, "exchange 'none'")], ExchangeDeleteOk),
    "exchange.delete, the broker's": Case(ExchangeDelete("amq.direct"), [], "ACCESS_REFUSED - deletion of system"),
    "exchange.bind": Case(ExchangeBind("y", "x"), [(W, "exchange 'y'"), (R, "exchange 'x'")], ExchangeBindOk),
    "exchange.bind, missing": Case(
        ExchangeBind("none", "none"), [(W, "exchange 'none'"), (R, "exchange 'none'")], "NOT_FOUND - no exchange 'none'"
    ),
    "exchange.bind, default": Case(
        ExchangeBind("", "x"), [(W, "exchange 'amq.default'")], "ACCESS_REFUSED - operation not permitted"
    ),
    "exchange.unbind": Case(ExchangeUnbind("y", "x"), [(W, "exchange 'y'"), (R, "exchange 'x'")], ExchangeUnbindOk),
    "queue.declare": Case(QueueDeclare("new"), [(C, "queue 'new'")], QueueDeclareOk),
    "queue.declare, made-up name": Case(QueueDeclare(""), [(C, "queue 'amq.gen-*'")], QueueDeclareOk),
    "queue.declare, dead letters": Case(
        QueueDeclare("new", arguments=DLX),
        [(C, "queue 'new'"), (R, "queue 'new'"), (W, "exchange 'x'")],
        QueueDeclareOk,
    ),
    "queue.declare, existing": Case(QueueDeclare("q"), [(C, "queue 'q'")], QueueDeclareOk),
    "queue.declare, existing, dead letters": Case(
        QueueDeclare("q", arguments=DLX), [(C, "queue 'q'")], "PRECONDITION_FAILED - inequivalent arg"
    ),
    "queue.declare, reserved": Case(QueueDeclare("amq.new"), [], "ACCESS_REFUSED - queue name 'amq.new'"),
    "queue.declare, reply-to": Case(QueueDeclare("amq.rabbitmq.reply-to", passive=True), [], QueueDeclareOk),
    "queue.delete": Case(QueueDelete("q"), [(C, "queue 'q'")], QueueDeleteOk),
    "queue.delete, missing": Case(QueueDelete("none"), [(C, "queue 'none'")], QueueDeleteOk),
    "queue.bind": Case(QueueBind("q", "x"), [(W, "queue 'q'"), (R, "exchange 'x'")], QueueBindOk),
    "queue.bind, default": Case(QueueBind("q", ""), [(W, "queue 'q'")], "ACCESS_REFUSED - operation not permitted"),
    "queue.bind, missing": Case(
        QueueBind("none", "x"), [(W, "queue 'none'"), (R, "exchange 'x'")], "NOT_FOUND - no queue 'none'"
    ),
    "queue.bind, reply-to": Case(
        QueueBind("amq.rabbitmq.reply-to.x", "x"), [], "ACCESS_REFUSED - cannot bind or unbind to a volatile"
    ),
    "queue.unbind": Case(QueueUnbind("q", "x"), [(W, "queue 'q'"), (R, "exchange 'x'")], QueueUnbindOk),
    "queue.unbind, missing": Case(
        QueueUnbind("none", "none"), [(W, "queue 'none'"), (R, "exchange 'none'")], QueueUnbindOk
    ),
    "queue.purge": Case(QueuePurge("q"), [(R, "queue 'q'")], QueuePurgeOk),
    "queue.purge, missing": Case(QueuePurge("none"), [(R, "queue 'none'")], "NOT_FOUND - no queue 'none'"),
    "basic.get": Case(BasicGet("q"), [(R, "queue 'q'")], BasicGetEmpty),
    "basic.consume": Case(BasicConsume("q"), [(R, "queue 'q'")], BasicConsumeOk),
    "basic.consume, reply-to": Case(BasicConsume("amq.rabbitmq.reply-to", no_ack=True), [], BasicConsumeOk),
    "basic.publish": Case(BasicPublish("x", ""), [(W, "exchange 'x'")], BasicAck, b""),
    "basic.publish, default": Case(BasicPublish("", "q"), [(W, "exchange 'amq.default'")], BasicAck, b""),
    "basic.publish, missing": Case(
        BasicPublish("none", ""), [(W, "exchange 'none'")], "NOT_FOUND - no exchange 'none'", b""
    ),
    "basic.publish, internal": Case(
        BasicPublish("amq.rabbitmq.trace", ""),
        [(W, "exchange 'amq.rabbitmq.trace'")],
        "ACCESS_REFUSED - cannot publish to internal",
        b"",
    ),
}


def world() -> Broker:
    """A broker with exchanges x and y, a topic exchange t, and a queue q."""
    broker = make_broker()
    vhost = broker.vhosts["/"]
    for name, kind in (("x", "direct"), ("y", "direct"), ("t", "topic"), ("f", "fanout")):
        vhost.declare_exchange(name, kind, False, False, False, {})
    vhost.make_queue("q", False, 0, False, {})
    return broker


def make_user(broker: Broker, name: str = "u") -> User:
    """A user who may do nothing."""
    return broker.users.put(name, Credential("", ""))


def allow(broker: Broker, operations: frozenset[str], vhost: str = "/") -> None:
    """Let the user u do this with everything."""
    texts = [".*" if operation in operations else "" for operation in (C, W, R)]
    broker.users.set_permission("u", vhost, *texts)


def peer_of(broker: Broker, vhost: str = "/") -> Peer:
    """A client of the user u, who may do everything at first."""
    user = broker.users.get("u") or make_user(broker)
    allow(broker, frozenset((C, W, R)), vhost)
    return Peer(broker, user=user, vhost=vhost)


def refusal(peer: Peer) -> str:
    """The text of the channel.close that came; the channel is open again then."""
    text = peer.expect(ChannelClose).reply_text
    peer.send(ChannelCloseOk())
    peer.call(ChannelOpen(), ChannelOpenOk)
    return text


@pytest.mark.parametrize("allowed", SETS, ids=lambda chosen: "+".join(sorted(chosen)) or "nothing")
@pytest.mark.parametrize("name", CASES)
def test_what_a_method_asks_for(name: str, allowed: frozenset[str]) -> None:
    case = CASES[name]
    broker = world()
    peer = peer_of(broker)
    peer.call(ConfirmSelect(), ConfirmSelectOk)
    allow(broker, allowed)
    peer.send(case.method, case.body)
    missing = [f"{operation} access to {what}" for operation, what in case.asks if operation not in allowed]
    if missing:
        text = re.sub("amq.gen-[^']*", "amq.gen-*", refusal(peer))
        assert text == f"ACCESS_REFUSED - {missing[0]} in vhost '/' refused for user 'u'"
    elif isinstance(case.reply, str):
        assert refusal(peer).startswith(case.reply)
    else:
        peer.expect(case.reply)


@pytest.mark.parametrize("allowed", SETS, ids=lambda chosen: "+".join(sorted(chosen)) or "nothing")
def test_a_passive_declare_asks_for_any_of_the_three(allowed: frozenset[str]) -> None:
    broker = world()
    peer = peer_of(broker)
    allow(broker, allowed)
    for kind, method, missing in (
        ("queue", QueueDeclare("q", passive=True), QueueDeclare("none", passive=True)),
        ("exchange", ExchangeDeclare("x", "", passive=True), ExchangeDeclare("none", "", passive=True)),
    ):
        peer.send(method)
        if allowed:
            assert isinstance(peer.got()[0].method, QueueDeclareOk | ExchangeDeclareOk)
        else:
            name = "q" if kind == "queue" else "x"
            text = f"configure access to {kind} '{name}' in vhost '/' refused for user 'u'"
            assert refusal(peer) == f"ACCESS_REFUSED - {text}"
        peer.send(missing)
        assert refusal(peer).startswith("NOT_FOUND" if allowed else "ACCESS_REFUSED - configure access to")


@pytest.mark.parametrize(
    ("pattern", "name", "allowed"),
    [
        ("", "q", False),
        ("", "", True),
        ("^$", "", True),
        ("b", "abc", True),
        ("^b", "abc", False),
        ("^(a|b)-.*", "b-1", True),
        (r"^\w+$", "ä", False),
        ("A", "a", False),
        ("(?i)A", "a", True),
    ],
)
def test_patterns_are_searched(pattern: str, name: str, allowed: bool) -> None:
    broker = world()
    user = make_user(broker)
    broker.users.set_permission("u", "/", pattern, pattern, pattern)
    assert [user.may(operation, "queue", name, "/") for operation in (C, W, R)] == [allowed] * 3


# -- topic permissions


def publish_topic(peer: Peer, key: str, *, exchange: str = "t", **values: object) -> None:
    """Publish with a routing key and properties."""
    properties = BasicProperties()
    for name, value in values.items():
        setattr(properties, name, value)
    peer.send(BasicPublish(exchange, key), b"", properties)


def keys(*names: str, header: str = "CC") -> Table:
    """A CC or BCC header."""
    return {header: array([longstr(name) for name in names])}


def topic_peer(write: str = "^a", read: str = "^{username}.{vhost}$") -> Peer:
    """A client of a user with a topic permission for the exchange t."""
    broker = world()
    peer = peer_of(broker)
    broker.users.set_topic_permission("u", "/", "t", write, read)
    peer.call(ConfirmSelect(), ConfirmSelectOk)
    return peer


def refused_topic(operation: str, key: str) -> str:
    """The text of a refusal."""
    what = f"topic '{key}' in exchange 't' in vhost '/'"
    return f"ACCESS_REFUSED - {operation} access to {what} refused for user 'u'"


def test_topic_permission_of_a_publish() -> None:
    peer = topic_peer()
    for _ in range(2):
        publish_topic(peer, "a.b")
        peer.expect(BasicAck)
        publish_topic(peer, "b")
        assert refusal(peer) == refused_topic(W, "b")
        peer.call(ConfirmSelect(), ConfirmSelectOk)
    publish_topic(peer, "a", headers=keys("a.c", "c"))
    assert refusal(peer) == refused_topic(W, "c")
    publish_topic(peer, "a", headers=keys("c", header="BCC"))
    assert refusal(peer) == refused_topic(W, "c")
    publish_topic(peer, "x", headers=keys("c"))
    assert refusal(peer) == refused_topic(W, "x")
    peer.call(ConfirmSelect(), ConfirmSelectOk)
    publish_topic(peer, "a", headers=keys("a.c"))
    peer.expect(BasicAck)
    publish_topic(peer, "b", exchange="f")
    peer.expect(BasicAck)


def test_topic_permission_comes_behind_other_checks_of_a_publish() -> None:
    peer = topic_peer()
    publish_topic(peer, "b", expiration="soon")
    assert refusal(peer).startswith("PRECONDITION_FAILED - invalid expiration")
    publish_topic(peer, "b", headers={"CC": longstr("a")})
    assert refusal(peer).startswith("PRECONDITION_FAILED - invalid message")
    publish_topic(peer, "b", reply_to="amq.rabbitmq.reply-to")
    assert refusal(peer).startswith("PRECONDITION_FAILED - fast reply consumer")
    publish_topic(peer, "b", user_id="other")
    assert refusal(peer) == refused_topic(W, "b")
    publish_topic(peer, "a", user_id="other")
    assert refusal(peer).startswith("PRECONDITION_FAILED - user_id property")


def test_topic_permission_of_a_publish_in_a_transaction() -> None:
    peer = topic_peer()
    peer.send(ChannelOpen(), channel=2)
    peer.expect(ChannelOpenOk)
    peer.call(TxSelect(), TxSelectOk, channel=2)
    peer.send(BasicPublish("t", "b"), b"", channel=2)
    assert peer.expect(ChannelClose).reply_text == refused_topic(W, "b")


def test_topic_permission_of_a_binding() -> None:
    peer = topic_peer()
    for bind in (
        QueueBind("q", "t", "x"),
        QueueUnbind("q", "t", "x"),
        QueueBind("none", "t", "x"),
        QueueUnbind("none", "t", "x"),
        ExchangeBind("x", "t", "x"),
        ExchangeUnbind("x", "t", "x"),
    ):
        peer.send(bind)
        assert refusal(peer) == refused_topic(R, "x")
    peer.call(QueueBind("q", "t", "u./"), QueueBindOk)
    peer.call(ExchangeBind("t", "f", "x"), ExchangeBindOk)


def test_topic_permission_with_other_names_in_braces() -> None:
    peer = topic_peer(write="^{client_id}$")
    publish_topic(peer, "{client_id}")
    peer.expect(BasicAck)
    publish_topic(peer, "u")
    assert refusal(peer) == refused_topic(W, "u")


def test_topic_permissions_change_at_once() -> None:
    peer = topic_peer()
    users = peer.broker.users
    publish_topic(peer, "a")
    peer.expect(BasicAck)
    users.set_topic_permission("u", "/", "t", "^b", "")
    publish_topic(peer, "a")
    assert refusal(peer) == refused_topic(W, "a")
    users.clear_topic_permission("u", "/", None)
    peer.call(ConfirmSelect(), ConfirmSelectOk)
    publish_topic(peer, "a")
    peer.expect(BasicAck)
    peer.call(QueueBind("q", "t", "any"), QueueBindOk)


# -- changes while somebody is connected


def test_a_permission_taken_away_counts_from_the_next_publish() -> None:
    broker = world()
    peer = peer_of(broker)
    peer.call(ConfirmSelect(), ConfirmSelectOk)
    peer.send(BasicPublish("x", ""), b"")
    peer.expect(BasicAck)
    allow(broker, frozenset((C, R)))
    peer.send(BasicPublish("x", ""), b"")
    assert refusal(peer) == "ACCESS_REFUSED - write access to exchange 'x' in vhost '/' refused for user 'u'"
    broker.users.clear_permission("u", "/")
    peer.send(BasicGet("q"))
    assert refusal(peer) == "ACCESS_REFUSED - read access to queue 'q' in vhost '/' refused for user 'u'"


def test_a_deleted_user_is_disconnected() -> None:
    broker = world()
    peer, other = peer_of(broker), Peer(broker)
    peer.call(QueueDeclare("mine", exclusive=True), QueueDeclareOk)
    broker.users.delete("u")
    close = peer.expect(ConnectionClose)
    assert (close.reply_code, close.reply_text) == (320, "CONNECTION_FORCED - user 'u' is deleted")
    assert other.got() == []
    assert "mine" not in broker.vhosts["/"].queues
    assert broker.users.get("u") is None


def test_a_new_password_disconnects_nobody() -> None:
    broker = world()
    peer = peer_of(broker)
    broker.users.put("u", Credential("argon2", "x"), ("management",))
    assert peer.got() == []
    peer.call(QueueDeclare("q"), QueueDeclareOk)


def test_a_deleted_virtual_host_disconnects_and_is_empty_when_it_comes_back() -> None:
    broker = world()
    broker.add_vhost("v")
    peer, other = peer_of(broker, "v"), Peer(broker)
    peer.call(QueueDeclare("q", durable=True), QueueDeclareOk)
    peer.call(ExchangeDeclare("x", "fanout", durable=True), ExchangeDeclareOk)
    peer.call(QueueBind("q", "x"), QueueBindOk)
    peer.send(BasicPublish("", "q"), b"1")
    broker.delete_vhost("v")
    close = peer.expect(ConnectionClose)
    assert (close.reply_code, close.reply_text) == (320, "CONNECTION_FORCED - vhost 'v' is deleted")
    assert other.got() == []
    assert set(broker.vhosts) == {"/"}
    user = broker.users.user("u")
    assert list(user.permissions) == []
    assert [queue.name for queue in broker.queues()] == ["q"]
    assert user.connections == 0
    broker.add_vhost("v")
    assert opened(broker, user, "v") == "NOT_ALLOWED - access to vhost 'v' refused for user 'u'"
    again = peer_of(broker, "v")
    again.send(QueueDeclare("q", passive=True))
    assert refusal(again) == "NOT_FOUND - no queue 'q' in vhost 'v'"


def test_virtual_hosts_are_apart() -> None:
    broker = world()
    broker.add_vhost("v")
    here, there = Peer(broker), peer_of(broker, "v")
    there.call(QueueDeclare("q"), QueueDeclareOk)
    there.send(BasicPublish("", "q"), b"there")
    here.send(BasicGet("q"))
    here.expect(BasicGetEmpty)
    there.send(BasicGet("q"))
    assert there.got()[0].body == b"there"


def test_protected_virtual_hosts_stay() -> None:
    broker = world()
    broker.add_vhost("v")
    broker.protect_vhost("v", True)
    with pytest.raises(ProtectedError, match="Refusing to delete virtual host 'v' because it is protected"):
        broker.delete_vhost("v")
    broker.protect_vhost("v", False)
    broker.delete_vhost("v")


# -- connection.update-secret


def test_update_secret() -> None:
    broker = world()
    peer = peer_of(broker)
    for name in ("kept", "refused"):
        peer.call(QueueDeclare(name), QueueDeclareOk)
        peer.call(BasicConsume(name, name), BasicConsumeOk)
    peer.call(BasicConsume("amq.rabbitmq.reply-to", "replies", no_ack=True), BasicConsumeOk)
    broker.users.set_permission("u", "/", "", "", "^kept$")
    peer.send(ConnectionUpdateSecret(b"new", "because"), channel=0)
    found = [got.method for got in peer.got()]
    (cancel,) = [method for method in found if isinstance(method, BasicCancel)]
    assert (cancel.consumer_tag, cancel.nowait) == ("refused", True)
    assert sum(isinstance(method, ConnectionUpdateSecretOk) for method in found) == 1
    assert [len(broker.vhosts["/"].queues[name].consumers) for name in ("kept", "refused")] == [1, 0]


def test_update_secret_without_access_any_more() -> None:
    broker = world()
    peer = peer_of(broker)
    broker.users.clear_permission("u", "/")
    peer.send(ConnectionUpdateSecret(b"new", "because"), channel=0)
    close = peer.expect(ConnectionClose)
    assert (close.reply_code, close.class_id, close.method_id) == (530, 10, 70)
    assert close.reply_text == "NOT_ALLOWED - access to vhost '/' refused for user 'u'"


# -- limits


def opened(broker: Broker, user: User, vhost: str) -> str:
    """Open a connection. Returns: nothing, or the text of its refusal."""
    connection = Connection(broker, "test", "127.0.0.1", "0")
    for piece in handshake(vhost=vhost):
        connection.receive(piece)
        if connection.login_request is not None:
            connection.login(user)
    turn(broker)
    broker.awake.remove(connection)
    answer = Parser().feed(b"".join(connection.data_to_send()))[-1].method
    if isinstance(answer, ConnectionOpenOk):
        return ""
    assert isinstance(answer, ConnectionClose)
    assert (answer.reply_code, answer.class_id, answer.method_id) == (530, 10, 40)
    return answer.reply_text


def test_open_is_refused_without_a_permission() -> None:
    broker = world()
    user = make_user(broker)
    assert opened(broker, user, "none") == "NOT_ALLOWED - vhost none not found"
    assert opened(broker, user, "/") == "NOT_ALLOWED - access to vhost '/' refused for user 'u'"
    allow(broker, frozenset())
    assert opened(broker, user, "/") == ""


def test_connections_of_a_virtual_host() -> None:
    broker = world()
    peer = peer_of(broker)
    user = broker.users.user("u")
    stranger = make_user(broker, "stranger")
    refused = "NOT_ALLOWED - access to vhost '/' refused for user '{}': connection limit ({}) is reached"
    broker.set_vhost_limits("/", {"max-connections": 0})
    assert peer.got() == []
    assert opened(broker, user, "/") == refused.format("u", 0)
    broker.set_vhost_limits("/", {"max-connections": 1})
    assert opened(broker, user, "/") == refused.format("u", 1)
    assert opened(broker, stranger, "/") == refused.format("stranger", 1)
    peer.connection.lost()
    assert opened(broker, user, "/") == ""
    assert opened(broker, user, "/") == refused.format("u", 1)
    broker.set_vhost_limits("/", {"max-connections": -1})
    assert opened(broker, user, "/") == ""


def test_connections_of_a_user() -> None:
    broker = world()
    peer = peer_of(broker)
    user = broker.users.user("u")
    refused = "NOT_ALLOWED - connection refused for user 'u': user connection limit (1) is reached"
    broker.users.set_limits("u", {"max-connections": 1})
    assert opened(broker, user, "/") == refused
    assert opened(broker, user, "none") == "NOT_ALLOWED - vhost none not found"
    broker.users.clear_permission("u", "/")
    assert opened(broker, user, "/") == refused
    allow(broker, frozenset())
    broker.set_vhost_limits("/", {"max-connections": 1})
    assert opened(broker, user, "/").endswith("': connection limit (1) is reached")
    broker.clear_vhost_limits("/", None)
    peer.send(ConnectionClose(200, "bye"), channel=0)
    assert opened(broker, user, "/") == ""
    broker.users.clear_limits("u", "max-connections")
    assert opened(broker, user, "/") == ""


def test_channels_of_a_user() -> None:
    broker = world()
    peer, other = peer_of(broker), peer_of(broker)
    broker.users.set_limits("u", {"max-channels": 3})
    peer.open(2)
    peer.send(BasicGet("none"))
    peer.expect(ChannelClose)
    other.send(ChannelOpen(), channel=2)  # a channel that is being closed still counts
    close = other.expect(ConnectionClose)
    text = "NOT_ALLOWED - number of channels opened for user 'u' has reached the maximum allowed user limit of 3"
    assert (close.reply_text, close.class_id, close.method_id) == (text, 0, 0)
    peer.send(ChannelCloseOk())
    peer.open(1)
    peer.open(3)
    peer.send(ChannelClose(200, "bye"), channel=3)
    peer.expect(ChannelCloseOk)
    peer_of(broker)
    peer.connection.lost()
    assert broker.users.user("u").channels == 1


def test_queues_of_a_virtual_host() -> None:
    broker = world()
    peer = Peer(broker)
    broker.set_vhost_limits("/", {"max-queues": 2})
    peer.call(QueueDeclare("mine", exclusive=True), QueueDeclareOk)
    for declare, name in ((QueueDeclare("new"), "new"), (QueueDeclare(""), "amq.gen-*")):
        peer.send(declare)
        text = f"cannot declare queue '{name}': queue limit in vhost '/' (2) is reached"
        assert re.sub("amq.gen-[^']*", "amq.gen-*", refusal(peer)) == f"PRECONDITION_FAILED - {text}"
    peer.send(QueueDeclare("new", arguments={"x-message-ttl": longstr("x")}))
    assert refusal(peer).startswith("PRECONDITION_FAILED - invalid arg 'x-message-ttl'")
    peer.call(QueueDeclare("q"), QueueDeclareOk)
    peer.call(QueueDelete("q"), QueueDeleteOk)
    peer.call(QueueDeclare("new"), QueueDeclareOk)


def test_default_queue_type() -> None:
    broker = make_broker()
    vhost = broker.add_vhost("/", default_queue_type="quorum")
    assert vhost.declare_queue("d", True, False, False, {}, 0).arguments == {"x-queue-type": longstr("quorum")}
    vhost.declare_queue("d", True, False, False, {}, 0)
    classic: Table = {"x-queue-type": longstr("classic")}
    assert vhost.declare_queue("c", True, False, False, classic, 0).arguments == classic
    for name, durable, owner, auto_delete in (("t", False, 0, False), ("e", True, 1, False), ("a", True, 0, True)):
        assert vhost.declare_queue(name, durable, owner > 0, auto_delete, {}, owner).arguments == {}
    with pytest.raises(InvalidError, match="foo is not a valid queue type"):
        broker.add_vhost("/", default_queue_type="foo")


# -- verbs that cannot be done


def test_verbs_on_what_is_missing() -> None:
    broker = world()
    make_user(broker)
    users = broker.users
    with pytest.raises(UnknownError, match="user 'none' does not exist"):
        users.set_permission("none", "/", "", "", "")
    with pytest.raises(UnknownError, match="virtual host 'none' does not exist"):
        users.set_permission("u", "none", "", "", "")
    with pytest.raises(UnknownError):
        users.delete("none")
    with pytest.raises(UnknownError):
        broker.delete_vhost("none")
    users.clear_permission("u", "/")
    users.clear_topic_permission("u", "/", "x")


def test_values_that_cannot_be() -> None:
    broker = world()
    user = make_user(broker)
    with pytest.raises(InvalidError, match="'\\(' is not a regular expression"):
        broker.users.set_permission("u", "/", ".*", "(", ".*")
    with pytest.raises(InvalidError):
        broker.users.set_topic_permission("u", "/", "t", ".*", "[")
    with pytest.raises(InvalidError, match="'max-queues' is not a limit"):
        broker.users.set_limits("u", {"max-queues": 1})
    with pytest.raises(InvalidError, match="'max-channels' is not a limit"):
        broker.set_vhost_limits("/", {"max-queues": 1, "max-channels": 1})
    assert (user.permissions, user.topic_permissions, user.limits) == ({}, {}, {})
    assert broker.vhosts["/"].limits == {}


def test_frames_of_a_refused_channel_are_ignored() -> None:
    broker = world()
    peer = peer_of(broker)
    allow(broker, frozenset((C, W)))
    peer.connection.receive(encode(1, BasicGet("q")) + encode(1, QueueDelete("q")) + encode(1, QueueDeclare("late")))
    assert "read access" in refusal(peer)
    assert set(broker.vhosts["/"].queues) == {"q"}
