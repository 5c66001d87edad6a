"""Counters: what each part of a broker has done since it was created, in plain numbers that only grow.

The lowest part that a number belongs to keeps it, and readers add up the rest: total() returns such a sum as a
snapshot. A part that ends adds its numbers to those of its heir: a consumer to its channel, a channel to its
connection, and connections, queues and exchanges to the sums of their virtual host. So no number of a virtual host
ever falls. A restart resets all numbers.

RabbitMQ's names correspond as follows: publish is published, confirm confirmed, return_unroutable returned,
drop_unroutable unroutable less returned, deliver delivered, deliver_no_ack delivered_no_ack, get got, get_no_ack
got_no_ack, redeliver redelivered, and ack acked. RabbitMQ's publish of a queue is the sum of its inflows; published
also includes messages that the broker itself sends to the queue.
Source: rabbit_channel.erl (INCR_STATS), rabbit_core_metrics.erl, rabbit_global_counters.erl.
"""

from __future__ import annotations

from mypy_extensions import i64


class Publishes:
    """Messages that clients publish to exchanges.

    published: by basic.publish, whatever the outcome; in a transaction, counted at the commit.
    unroutable: published messages that no queue got. returned: unroutable messages that were mandatory.
    """

    def __init__(self) -> None:
        self.published: i64 = 0
        self.unroutable: i64 = 0
        self.returned: i64 = 0

    def add_publishes(self, other: Publishes) -> None:
        """Add the numbers of another object."""
        self.published += other.published
        self.unroutable += other.unroutable
        self.returned += other.returned


class Deliveries:
    """Messages that clients get from queues.

    delivered, delivered_no_ack: sent by basic.deliver to consumers with and without acknowledgements.
    got, got_no_ack: the same for basic.get and Queue.take_at(). get_empty: basic.get that found no message.
    redelivered: messages among all these that were delivered before.
    acked: acknowledged deliveries. rejected: deliveries discarded by basic.reject or basic.nack.
    requeued: deliveries returned by basic.reject, basic.nack or basic.recover, or at the end of their channel.
    In a transaction, the last three count at the commit.
    """

    def __init__(self) -> None:
        self.delivered: i64 = 0
        self.delivered_no_ack: i64 = 0
        self.got: i64 = 0
        self.got_no_ack: i64 = 0
        self.get_empty: i64 = 0
        self.redelivered: i64 = 0
        self.acked: i64 = 0
        self.rejected: i64 = 0
        self.requeued: i64 = 0

    def add_deliveries(self, other: Deliveries) -> None:
        """Add the numbers of another object."""
        self.delivered += other.delivered
        self.delivered_no_ack += other.delivered_no_ack
        self.got += other.got
        self.got_no_ack += other.got_no_ack
        self.get_empty += other.get_empty
        self.redelivered += other.redelivered
        self.acked += other.acked
        self.rejected += other.rejected
        self.requeued += other.requeued

    def add_consumer(self, consumer: ConsumerCounters) -> None:
        """Add the deliveries of a consumer. Acks are counted elsewhere: they may come after the consumer has ended."""
        if consumer.no_ack:
            self.delivered_no_ack += consumer.delivered
        else:
            self.delivered += consumer.delivered
        self.redelivered += consumer.redelivered


class ConsumerCounters:
    """The counters of one consumer. delivered: messages sent. redelivered: as in Deliveries. bytes_out: of bodies sent.

    acked, rejected, requeued: as in Deliveries. acked is not counted; total() computes it as delivered minus
    outstanding, rejected and requeued. It stays 0 with no_ack.
    """

    __slots__ = ("acked", "bytes_out", "delivered", "no_ack", "redelivered", "rejected", "requeued")

    def __init__(self, no_ack: bool) -> None:
        self.no_ack = no_ack
        self.delivered: i64 = 0
        self.bytes_out: i64 = 0
        self.redelivered: i64 = 0
        self.acked: i64 = 0
        self.rejected: i64 = 0
        self.requeued: i64 = 0

    def take_back(self, size: i64, redelivered: bool) -> None:
        """Undo the count of a delivery that failed. size: bytes of its body."""
        self.delivered -= 1
        self.bytes_out -= size
        if redelivered:
            self.redelivered -= 1

    def total(self, outstanding: i64) -> ConsumerCounters:
        """All counts. outstanding: deliveries that wait for an ack."""
        found = ConsumerCounters(self.no_ack)
        found.delivered = self.delivered
        found.bytes_out = self.bytes_out
        found.redelivered = self.redelivered
        found.rejected = self.rejected
        found.requeued = self.requeued
        if not self.no_ack:
            found.acked = self.delivered - outstanding - self.rejected - self.requeued
        return found


class Inflow(Publishes):
    """What one channel publishes to one exchange, while both exist."""

    def __init__(self, channel: ChannelCounters, exchange: ExchangeCounters) -> None:
        super().__init__()
        self.channel = channel
        self.exchange = exchange


class Outflow:
    """What one exchange routes to one queue, while both exist.

    routed: copies of messages that clients publish to the exchange, directly or through other exchanges on the way. The
    queue may have refused some.
    """

    __slots__ = ("exchange", "queue", "routed")

    def __init__(self, exchange: ExchangeCounters, queue: QueueCounters) -> None:
        self.exchange = exchange
        self.queue = queue
        self.routed: i64 = 0


class ExchangeCounters(Publishes):
    """The counters of one exchange. routed: copies that it has put into queues, or kept for later.

    The inherited numbers and routed are those of deleted queues and closed channels; total() includes the others.
    inflows: from open channels. outflows: to existing queues.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.routed: i64 = 0
        self.inflows: dict[ChannelCounters, Inflow] = {}
        self.outflows: dict[QueueCounters, Outflow] = {}
        self.heir: ExchangeCounters | None = None  # once the exchange is deleted

    def count_routed(self, queue: QueueCounters | None, copies: i64) -> None:
        """Count copies that went to a queue; None for a destination without counters."""
        heir = self.heir
        if heir is not None:
            heir.routed += copies
        elif queue is None or queue.is_gone:
            self.routed += copies
        else:
            flow = self.outflows.get(queue)
            if flow is None:
                flow = self.outflows[queue] = queue.inflows[self] = Outflow(self, queue)
            flow.routed += copies

    def total(self) -> ExchangeCounters:
        """All counts."""
        found = ExchangeCounters(self.name)
        found.add(self)
        for inflow in self.inflows.values():
            found.add_publishes(inflow)
        for outflow in self.outflows.values():
            found.routed += outflow.routed
        return found

    def add(self, other: ExchangeCounters) -> None:
        """Add the numbers of another object, without its flows."""
        self.add_publishes(other)
        self.routed += other.routed

    def end(self, heir: ExchangeCounters) -> None:
        """The exchange is deleted."""
        heir.add(self.total())
        self.heir = heir
        for inflow in self.inflows.values():
            inflow.channel.forget(inflow)
        for outflow in self.outflows.values():
            del outflow.queue.inflows[self]
        self.inflows = {}
        self.outflows = {}


class QueueCounters(Deliveries):
    """The counters of one queue.

    published: messages that it took, from any sender. bytes_in: of their bodies. recovered: messages found in the log
    at start-up. refused: messages not taken, because the queue was full or faulty. bytes_out: of bodies delivered or
    got. expired: removed by their time to live. dropped: removed by a length limit. exhausted: removed by the delivery
    limit. dead_lettered: messages that ended in any of these ways and went to a dead letter exchange. letters: their
    number for each reason, and whether they must arrive. removed: by a purge or the deletion of the queue. duplicates:
    messages not taken because the queue has them already. unreadable: incoming messages with a hold-until header that
    names no time. The numbers are those of consumers that have ended, and of basic.get, without acked; total() includes
    the others. inflows: from existing exchanges.

    At any time, without faults:
        delivered + got = acked + rejected + requeued + unacknowledged
        published + recovered = ready + waiting to be retried + held + unacknowledged + acked + delivered_no_ack
            + got_no_ack + rejected + expired + dropped + exhausted + removed
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.published: i64 = 0
        self.bytes_in: i64 = 0
        self.bytes_out: i64 = 0
        self.recovered: i64 = 0
        self.refused: i64 = 0
        self.expired: i64 = 0
        self.dropped: i64 = 0
        self.exhausted: i64 = 0
        self.dead_lettered: i64 = 0
        self.letters: dict[tuple[str, bool], int] = {}
        self.removed: i64 = 0
        self.duplicates: i64 = 0
        self.unreadable: i64 = 0
        self.inflows: dict[ExchangeCounters, Outflow] = {}
        self.is_gone = False

    def count_letter(self, reason: str, must_arrive: bool) -> None:
        """A message goes to a dead letter exchange."""
        self.dead_lettered += 1
        self.letters[reason, must_arrive] = self.letters.get((reason, must_arrive), 0) + 1

    def keep_got(self) -> None:
        """The last message got without an ack could not be sent: count it as got with an ack, since it is requeued."""
        self.got_no_ack -= 1
        self.got += 1

    def end_consumer(self, consumer: ConsumerCounters) -> None:
        """A consumer has ended."""
        self.add_consumer(consumer)
        self.bytes_out += consumer.bytes_out

    def total(self, consumers: list[ConsumerCounters], outstanding: i64) -> QueueCounters:
        """All counts. consumers: the current ones. outstanding: deliveries that wait for an ack."""
        found = QueueCounters(self.name)
        found.add(self)
        for consumer in consumers:
            found.end_consumer(consumer)
        found.acked = found.delivered + found.got - outstanding - found.rejected - found.requeued
        return found

    def add(self, other: QueueCounters) -> None:
        """Add the numbers of another object, without its flows."""
        self.add_deliveries(other)
        self.published += other.published
        self.bytes_in += other.bytes_in
        self.bytes_out += other.bytes_out
        self.recovered += other.recovered
        self.refused += other.refused
        self.expired += other.expired
        self.dropped += other.dropped
        self.exhausted += other.exhausted
        self.dead_lettered += other.dead_lettered
        self.removed += other.removed
        self.duplicates += other.duplicates
        self.unreadable += other.unreadable
        for kind, count in other.letters.items():
            self.letters[kind] = self.letters.get(kind, 0) + count

    def end(self, total: QueueCounters, heir: QueueCounters) -> None:
        """The queue is deleted. total: all its counts."""
        heir.add(total)
        self.is_gone = True
        for outflow in self.inflows.values():
            exchange = outflow.exchange
            exchange.routed += outflow.routed
            del exchange.outflows[self]
        self.inflows = {}


class ClientCounters(Deliveries):
    """The counters that channels and connections share.

    published, unroutable, returned: as in Publishes. confirmed: publishes that the broker has acked. nacked: publishes
    that it could not take. to_confirm: publishes in confirm mode, on closed channels.
    """

    def __init__(self) -> None:
        super().__init__()
        self.published: i64 = 0
        self.unroutable: i64 = 0
        self.returned: i64 = 0
        self.confirmed: i64 = 0
        self.nacked: i64 = 0
        self.to_confirm: i64 = 0

    def add(self, other: ClientCounters) -> None:
        """Add the numbers of another object."""
        self.add_deliveries(other)
        self.published += other.published
        self.unroutable += other.unroutable
        self.returned += other.returned
        self.confirmed += other.confirmed
        self.nacked += other.nacked
        self.to_confirm += other.to_confirm

    def add_inflow(self, inflow: Publishes) -> None:
        """Add what was published to an exchange."""
        self.published += inflow.published
        self.unroutable += inflow.unroutable
        self.returned += inflow.returned


class ChannelCounters(ClientCounters):
    """The counters of one channel.

    The inherited numbers are those of consumers and exchanges that have ended, and those that belong to neither;
    total() includes the others. connection: None once the channel has ended. inflows: what it publishes to existing
    exchanges. consumers: the current ones.
    """

    def __init__(self, number: int, connection: ConnectionCounters) -> None:
        super().__init__()
        self.number = number
        self.connection: ConnectionCounters | None = connection
        self.inflows: dict[ExchangeCounters, Inflow] = {}
        self.consumers: dict[ConsumerCounters, None] = {}
        connection.channels[self] = None

    def inflow(self, exchange: ExchangeCounters) -> Inflow:
        """The counter of its publishes to an exchange; if that is deleted, of its heir."""
        heir = exchange.heir
        if heir is not None:
            exchange = heir
        found = self.inflows.get(exchange)
        if found is None:
            found = self.inflows[exchange] = exchange.inflows[self] = Inflow(self, exchange)
        return found

    def forget(self, inflow: Inflow) -> None:
        """Take over the counts of a deleted exchange."""
        del self.inflows[inflow.exchange]
        self.add_inflow(inflow)

    def end_consumer(self, consumer: ConsumerCounters) -> None:
        """A consumer has ended."""
        if consumer in self.consumers:
            del self.consumers[consumer]
            self.add_consumer(consumer)

    def total(self) -> ClientCounters:
        """All counts."""
        found = ClientCounters()
        found.add(self)
        for inflow in self.inflows.values():
            found.add_inflow(inflow)
        for consumer in self.consumers:
            found.add_consumer(consumer)
        return found

    def end(self, to_confirm: i64 = 0) -> None:
        """The channel is closed; a second call does nothing. to_confirm: publishes in confirm mode."""
        connection = self.connection
        if connection is None:
            return
        self.connection = None
        self.to_confirm += to_confirm
        del connection.channels[self]
        connection.add(self.total())
        for inflow in self.inflows.values():
            exchange = inflow.exchange
            exchange.add_publishes(inflow)
            del exchange.inflows[self]
        self.inflows = {}
        self.consumers = {}


class ConnectionCounters(ClientCounters):
    """The counters of one connection. bytes_in, bytes_out: all bytes on its socket, without the overhead of TLS.

    reads, writes: the number of socket reads and writes.

    The inherited numbers are those of closed channels; total() includes the others. channels: the open ones.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.bytes_in: i64 = 0
        self.bytes_out: i64 = 0
        self.reads: i64 = 0
        self.writes: i64 = 0
        self.channels: dict[ChannelCounters, None] = {}

    def total(self) -> ConnectionCounters:
        """All counts."""
        found = ConnectionCounters(self.name)
        found.add_connection(self)
        for channel in self.channels:
            found.add(channel.total())
        return found

    def add_connection(self, other: ConnectionCounters) -> None:
        """Add the numbers of another connection, without its channels."""
        self.add(other)
        self.bytes_in += other.bytes_in
        self.bytes_out += other.bytes_out
        self.reads += other.reads
        self.writes += other.writes


class VirtualHostCounters:
    """The counters of one virtual host: of its exchanges, queues and connections.

    Publishes by clients are under exchanges, deliveries to clients under queues, and confirms and bytes under
    connections. A deleted queue counts its outstanding deliveries as removed and no longer counts their acks;
    connections do. types: the numbers of queues by type; messages sent by direct reply-to belong to no type.
    """

    def __init__(self) -> None:
        self.exchanges = ExchangeCounters("")
        self.queues = QueueCounters("")
        self.types: dict[str, QueueCounters] = {}
        self.connections = ConnectionCounters("")

    def of_type(self, queue_type: str) -> QueueCounters:
        """The counters of one type of queue."""
        found = self.types.get(queue_type)
        if found is None:
            found = self.types[queue_type] = QueueCounters(queue_type)
        return found

    def add(self, other: VirtualHostCounters) -> None:
        """Add the numbers of another virtual host, which counts nothing more."""
        self.exchanges.add(other.exchanges.total())
        self.queues.add(other.queues)
        self.connections.add_connection(other.connections)
        for queue_type, counters in other.types.items():
            self.of_type(queue_type).add(counters)
