"""x-recent-history: the messages that new bindings get."""

from __future__ import annotations

import pytest

from leveret.core.errors.refusals import UNFIT, Refusal
from leveret.core.exchange.exchange import Binding
from leveret.core.turn.work import HANDING_OUT, PIECE
from leveret.wire.fields import Field, Table, boolean, long, longstr
from leveret.wire.methods import (
    BasicPublish,
    ExchangeBind,
    ExchangeBindOk,
    ExchangeDeclare,
    ExchangeDeclareOk,
    ExchangeDelete,
    ExchangeDeleteOk,
    QueueBind,
    QueueBindOk,
    QueueDeclare,
    QueueDeclareOk,
    QueueUnbind,
)
from leveret.wire.properties import BasicProperties
from tests.clients.socketless import Peer, make_broker, turn
from tests.core.test_delayed import bodies


def declare(arguments: Table | None = None, kind: str = "x-recent-history") -> Peer:
    """A client with the exchange x, and the queue q, not bound."""
    peer = Peer()
    peer.call(ExchangeDeclare("x", kind, arguments=arguments or {}), ExchangeDeclareOk)
    peer.call(QueueDeclare("q"), QueueDeclareOk)
    return peer


def publish(peer: Peer, *messages: str, headers: Table | None = None) -> None:
    """Some messages."""
    for body in messages:
        properties = BasicProperties()
        properties.headers = headers
        peer.send(BasicPublish("x", "key"), body.encode(), properties)


def test_a_new_binding_gets_the_last_messages() -> None:
    peer = declare({"x-recent-history-length": long(3)})
    publish(peer, *"abcde")
    peer.call(QueueBind("q", "x", ""), QueueBindOk)
    publish(peer, "f")
    peer.call(QueueBind("q", "x", ""), QueueBindOk)  # once more: no effect
    assert bodies(peer) == ["c", "d", "e", "f"]
    peer.call(QueueBind("q", "x", "other key"), QueueBindOk)
    assert bodies(peer) == ["d", "e", "f"]


def test_twenty_by_default() -> None:
    peer = declare()
    publish(peer, *[str(number) for number in range(30)])
    peer.call(QueueBind("q", "x", ""), QueueBindOk)
    assert bodies(peer) == [str(number) for number in range(10, 30)]


def test_it_is_a_fanout_and_remembers_every_message_once() -> None:
    peer = declare()
    peer.call(QueueBind("q", "x", "a"), QueueBindOk)
    peer.call(QueueDeclare("later"), QueueDeclareOk)
    for body in "ab":
        publish(peer, body)
    peer.call(QueueBind("later", "x", ""), QueueBindOk)
    assert (bodies(peer), bodies(peer, "later")) == (["a", "b"], ["a", "b"])


def test_some_messages_are_not_to_be_stored() -> None:
    peer = declare()
    publish(peer, "no", headers={"x-recent-history-no-store": boolean(True)})
    publish(peer, "yes", headers={"x-recent-history-no-store": boolean(False)})
    publish(peer, "text", headers={"x-recent-history-no-store": longstr("true")})
    peer.call(QueueBind("q", "x", ""), QueueBindOk)
    assert bodies(peer) == ["yes", "text"]


def test_an_exchange_gets_the_history_too() -> None:
    peer = declare()
    peer.call(ExchangeDeclare("next", "direct"), ExchangeDeclareOk)
    peer.call(QueueBind("q", "next", "key"), QueueBindOk)
    publish(peer, "a")
    peer.call(ExchangeBind("next", "x", ""), ExchangeBindOk)
    assert bodies(peer) == ["a"]


def test_a_delayed_message_becomes_history_when_it_is_due() -> None:
    peer = declare({"x-delayed-type": longstr("x-recent-history")}, "x-delayed-message")
    publish(peer, "a", headers={"x-delay": long(10)})
    peer.call(QueueBind("q", "x", ""), QueueBindOk)
    assert bodies(peer) == []
    peer.broker.tick(10)
    assert bodies(peer) == ["a"]
    peer.call(QueueBind("q", "x", "again"), QueueBindOk)
    assert bodies(peer) == ["a"]


def test_history_ends_with_the_exchange() -> None:
    peer = declare()
    publish(peer, "a")
    peer.call(ExchangeDelete("x"), ExchangeDeleteOk)
    peer.call(ExchangeDeclare("x", "x-recent-history"), ExchangeDeclareOk)
    peer.call(QueueBind("q", "x", ""), QueueBindOk)
    assert bodies(peer) == []


@pytest.mark.parametrize(("length", "term"), [(long(0), "0"), (long(-2), "-2"), (longstr("a"), '<<"a">>')])
def test_wrong_lengths(length: Field, term: str) -> None:
    vhost = make_broker().vhosts["/"]
    arguments = {"x-recent-history-length": length}
    with pytest.raises(Refusal) as caught:
        vhost.declare_exchange("x", "x-recent-history", False, False, False, arguments)
    text = f"Invalid argument {term}, 'x-recent-history-length' must be a positive integer"
    assert (caught.value.kind, caught.value.text) == (UNFIT, text)


def test_looking_up_a_route_is_no_message() -> None:
    peer = declare()
    vhost = peer.broker.vhosts["/"]
    vhost.exchange("x").route(["k"])
    vhost.bind(Binding(vhost.exchange("x"), vhost.queues["q"], None, "", {}))
    assert bodies(peer) == []


@pytest.mark.parametrize("way", ["queue", "exchange"])
def test_a_long_history_comes_in_pieces(way: str) -> None:
    count = 2 * PIECE
    peer = declare({"x-recent-history-length": long(count)})
    broker = peer.broker
    publish(peer, *[str(number) for number in range(count)])
    queue = broker.vhosts["/"].queues["q"]
    turn(broker)
    if way == "queue":
        peer.send(QueueBind("q", "x", ""))
    else:
        peer.call(QueueBind("q", "amq.fanout", ""), QueueBindOk)
        peer.send(ExchangeBind("amq.fanout", "x", ""))
    before = 0
    while len(broker.background):
        after = len(queue.ready)
        assert after - before <= PIECE // HANDING_OUT
        before = after
        broker.work()
    assert [int(each.message.body()) for each in queue.ready.items()] == list(range(count))
    assert before > 0


def test_a_binding_that_goes_meanwhile_gets_no_more() -> None:
    peer = declare({"x-recent-history-length": long(2 * PIECE)})
    publish(peer, *["x"] * 2 * PIECE)
    turn(peer.broker)
    peer.send(QueueBind("q", "x", ""))
    peer.send(QueueUnbind("q", "x", ""))
    queue = peer.broker.vhosts["/"].queues["q"]
    count = len(queue.ready)
    peer.broker.finish()
    assert 0 < count == len(queue.ready) < 2 * PIECE
