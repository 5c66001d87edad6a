"""What each method asks a user's permissions for, in which order, and with which words it is refused."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.clients.administration import PASSWORD, Administration, RefusedError
from tests.clients.codec import METHOD
from tests.clients.method import Method
from tests.clients.methods import (
    ChannelClose,
    ChannelCloseOk,
    ConnectionClose,
    ConnectionOpen,
    ConnectionUpdateSecret,
    ExchangeBind,
    ExchangeBindOk,
    ExchangeDeclare,
    ExchangeDeclareOk,
    ExchangeDelete,
    ExchangeDeleteOk,
    ExchangeUnbind,
    ExchangeUnbindOk,
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
)
from tests.clients.methods_basic import (
    BasicAck,
    BasicCancel,
    BasicConsume,
    BasicConsumeOk,
    BasicGet,
    BasicGetEmpty,
    BasicPublish,
)
from tests.clients.peer import Channel, Peer, plain, start_ok
from tests.marks import differs_from_rabbitmq

VHOST = f"behaviour-permissions-{os.getpid():x}"
USER = f"behaviour-user-{os.getpid():x}"
C, W, R = "configure", "write", "read"
SETS = [frozenset(chosen) for count in range(4) for chosen in itertools.combinations((C, W, R), count)]
DLX = {"x-dead-letter-exchange": "x"}
AE = {"alternate-exchange": "x"}
GENERATED = re.compile("amq.gen-[^']*")

Asks = list[tuple[str, str]]
CASES: dict[str, tuple[Method, Asks, type[Method] | str]] = {
    "exchange.declare": (ExchangeDeclare(exchange="new", type="direct"), [(C, "exchange 'new'")], ExchangeDeclareOk),
    "exchange.declare, alternate": (
        ExchangeDeclare(exchange="new", type="direct", arguments=AE),
        [(C, "exchange 'new'"), (R, "exchange 'new'"), (W, "exchange 'x'")],
        ExchangeDeclareOk,
    ),
    "exchange.declare, existing": (
        ExchangeDeclare(exchange="x", type="direct"),
        [(C, "exchange 'x'")],
        ExchangeDeclareOk,
    ),
    "exchange.declare, existing, alternate": (
        ExchangeDeclare(exchange="x", type="direct", arguments=AE),
        [(C, "exchange 'x'")],
        "PRECONDITION_FAILED - inequivalent arg",
    ),
    "exchange.declare, reserved": (
        ExchangeDeclare(exchange="amq.new", type="direct"),
        [(C, "exchange 'amq.new'")],
        "ACCESS_REFUSED - exchange name 'amq.new' contains reserved prefix",
    ),
    "exchange.declare, default": (ExchangeDeclare(type="direct"), [], "ACCESS_REFUSED - operation not permitted"),
    "exchange.declare, bad type": (
        ExchangeDeclare(exchange="new", type="bad"),
        [],
        "PRECONDITION_FAILED - invalid exchange type",
    ),
    "exchange.delete": (ExchangeDelete(exchange="spare"), [(C, "exchange 'spare'")], ExchangeDeleteOk),
    "exchange.delete, missing": (ExchangeDelete(exchange="none"), [(C, "exchange 'none'")], ExchangeDeleteOk),
    "exchange.delete, the broker's": (ExchangeDelete(exchange="amq.direct"), [], "ACCESS_REFUSED - deletion of system"),
    "exchange.bind": (
        ExchangeBind(destination="y", source="x"),
        [(W, "exchange 'y'"), (R, "exchange 'x'")],
        ExchangeBindOk,
    ),
    "exchange.bind, missing": (
        ExchangeBind(destination="none", source="none"),
        [(W, "exchange 'none'"), (R, "exchange 'none'")],
        "NOT_FOUND - no exchange 'none'",
    ),
    "exchange.bind, default": (
        ExchangeBind(source="x"),
        [(W, "exchange 'amq.default'")],
        "ACCESS_REFUSED - operation not permitted on the default exchange",
    ),
    "exchange.unbind": (
        ExchangeUnbind(destination="y", source="x"),
        [(W, "exchange 'y'"), (R, "exchange 'x'")],
        ExchangeUnbindOk,
    ),
    "queue.declare": (QueueDeclare(queue="new", exclusive=True), [(C, "queue 'new'")], QueueDeclareOk),
    "queue.declare, made-up name": (QueueDeclare(exclusive=True), [(C, "queue 'amq.gen-*'")], QueueDeclareOk),
    "queue.declare, dead letters": (
        QueueDeclare(queue="new", exclusive=True, arguments=DLX),
        [(C, "queue 'new'"), (R, "queue 'new'"), (W, "exchange 'x'")],
        QueueDeclareOk,
    ),
    "queue.declare, existing": (QueueDeclare(queue="q", durable=True), [(C, "queue 'q'")], QueueDeclareOk),
    "queue.declare, existing, dead letters": (
        QueueDeclare(queue="q", durable=True, arguments=DLX),
        [(C, "queue 'q'")],
        "PRECONDITION_FAILED - inequivalent arg",
    ),
    "queue.declare, reserved": (
        QueueDeclare(queue="amq.new", exclusive=True),
        [],
        "ACCESS_REFUSED - queue name 'amq.new' contains reserved prefix",
    ),
    "queue.declare, reply-to": (QueueDeclare(queue="amq.rabbitmq.reply-to", passive=True), [], QueueDeclareOk),
    "queue.delete": (QueueDelete(queue="spare"), [(C, "queue 'spare'")], QueueDeleteOk),
    "queue.delete, missing": (QueueDelete(queue="none"), [(C, "queue 'none'")], QueueDeleteOk),
    "queue.bind": (QueueBind(queue="q", exchange="x"), [(W, "queue 'q'"), (R, "exchange 'x'")], QueueBindOk),
    "queue.bind, default": (QueueBind(queue="q"), [(W, "queue 'q'")], "ACCESS_REFUSED - operation not permitted"),
    "queue.bind, missing": (
        QueueBind(queue="none", exchange="x"),
        [(W, "queue 'none'"), (R, "exchange 'x'")],
        "NOT_FOUND - no queue 'none'",
    ),
    "queue.bind, reply-to": (
        QueueBind(queue="amq.rabbitmq.reply-to.x", exchange="x"),
        [],
        "ACCESS_REFUSED - cannot bind or unbind to a volatile",
    ),
    "queue.unbind": (QueueUnbind(queue="q", exchange="x"), [(W, "queue 'q'"), (R, "exchange 'x'")], QueueUnbindOk),
    "queue.unbind, missing": (
        QueueUnbind(queue="none", exchange="none"),
        [(W, "queue 'none'"), (R, "exchange 'none'")],
        QueueUnbindOk,
    ),
    "queue.purge": (QueuePurge(queue="q"), [(R, "queue 'q'")], QueuePurgeOk),
    "queue.purge, missing": (QueuePurge(queue="none"), [(R, "queue 'none'")], "NOT_FOUND - no queue 'none'"),
    "basic.get": (BasicGet(queue="q"), [(R, "queue 'q'")], BasicGetEmpty),
    "basic.consume": (BasicConsume(queue="q"), [(R, "queue 'q'")], BasicConsumeOk),
    "basic.consume, reply-to": (BasicConsume(queue="amq.rabbitmq.reply-to", no_ack=True), [], BasicConsumeOk),
    "basic.publish": (BasicPublish(exchange="x"), [(W, "exchange 'x'")], BasicAck),
    "basic.publish, default": (BasicPublish(routing_key="none"), [(W, "exchange 'amq.default'")], BasicAck),
    "basic.publish, missing": (
        BasicPublish(exchange="none"),
        [(W, "exchange 'none'")],
        "NOT_FOUND - no exchange 'none'",
    ),
    "basic.publish, internal": (
        BasicPublish(exchange="amq.rabbitmq.trace"),
        [(W, "exchange 'amq.rabbitmq.trace'")],
        "ACCESS_REFUSED - cannot publish to internal exchange",
    ),
}


def named(chosen: frozenset[str]) -> str:
    """Return the name of the user who may do this."""
    return f"{USER}-{'-'.join(sorted(chosen)) or 'nothing'}"


class World:
    """A virtual host with exchanges x, y (direct), f (fanout), t (topic) and a queue q; connections of its users."""

    def __init__(self, address: tuple[str, int], administration: Administration) -> None:
        self.administration = administration
        self._address = address
        self._peers: dict[str, Peer] = {}
        administration.add_vhost(VHOST)
        for chosen in SETS:
            administration.add_user(named(chosen))
            administration.permit(named(chosen), VHOST, *[".*" if each in chosen else "" for each in (C, W, R)])
        administration.add_user(USER)
        administration.permit(USER, VHOST)
        self.guest = Peer(address).login(vhost=VHOST).channel()
        for name, kind in (("x", "direct"), ("y", "direct"), ("f", "fanout"), ("t", "topic")):
            self.guest.call(ExchangeDeclare(exchange=name, type=kind))
        self.guest.call(QueueDeclare(queue="q", durable=True))

    def connect(self, user: str, vhost: str = VHOST) -> Peer:
        """Return a new connection of a user."""
        return Peer(self._address).login(start_ok(response=plain(user, PASSWORD)), vhost=vhost)

    def channel(self, user: str) -> Channel:
        """Return a channel on the one connection that all tests of a user share."""
        if user not in self._peers:
            self._peers[user] = self.connect(user)
        return self._peers[user].channel()

    def tidy(self) -> None:
        """Take away what a test may have made, and make what it may have taken away."""
        self.guest.call(ExchangeDelete(exchange="new"))
        self.guest.call(ExchangeUnbind(destination="y", source="x"))
        self.guest.call(QueueUnbind(queue="q", exchange="x"))
        self.guest.call(ExchangeDeclare(exchange="spare", type="direct"))
        self.guest.call(QueueDeclare(queue="spare", durable=True))

    def close(self) -> None:
        """Close all connections."""
        for line in (self.guest, *self._peers.values()):
            line.link.close()


@pytest.fixture(scope="module")
def world(amqp_address: tuple[str, int], administration: Administration) -> Iterator[World]:
    """The virtual host that all tests here share."""
    world = World(amqp_address, administration)
    yield world
    world.close()


def close_text(channel: Channel) -> str:
    """Return the text of the channel.close that comes, with made-up names left out."""
    close = channel.expect(ChannelClose)
    channel.send(ChannelCloseOk())
    return GENERATED.sub("amq.gen-*", close.reply_text)


def refused(operation: str, what: str, user: str = USER, vhost: str = VHOST) -> str:
    """Return the whole text of a refusal."""
    return f"ACCESS_REFUSED - {operation} access to {what} in vhost '{vhost}' refused for user '{user}'"


@pytest.mark.parametrize("allowed", SETS, ids=lambda chosen: "+".join(sorted(chosen)) or "nothing")
@pytest.mark.parametrize("case", CASES)
def test_what_a_method_asks_for(world: World, case: str, allowed: frozenset[str]) -> None:
    method, asks, reply = CASES[case]
    user = named(allowed)
    world.tidy()
    channel = world.channel(user)
    channel.confirm()
    channel.send(method)
    missing = [(operation, what) for operation, what in asks if operation not in allowed]
    if missing:
        assert close_text(channel) == refused(*missing[0], user)
    elif isinstance(reply, str):
        assert close_text(channel).startswith(reply)
    else:
        answer = channel.expect(reply)
        if isinstance(answer, QueueDeclareOk) and answer.queue == "new":
            channel.call(QueueDelete(queue="new"))
        channel.close()


@pytest.mark.parametrize("allowed", SETS, ids=lambda chosen: "+".join(sorted(chosen)) or "nothing")
@pytest.mark.parametrize("name", ["q", "x", "none"])
def test_a_passive_declare_asks_for_any_of_the_three(world: World, name: str, allowed: frozenset[str]) -> None:
    user = named(allowed)
    declares: list[tuple[str, Method]] = [("exchange", ExchangeDeclare(exchange=name, passive=True))]
    if name != "x":
        declares.append(("queue", QueueDeclare(queue=name, passive=True)))
    for kind, declare in declares:
        channel = world.channel(user)
        channel.send(declare)
        if not allowed:
            assert close_text(channel) == refused(C, f"{kind} '{name}'", user)
        elif name == "none" or (name == "q" and kind == "exchange"):
            assert close_text(channel) == f"NOT_FOUND - no {kind} '{name}' in vhost '{VHOST}'"
        else:
            channel.expect(ExchangeDeclareOk if kind == "exchange" else QueueDeclareOk)
            channel.close()


@pytest.mark.parametrize(
    ("pattern", "allowed"),
    [
        ("havi", True),
        ("^behav", True),
        ("^havi", False),
        ("B", False),
        ("(?i)B", True),
        (r"^(?!amq\.)", True),
        ("^(?!behav)", False),
        (r"^\Qbehaviour\E\z", True),
    ],
)
def test_patterns_are_searched(world: World, pattern: str, allowed: bool) -> None:
    world.administration.permit(USER, VHOST, pattern, "", "")
    peer = world.connect(USER)
    channel = peer.channel()
    channel.send(QueueDeclare(queue="behaviour", exclusive=True))
    assert isinstance(channel.next(), QueueDeclareOk) == allowed
    peer.close()


@pytest.mark.parametrize("pattern", ["(", "^[:alpha:]+$", "a" * 1025])
def test_patterns_that_are_refused(world: World, pattern: str) -> None:
    for patterns in itertools.permutations([pattern, ".*", ".*"]):
        with pytest.raises(RefusedError):
            world.administration.permit(USER, VHOST, *patterns)
    with pytest.raises(RefusedError):
        world.administration.permit_topic(USER, VHOST, "t", pattern, ".*")


def test_a_pattern_that_takes_too_many_steps_allows_nothing(world: World) -> None:
    world.administration.permit(USER, VHOST, "^(a|aa)+$", "", "")
    peer = world.connect(USER)
    channel = peer.channel()
    channel.call(QueueDeclare(queue="a" * 100, exclusive=True))
    name = "a" * 100 + "!"
    channel.send(QueueDeclare(queue=name, exclusive=True))
    assert close_text(channel) == refused(C, f"queue '{name}'", USER)
    peer.close()


# -- topic permissions

TOPIC_CASES: dict[str, tuple[Method, str]] = {
    "publish": (BasicPublish(exchange="t", routing_key="a.b"), ""),
    "publish, refused": (BasicPublish(exchange="t", routing_key="b"), "b"),
    "publish, empty key": (BasicPublish(exchange="t"), ""),
    "publish to another type": (BasicPublish(exchange="x", routing_key="b"), ""),
    "publish to the default exchange": (BasicPublish(routing_key="b"), ""),
    "bind": (QueueBind(queue="q", exchange="t", routing_key=f"{USER}.{VHOST}"), ""),
    "bind, refused": (QueueBind(queue="q", exchange="t", routing_key="x"), "x"),
    "unbind, refused": (QueueUnbind(queue="q", exchange="t", routing_key="x"), "x"),
    "bind a missing queue": (QueueBind(queue="none", exchange="t", routing_key="x"), "x"),
    "unbind a missing queue": (QueueUnbind(queue="none", exchange="t", routing_key="x"), "x"),
    "bind an exchange": (ExchangeBind(destination="f", source="t", routing_key="x"), "x"),
    "unbind an exchange": (ExchangeUnbind(destination="f", source="t", routing_key="x"), "x"),
    "bind the topic exchange to another": (ExchangeBind(destination="t", source="f", routing_key="x"), ""),
}


@pytest.fixture
def topic(world: World) -> Iterator[Callable[[], Channel]]:
    """Open channels of a user who may only publish keys that begin with a, and only bind its own name."""
    world.administration.permit(USER, VHOST)
    world.administration.permit_topic(USER, VHOST, "t", "^(a|$)", r"^{username}\.{vhost}$")
    peer = world.connect(USER)
    numbers = itertools.count(1)
    yield lambda: peer.channel(next(numbers))
    peer.link.close()
    world.administration.forget_topic(USER, VHOST)


@pytest.mark.parametrize("case", TOPIC_CASES)
def test_topic_permissions(topic: Callable[[], Channel], case: str) -> None:
    method, key = TOPIC_CASES[case]
    channel = topic()
    channel.confirm()
    channel.send(method)
    if key:
        operation = W if isinstance(method, BasicPublish) else R
        assert close_text(channel) == refused(operation, f"topic '{key}' in exchange 't'")
    else:
        assert not isinstance(channel.next(), ChannelClose)


@pytest.mark.parametrize(
    ("key", "properties", "text"),
    [
        ("a", {"headers": {"CC": ["a.c", "c"]}}, refused(W, "topic 'c' in exchange 't'")),
        ("a", {"headers": {"BCC": ["c"]}}, refused(W, "topic 'c' in exchange 't'")),
        ("b", {"headers": {"CC": ["c"]}}, refused(W, "topic 'b' in exchange 't'")),
        ("a", {"headers": {"CC": ["a.c"]}}, ""),
        ("b", {"expiration": "soon"}, "PRECONDITION_FAILED - invalid expiration 'soon': no_integer"),
        ("b", {"headers": {"CC": "a"}}, 'PRECONDITION_FAILED - invalid message: {unacceptable_type_in_header,"CC"'),
        ("b", {"reply_to": "amq.rabbitmq.reply-to"}, "PRECONDITION_FAILED - fast reply consumer does not exist"),
        ("b", {"user_id": "other"}, refused(W, "topic 'b' in exchange 't'")),
        ("a", {"user_id": "other"}, "PRECONDITION_FAILED - user_id property set to 'other'"),
    ],
    ids=lambda value: None if str(value).startswith("ACCESS") else str(value),  # not the names of this process
)
def test_topic_permissions_among_the_checks_of_a_publish(
    topic: Callable[[], Channel], key: str, properties: dict[str, Any], text: str
) -> None:
    channel = topic()
    channel.confirm()
    channel.publish(key, b"", exchange="t", **properties)
    if text:
        assert close_text(channel).startswith(text)
    else:
        channel.expect(BasicAck)


def test_topic_permissions_in_a_transaction(topic: Callable[[], Channel]) -> None:
    channel = topic()
    channel.call(TxSelect())
    channel.publish("b", b"", exchange="t")
    assert close_text(channel) == refused(W, "topic 'b' in exchange 't'")


def test_other_names_in_braces_stay_as_they_are(world: World, topic: Callable[[], Channel]) -> None:
    world.administration.permit_topic(USER, VHOST, "t", "^{client_id}$", "")
    channel = topic()
    channel.confirm()
    channel.publish("{client_id}", b"", exchange="t")
    channel.expect(BasicAck)


def test_a_topic_permission_ends_with_its_exchange(world: World) -> None:
    world.administration.permit(USER, VHOST)
    peer = world.connect(USER)
    channel = peer.channel(1)
    channel.call(ExchangeDeclare(exchange="ending", type="topic"))
    world.administration.permit_topic(USER, VHOST, "ending", "^a", "^a")
    channel.publish("b", b"", exchange="ending")
    assert close_text(channel) == refused(W, "topic 'b' in exchange 'ending'")
    channel = peer.channel(2)
    channel.call(ExchangeDelete(exchange="ending"))
    channel.call(ExchangeDeclare(exchange="ending", type="topic"))
    channel.confirm()
    channel.publish("b", b"", exchange="ending")
    channel.expect(BasicAck)
    channel.call(ExchangeDelete(exchange="ending"))
    peer.close()


# -- changes under an open connection


def test_a_change_counts_for_the_next_operation(world: World) -> None:
    world.administration.permit(USER, VHOST)
    peer = world.connect(USER)
    channel = peer.channel()
    channel.queue("mine")
    world.administration.permit(USER, VHOST, "", "", "")
    channel.send(BasicGet(queue="mine"))
    assert close_text(channel) == refused(R, "queue 'mine'")
    world.administration.forbid(USER, VHOST)
    channel = peer.channel(2)
    channel.publish("", b"", exchange="x")
    assert close_text(channel) == refused(W, "exchange 'x'")
    peer.link.close()


@differs_from_rabbitmq("a channel of RabbitMQ remembers permissions that it has asked for")
def test_a_change_counts_for_what_was_allowed_before_on_the_same_channel(world: World) -> None:
    world.administration.permit(USER, VHOST)
    channel = world.connect(USER).channel()
    channel.confirm()
    channel.confirmed("", b"", exchange="x")
    world.administration.permit(USER, VHOST, "", "", "")
    channel.publish("", b"", exchange="x")
    assert close_text(channel) == refused(W, "exchange 'x'")
    channel.link.close()


def test_update_secret_cancels_consumers_who_may_not_read_any_more(world: World) -> None:
    world.administration.permit(USER, VHOST)
    peer = world.connect(USER)
    channel = peer.channel()
    for queue in ("kept", "refused"):
        channel.queue(queue)
        channel.consume(queue, queue)
    world.administration.permit(USER, VHOST, "", ".*", "^kept$")
    peer.send(ConnectionUpdateSecret(new_secret=b"any", reason="test"))
    assert peer.link.read_frame() == (METHOD, 0, b"\x00\x0a\x00\x47")  # the answer comes first
    assert channel.expect(BasicCancel) == BasicCancel(consumer_tag="refused", nowait=True)
    channel.expect_silence()
    world.administration.forbid(USER, VHOST)
    peer.send(ConnectionUpdateSecret(new_secret=b"any", reason="test"))
    peer.expect_closed(530, f"access to vhost '{VHOST}' refused for user '{USER}'", by=ConnectionUpdateSecret)


def test_a_deleted_user_is_disconnected(world: World) -> None:
    user = world.administration.add_user(f"{USER}-deleted")
    world.administration.permit(user, VHOST)
    peer = world.connect(user)
    world.administration.delete_user(user)
    peer.expect_closed(320, f"user '{user}' is deleted")


def test_a_user_with_a_new_password_stays_connected(world: World, amqp_address: tuple[str, int]) -> None:
    user = world.administration.add_user(f"{USER}-changed")
    world.administration.permit(user, VHOST)
    channel = world.connect(user).channel()
    world.administration.change_password(user, "other")
    channel.queue()
    channel.link.close()
    refused = Peer(amqp_address)
    refused.start(start_ok(response=plain(user, PASSWORD)))
    refused.expect(ConnectionClose)
    accepted = Peer(amqp_address)
    accepted.login(start_ok(response=plain(user, "other")), vhost=VHOST).close()


def test_a_deleted_virtual_host_disconnects(world: World, amqp_address: tuple[str, int]) -> None:
    vhost = world.administration.add_vhost(f"{VHOST}-deleted")
    world.administration.permit(USER, vhost)
    peer = world.connect(USER, vhost)
    peer.channel().queue("q", exclusive=False, durable=True)
    world.administration.delete_vhost(vhost)
    close = peer.expect(ConnectionClose)  # some brokers do not wait for the answer
    words = [f"CONNECTION_FORCED - vhost '{vhost}' is {what}" for what in ("deleted", "down")]
    assert close.reply_code == 320
    assert close.reply_text in words  # RabbitMQ says one or the other, as chance will have it
    late = Peer(amqp_address)
    late.negotiate(start_ok(response=plain(USER, PASSWORD)))
    late.send(ConnectionOpen(virtual_host=vhost))
    late.expect_closed(530, f"vhost {vhost} not found", by=ConnectionOpen)
    world.administration.add_vhost(vhost)
    channel = Peer(amqp_address).login(vhost=vhost).channel()
    channel.send(QueueDeclare(queue="q", passive=True))
    assert close_text(channel) == f"NOT_FOUND - no queue 'q' in vhost '{vhost}'"
    channel.link.close()
