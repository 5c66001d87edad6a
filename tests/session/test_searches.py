"""What a client makes the broker search for in bad patterns keeps nobody else waiting, and allows nothing by itself."""

from __future__ import annotations

from leveret.core.client.party import LONG_METHODS
from leveret.core.policy.matching import LONG
from leveret.core.policy.policy import Policy
from leveret.session.base.carrier import TURN_METHODS
from leveret.wire.fields import array, longstr
from leveret.wire.methods import (
    BasicCancel,
    BasicConsume,
    BasicConsumeOk,
    BasicPublish,
    ChannelClose,
    ChannelOpen,
    ConnectionUpdateSecret,
    ConnectionUpdateSecretOk,
    QueueDeclare,
    QueueDeclareOk,
)
from leveret.wire.properties import BasicProperties
from tests.clients.socketless import Peer, encode
from tests.session.test_access import allow, make_user, peer_of, world

BAD = "^(a|aa)+$"
SLOW = "^(a|aa)+$|!"  # finds what it finds after many steps
ENDLESS = [f"{'a' * 60}{number}!" for number in range(100)]
LENGTHY = [f"{'a' * 13}!{number}" for number in range(100)]
AT_ONCE = TURN_METHODS // LONG_METHODS


def test_refused_declares_are_a_few_in_a_turn() -> None:
    broker = world()
    peer = peer_of(broker)
    broker.users.set_permission("u", "/", BAD, "", "")
    data = b"".join(
        encode(number, ChannelOpen()) + encode(number, QueueDeclare(name))
        for number, name in enumerate(ENDLESS, start=2)
    )
    peer.connection.receive(data)
    assert broker.matcher.long == AT_ONCE
    closes = [got.method for got in peer.got() if isinstance(got.method, ChannelClose)]
    assert [close.reply_text for close in closes] == [
        f"ACCESS_REFUSED - configure access to queue '{name}' in vhost '/' refused for user 'u'" for name in ENDLESS
    ]
    assert broker.matcher.long == len(ENDLESS)


def test_policies_of_declared_queues_are_searched_a_few_times_in_a_turn() -> None:
    peer = Peer()
    peer.broker.vhosts["/"].set_policy(Policy("p", SLOW, {"max-length": 5}, 0, "all"))
    peer.connection.receive(b"".join(encode(1, QueueDeclare(name)) for name in LENGTHY))
    assert peer.broker.matcher.long == AT_ONCE
    assert [type(got.method) for got in peer.got()] == [QueueDeclareOk] * len(LENGTHY)
    assert all(queue.settings.max_length == 5 for queue in peer.broker.vhosts["/"].queues.values())


def test_what_is_asked_again_is_remembered() -> None:
    broker = world()
    peer = peer_of(broker)
    broker.users.set_permission("u", "/", SLOW, "", "")
    for _ in range(10):
        peer.call(QueueDeclare(LENGTHY[0]), QueueDeclareOk)
    assert broker.matcher.long == 1


def test_routing_keys_are_a_few_in_a_turn() -> None:
    broker = world()
    peer = peer_of(broker)
    broker.users.set_topic_permission("u", "/", "t", SLOW, SLOW)
    peer.connection.receive(b"".join(encode(1, BasicPublish("t", key), b"") for key in LENGTHY))
    assert broker.matcher.long == AT_ONCE
    assert peer.got() == []
    assert broker.matcher.long == len(LENGTHY)


def test_all_keys_of_one_message_take_long_a_few_times_only() -> None:
    broker = world()
    peer = peer_of(broker)
    broker.users.set_topic_permission("u", "/", "t", SLOW, SLOW)
    headers = {"CC": array([longstr(key) for key in LENGTHY])}
    properties = BasicProperties()
    properties.headers = headers
    peer.send(BasicPublish("t", "a"), b"", properties)
    text = f"write access to topic '{LENGTHY[LONG]}' in exchange 't' in vhost '/' refused for user 'u'"
    assert peer.expect(ChannelClose).reply_text == f"ACCESS_REFUSED - {text}"
    assert broker.matcher.long == LONG


def test_consumers_are_looked_at_again_with_little_patience() -> None:
    broker = world()
    make_user(broker)
    allow(broker, frozenset(("configure", "read")))
    peer = Peer(broker, user=broker.users.user("u"))
    for number, name in enumerate(LENGTHY[:20], start=2):
        peer.open(number)
        peer.call(QueueDeclare(name), QueueDeclareOk, number)
        peer.call(BasicConsume(name, name), BasicConsumeOk, number)
    broker.users.set_permission("u", "/", "", "", SLOW)
    peer.send(ConnectionUpdateSecret(b"secret", "new"), channel=0)
    found = [got.method for got in peer.got()]
    assert broker.matcher.long == LONG
    cancelled = [method.consumer_tag for method in found if isinstance(method, BasicCancel)]
    assert cancelled == LENGTHY[LONG:20]
    assert isinstance(found[0], ConnectionUpdateSecretOk)
