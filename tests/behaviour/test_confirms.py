"""Publisher confirms: confirm.select, the acks and nacks of the broker, and basic.return before them."""

from __future__ import annotations

import pytest

from tests.clients.methods import (
    AccessRequest,
    AccessRequestOk,
    ChannelClose,
    ChannelCloseOk,
    ConfirmSelect,
    ConfirmSelectOk,
    QueueDelete,
    TxSelect,
)
from tests.clients.methods_basic import BasicAck, BasicDeliver, BasicNack, BasicPublish, BasicReturn
from tests.clients.peer import Channel, Peer

from .conftest import Names


def span(ack: BasicAck) -> set[int]:
    """Return the sequence numbers an ack may speak of."""
    return set(range(1, ack.delivery_tag + 1)) if ack.multiple else {ack.delivery_tag}


def confirmed(channel: Channel, count: int) -> set[int]:
    """Read confirms, single or multiple, until so many publishes are confirmed, each once."""
    done: set[int] = set()
    while len(done) < count:
        ack = channel.expect(BasicAck)
        assert ack.delivery_tag not in done
        done |= span(ack)
    return done


def test_select(channel: Channel) -> None:
    for _ in range(2):
        assert channel.call(ConfirmSelect()) == ConfirmSelectOk()


def test_select_nowait(channel: Channel, queue: str) -> None:
    channel.send(ConfirmSelect(nowait=True))
    channel.publish(queue, b"x")
    assert channel.expect(BasicAck) == BasicAck(delivery_tag=1)


def test_nothing_is_confirmed_without_select(channel: Channel, queue: str) -> None:
    channel.publish(queue, b"x", delivery_mode=2)
    channel.expect_silence()


@pytest.mark.parametrize("durable", [False, True])
@pytest.mark.parametrize("delivery_mode", [None, 1, 2])
def test_one_by_one(channel: Channel, names: Names, durable: bool, delivery_mode: int | None) -> None:
    queue = channel.queue(names.queue(), exclusive=False, durable=durable)
    channel.confirm()
    for number in range(1, 6):
        channel.publish(queue, b"x", delivery_mode=delivery_mode)
        assert channel.expect(BasicAck) == BasicAck(delivery_tag=number)


@pytest.mark.parametrize("delivery_mode", [None, 1, 2])
def test_one_by_one_in_a_quorum_queue(channel: Channel, names: Names, delivery_mode: int | None) -> None:
    queue = channel.queue(names.queue(), exclusive=False, durable=True, x_queue_type="quorum")
    channel.confirm()
    for number in range(1, 6):
        channel.publish(queue, b"x", delivery_mode=delivery_mode)
        assert channel.expect(BasicAck) == BasicAck(delivery_tag=number)


@pytest.mark.parametrize("durable", [False, True])
def test_many_at_once(channel: Channel, names: Names, durable: bool) -> None:
    queue = channel.queue(names.queue(), exclusive=False, durable=durable)
    channel.confirm()
    channel.publish(queue, *[b"x"] * 500, delivery_mode=2)
    assert confirmed(channel, 500) == set(range(1, 501))
    channel.expect_silence()


def test_count_starts_with_select(channel: Channel, queue: str) -> None:
    channel.publish(queue, b"1", b"2")
    channel.confirm()
    channel.publish(queue, b"3")
    assert channel.expect(BasicAck).delivery_tag == 1
    channel.confirm()
    channel.publish(queue, b"4")
    assert channel.expect(BasicAck).delivery_tag == 2


def test_count_is_per_channel(peer: Peer, channel: Channel, queue: str) -> None:
    other = peer.channel(2)
    for publisher in (channel, other):
        publisher.confirm()
        publisher.publish(queue, b"x")
        assert publisher.expect(BasicAck).delivery_tag == 1


def test_unroutable_is_confirmed(channel: Channel) -> None:
    channel.confirm()
    channel.publish("behaviour-nowhere", b"x")
    assert channel.expect(BasicAck) == BasicAck(delivery_tag=1)


def test_return_comes_before_its_ack(channel: Channel) -> None:
    channel.confirm()
    for number in range(1, 4):
        channel.publish("behaviour-nowhere", b"x", mandatory=True)
        channel.expect(BasicReturn)
        assert channel.expect(BasicAck) == BasicAck(delivery_tag=number)


def test_returns_and_acks_mixed(channel: Channel, queue: str) -> None:
    channel.confirm()
    keys = [queue, "behaviour-nowhere"] * 20
    channel.send(*[BasicPublish(routing_key=key, mandatory=True, body=b"x") for key in keys])
    returned = 0
    done: set[int] = set()
    while len(done) < len(keys):
        method = channel.next()
        if isinstance(method, BasicReturn):
            returned += 2
            continue
        assert isinstance(method, BasicAck)
        done |= span(method)
        unroutable = {number for number in done if number % 2 == 0}
        assert not unroutable or max(unroutable) <= returned


def test_several_queues_one_confirm(channel: Channel, names: Names) -> None:
    for durable in (False, True):
        queue = channel.queue(names.queue(), exclusive=False, durable=durable)
        channel.bind(queue, "amq.fanout")
    channel.confirm()
    channel.publish("", b"x", exchange="amq.fanout", delivery_mode=2)
    assert channel.expect(BasicAck) == BasicAck(delivery_tag=1)
    channel.expect_silence()


def test_consumed_at_once(channel: Channel, names: Names) -> None:
    queue = channel.queue(names.queue(), exclusive=False, durable=True)
    channel.consume(queue, no_ack=True)
    channel.confirm()
    channel.publish(queue, b"x", delivery_mode=2)
    assert {type(channel.next()) for _ in range(2)} == {BasicDeliver, BasicAck}


def test_own_acknowledgements_do_not_mix_with_confirms(channel: Channel, queue: str) -> None:
    channel.confirm()
    channel.publish(queue, b"1", b"2")
    confirmed(channel, 2)
    assert channel.get(queue).delivery_tag == 1
    channel.send(BasicAck(delivery_tag=1))
    channel.publish(queue, b"3")
    assert channel.expect(BasicAck).delivery_tag == 3


def test_full_queue_that_rejects(channel: Channel, names: Names) -> None:
    full = channel.queue(names.plain(), x_max_length=1, x_overflow="reject-publish")
    channel.confirm()
    channel.confirmed(full, b"fits")
    channel.publish(full, b"does not")
    assert channel.expect(BasicNack).delivery_tag == 2
    assert channel.bodies(full) == [b"fits"]
    channel.publish(full, b"fits again")
    assert channel.expect(BasicAck) == BasicAck(delivery_tag=3)


def test_one_full_queue_among_several(channel: Channel, names: Names, queue: str) -> None:
    full = channel.queue(names.plain(), x_max_length=0, x_overflow="reject-publish")
    for name in (full, queue):
        channel.bind(name, "amq.fanout")
    channel.confirm()
    channel.publish("", b"x", exchange="amq.fanout")
    assert channel.expect(BasicNack).delivery_tag == 1
    assert channel.bodies(queue) == [b"x"]


def test_rejected_without_confirms_is_lost_in_silence(channel: Channel, names: Names) -> None:
    full = channel.queue(names.plain(), x_max_length=0, x_overflow="reject-publish")
    channel.publish(full, b"x", mandatory=True)
    channel.expect_silence()


def test_deleted_queue_counts_as_confirmed(channel: Channel, names: Names) -> None:
    queue = channel.queue(names.queue(), exclusive=False, durable=True)
    channel.confirm()
    channel.publish(queue, *[b"x"] * 100, delivery_mode=2)
    channel.send(QueueDelete(queue=queue))
    done: set[int] = set()
    while len(done) < 100:
        method = channel.next()
        if isinstance(method, BasicAck):
            done |= span(method)


def test_error_ends_confirms(channel: Channel, names: Names, queue: str) -> None:
    missing = names.plain()
    channel.confirm()
    channel.confirmed(queue, b"x")
    channel.expect_refused(BasicPublish(exchange=missing), 404, f"no exchange '{missing}' in vhost '/'")
    channel.publish(queue, b"x")
    channel.send(AccessRequest())
    channel.expect(AccessRequestOk)
    channel.expect_silence()


def test_closed_channel_starts_counting_again(channel: Channel, queue: str) -> None:
    channel.confirm()
    channel.confirmed(queue, b"1", b"2")
    channel.close()
    channel.open()
    channel.confirm()
    channel.publish(queue, b"3")
    assert channel.expect(BasicAck).delivery_tag == 1


def test_close_loses_confirms_but_no_messages(peer: Peer, channel: Channel, names: Names) -> None:
    queue = channel.queue(names.queue(), exclusive=False, durable=True)
    publisher = peer.channel(2)
    publisher.confirm()
    publisher.publish(queue, *[b"x"] * 100, delivery_mode=2)
    publisher.send(ChannelClose(reply_code=200))
    while not isinstance(publisher.next(), ChannelCloseOk):
        pass
    publisher.open()
    publisher.expect_silence()
    channel.expect_ready(queue, 100)


def test_not_on_a_tx_channel(channel: Channel) -> None:
    channel.call(TxSelect())
    channel.expect_refused(ConfirmSelect(), 406, "cannot switch from tx to confirm mode")


def test_messages_that_come_back_keep_their_own_counts(channel: Channel, queue: str) -> None:
    channel.consume(queue, "tag")
    channel.confirm()
    for number in range(1, 4):
        channel.publish(queue, b"x")
        found = [channel.next() for _ in range(2)]
        tags = {type(method): getattr(method, "delivery_tag", 0) for method in found}
        assert tags == {BasicAck: number, BasicDeliver: number}
