"""What the log says beside a reply text."""

from __future__ import annotations

import logging

import pytest

from leveret.core.access.user import Credential, Permission, User
from leveret.core.errors.diagnostics import Origin, nearest
from leveret.core.errors.refusals import Refusal
from leveret.core.policy.matching import Matcher
from leveret.wire.fields import Table, long, longstr
from leveret.wire.methods import (
    BasicAck,
    BasicGet,
    BasicPublish,
    ChannelClose,
    ChannelCloseOk,
    ExchangeDeclare,
    ExchangeDeclareOk,
    Method,
    QueueDeclare,
    QueueDeclareOk,
)
from tests.clients.socketless import Peer

LOGGER = "leveret.connection"


def refusal(peer: Peer, method: Method, caplog: pytest.LogCaptureFixture) -> tuple[str, str]:
    """What the client hears, and what the log says."""
    caplog.clear()
    with caplog.at_level(logging.WARNING, LOGGER):
        close = peer.call(method, ChannelClose)
    peer.send(ChannelCloseOk())
    peer.open(1)
    (record,) = caplog.records
    return close.reply_text, record.getMessage()


def test_all_differences_and_who_declared_it(caplog: pytest.LogCaptureFixture) -> None:
    peer = Peer()
    peer.broker.clock.offset_ms = 1_700_000_000_000
    peer.call(QueueDeclare("q", arguments={"x-max-length": long(5)}), QueueDeclareOk)
    second: Table = {"x-max-length": long(6), "x-expires": long(100)}
    heard, logged = refusal(peer, QueueDeclare("q", durable=True, arguments=second), caplog)
    text = "inequivalent arg 'durable' for queue 'q' in vhost '/': received 'true' but current is 'false'"
    assert heard == f"PRECONDITION_FAILED - {text}"
    assert logged == (
        f"connection test, channel 1: {heard} (the existing one was declared by user 'guest' on connection test at "
        "2023-11-14 22:13:20 UTC. Different: durable, received 'true', current 'false'; x-expires, received the value "
        "'100' of type 'long', current none; x-max-length, received '6', current '5'. Declare it the same or delete "
        "it first)"
    )


def test_exchanges_too(caplog: pytest.LogCaptureFixture) -> None:
    peer = Peer()
    peer.call(ExchangeDeclare("x", "fanout"), ExchangeDeclareOk)
    heard, logged = refusal(peer, ExchangeDeclare("x", "topic", durable=True), caplog)
    assert heard.endswith(
        "inequivalent arg 'type' for exchange 'x' in vhost '/': received 'topic' but current is 'fanout'"
    )
    assert "type, received 'topic', current 'fanout'; durable, received 'true', current 'false'" in logged


@pytest.mark.parametrize(
    ("method", "hint"),
    [
        (QueueDeclare("order", passive=True), "there is 'orders'"),
        (QueueDeclare("ORDERS", passive=True), "there is 'orders'"),
        (QueueDeclare("something else", passive=True), "declare it first"),
        (ExchangeDeclare("amq.topics", passive=True), "there is 'amq.topic'"),
        (
            QueueDeclare("y", arguments={"x-max-length": long(-1)}),
            "x-max-length takes a whole number from 0",
        ),
        (QueueDeclare("y", arguments={"x-max-age": longstr("1D")}), "only queues of type stream have it"),
        (
            QueueDeclare("y", arguments={"x-queue-type": longstr("quorum")}),
            "a quorum queue is durable, not exclusive and not auto-delete",
        ),
        (
            BasicAck(7, False),
            "on this channel nothing is outstanding. A delivery is acknowledged once, on its own channel, and never "
            "with no_ack",
        ),
    ],
)
def test_hints(method: Method, hint: str, caplog: pytest.LogCaptureFixture) -> None:
    peer = Peer()
    peer.call(QueueDeclare("orders"), QueueDeclareOk)
    heard, logged = refusal(peer, method, caplog)
    assert hint not in heard
    assert logged == f"connection test, channel 1: {heard} ({hint})"


def test_an_unknown_tag_beside_others(caplog: pytest.LogCaptureFixture) -> None:
    peer = Peer()
    peer.call(QueueDeclare("q"), QueueDeclareOk)
    for _ in range(3):
        peer.send(BasicPublish("", "q"), b"")
        peer.send(BasicGet("q"))
    peer.got()
    peer.send(BasicAck(1, False))
    _, logged = refusal(peer, BasicAck(1, False), caplog)
    assert "outstanding are 2, tags 2 to 3" in logged


def test_a_locked_queue_has_a_holder(caplog: pytest.LogCaptureFixture) -> None:
    holder = Peer()
    holder.call(QueueDeclare("mine", exclusive=True), QueueDeclareOk)
    holder.call(QueueDeclare("everybody's"), QueueDeclareOk)
    other = Peer(holder.broker)
    _, logged = refusal(other, QueueDeclare("mine", exclusive=True), caplog)
    assert "(it is exclusive, declared by user 'guest' on connection test at " in logged
    _, logged = refusal(other, QueueDeclare("everybody's", exclusive=True), caplog)
    assert "(it is not exclusive, declared by user 'guest' on connection test at " in logged


def test_a_missing_permission_has_a_pattern() -> None:
    user = User("u", Credential("", ""), ())
    user.permissions["/"] = Permission("", "^a", ".*", Matcher(print))
    with pytest.raises(Refusal) as refusal:
        user.check("write", "queue", "b", "/")
    assert refusal.value.hint == "the user's write permission is '^a', in which the name is not found"
    with pytest.raises(Refusal) as refusal:
        user.check("write", "queue", "a", "other")
    assert refusal.value.hint == "the user has no permission in this vhost"


@pytest.mark.parametrize(
    ("name", "names", "expected"),
    [
        ("orders", ["order", "x"], "order"),
        ("orders", ["oders"], "oders"),
        ("orders", ["odrers"], "odrers"),
        ("orders", ["x-orders"], "x-orders"),
        ("orders", ["Orders"], "Orders"),
        ("orders", ["ORDERS"], "ORDERS"),
        ("orders", ["xordersx", "xx-orders"], None),
        ("orders", ["redors"], None),
        ("q", ["a", "", "qq"], None),
        ("", ["a"], None),
        ("aaaa", ["aaa"], "aaa"),
    ],
)
def test_nearest(name: str, names: list[str], expected: str | None) -> None:
    assert nearest(name, names) == expected


@pytest.mark.parametrize(
    ("origin", "text"),
    [
        (Origin("", "", 0), "declared by no client"),
        (Origin("", "u", 10**30), "declared by user 'u'"),
        (Origin("c", "u", 0), "declared by user 'u' on connection c at 1970-01-01 00:00:00 UTC"),
    ],
)
def test_origins(origin: Origin, text: str) -> None:
    assert str(origin) == text
