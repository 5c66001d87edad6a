"""Counters: what each part of a broker has done since it is there, in plain numbers that only grow.

Each is kept by the lowest part that it belongs to, and the rest is added up by who reads it: total() gives such a sum,
which does not change any more. What ends adds its numbers to those of its heir: a consumer to its channel, a channel
to its connection, and connections, queues and exchanges to what their virtual host has of those before them. So no
number of a virtual host ever falls. A restart begins anew.

What RabbitMQ calls publish is published here, confirm confirmed, return_unroutable returned, drop_unroutable unroutable
less returned, deliver delivered, deliver_no_ack delivered_no_ack, get got, get_no_ack got_no_ack, redeliver
redelivered, and ack acked. A queue's publish is the sum of its inflows: published has what the broker sends it too.
Source: rabbit_channel.erl (INCR_STATS), rabbit_core_metrics.erl, rabbit_global_counters.erl.
"""

from __future__ import annotations

from mypy_extensions import i64


class Publishes:
    """Messages that clients publish to exchanges.

    published: by basic.publish, whatever became of them; in a transaction, when it is committed.
    unroutable: those of them that went to no queue. returned: those of these that were mandatory, and so came back.
    """

    def __init__(self) -> None:
        self.published: i64 = 0
        self.unroutable: i64 = 0
        self.returned: i64 = 0

    def add_publishes(self, other: Publishes) -> None:
        """Count what another one has too."""
        self.published += other.published
        self.unroutable += other.unroutable
        self.returned += other.returned


class Deliveries:
    """Messages that clients get from queues.

    delivered, delivered_no_ack: sent by basic.deliver to consumers that acknowledge, and to those that do not.
    got, got_no_ack: the same of basic.get, and of Queue.take_at(). get_empty: basic.get that found nothing.
    redelivered: those of all these that had been given to somebody before.
    acked: deliveries acknowledged. rejected: given up by basic.reject or basic.nack.
    requeued: came back, by basic.reject, basic.nack or basic.recover, or since their channel ended.
    In a transaction these three count when it is committed.
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
        """Count what another one has too."""
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
        """Count what a consumer was sent. What became of that is counted elsewhere: it may outlive the consumer."""
        if consumer.no_ack:
            self.delivered_no_ack += consumer.delivered
        else:
            self.delivered += consumer.delivered
        self.redelivered += consumer.redelivered


class ConsumerCounters:
    """Of one consumer. delivered: sent to it; redelivered: as in Deliveries. bytes_out: of the bodies of what was sent.

    acked, rejected, requeued: as in Deliveries. Nobody counts acked: it is what was delivered and is neither
    outstanding nor rejected nor requeued, which total() works out. It stays 0 with no_ack.
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
        """A delivery has failed, of a message with a body of so many bytes."""
        self.delivered -= 1
        self.bytes_out -= size
        if redelivered:
            self.redelivered -= 1

    def total(self, outstanding: i64) -> ConsumerCounters:
        """All that it has done. outstanding: how many deliveries wait for an ack."""
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
    """What one channel publishes to one exchange, while both are there."""

    def __init__(self, channel: ChannelCounters, exchange: ExchangeCounters) -> None:
        super().__init__()
        self.channel = channel
        self.exchange = exchange


class Outflow:
    """What one exchange hands on to one queue, while both are there.

    routed: copies of what clients publish to the exchange, however many exchanges they pass on the way. The queue may
    have refused some.
    """

    __slots__ = ("exchange", "queue", "routed")

    def __init__(self, exchange: ExchangeCounters, queue: QueueCounters) -> None:
        self.exchange = exchange
        self.queue = queue
        self.routed: i64 = 0


class ExchangeCounters(Publishes):
    """Of one exchange. routed: copies that it has put into queues, or kept for later.

    The inherited numbers, and routed, are those of channels and queues that are gone; total() has those of all.
    inflows: from channels that are there. outflows: to queues that are there.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.routed: i64 = 0
        self.inflows: dict[ChannelCounters, Inflow] = {}
        self.outflows: dict[QueueCounters, Outflow] = {}
        self.heir: ExchangeCounters | None = None  # once the exchange is gone

    def count_routed(self, queue: QueueCounters | None, copies: i64) -> None:
        """So many copies have gone to a queue; None for what is no queue that has counters."""
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
        """All that it has done."""
        found = ExchangeCounters(self.name)
        found.add(self)
        for inflow in self.inflows.values():
            found.add_publishes(inflow)
        for outflow in self.outflows.values():
            found.routed += outflow.routed
        return found

    def add(self, other: ExchangeCounters) -> None:
        """Count what another one has too, without its flows."""
        self.add_publishes(other)
        self.routed += other.routed

    def end(self, heir: ExchangeCounters) -> None:
        """The exchange is gone."""
        heir.add(self.total())
        self.heir = heir
        for inflow in self.inflows.values():
            inflow.channel.forget(inflow)
        for outflow in self.outflows.values():
            del outflow.queue.inflows[self]
        self.inflows = {}
        self.outflows = {}


class QueueCounters(Deliveries):
    """Of one queue.

    published: messages it took, whoever sent them. bytes_in: of their bodies. recovered: found in the log at start-up.
    refused: it did not take, being full or faulty. bytes_out: of the bodies of what was delivered or got.
    expired: ended by their time to live. dropped: ended since there were too many before them.
    exhausted: ended since they had come back too often. dead_lettered: those that ended in whatever way, and went on
    to a dead letter exchange. letters: how many of these for each reason, and whether they must arrive. removed: thrown
    away by a purge, or with the queue. duplicates: it did not take, having them already. unreadable: of those that
    came, how many have a header that should name a time and does not.
    The numbers are those of consumers that are gone, and of what has none, without acked; total() has those of all.
    inflows: from exchanges that are there.

    At any time, with nothing faulty:
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
        """A message goes on to a dead letter exchange."""
        self.dead_lettered += 1
        self.letters[reason, must_arrive] = self.letters.get((reason, must_arrive), 0) + 1

    def keep_got(self) -> None:
        """What was got last, without an ack, could not be sent: it comes back, as if it had wanted one."""
        self.got_no_ack -= 1
        self.got += 1

    def end_consumer(self, consumer: ConsumerCounters) -> None:
        """A consumer gets no more."""
        self.add_consumer(consumer)
        self.bytes_out += consumer.bytes_out

    def total(self, consumers: list[ConsumerCounters], outstanding: i64) -> QueueCounters:
        """All that it has done. consumers: those that go on. outstanding: how many deliveries wait for an ack."""
        found = QueueCounters(self.name)
        found.add(self)
        for consumer in consumers:
            found.end_consumer(consumer)
        found.acked = found.delivered + found.got - outstanding - found.rejected - found.requeued
        return found

    def add(self, other: QueueCounters) -> None:
        """Count what another one has too, without its flows."""
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
        """The queue is gone. total: all that it has done."""
        heir.add(total)
        self.is_gone = True
        for outflow in self.inflows.values():
            exchange = outflow.exchange
            exchange.routed += outflow.routed
            del exchange.outflows[self]
        self.inflows = {}


class ClientCounters(Deliveries):
    """What channels and connections both count.

    published, unroutable, returned: as in Publishes. confirmed: publishes that the broker has acked. nacked: those that
    it could not take. to_confirm: publishes that were to be confirmed, on channels that are gone.
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
        """Count what another one has too."""
        self.add_deliveries(other)
        self.published += other.published
        self.unroutable += other.unroutable
        self.returned += other.returned
        self.confirmed += other.confirmed
        self.nacked += other.nacked
        self.to_confirm += other.to_confirm

    def add_inflow(self, inflow: Publishes) -> None:
        """Count what was published to an exchange too."""
        self.published += inflow.published
        self.unroutable += inflow.unroutable
        self.returned += inflow.returned


class ChannelCounters(ClientCounters):
    """Of one channel.

    The inherited numbers are those of consumers and exchanges that are gone, and of what has neither; total() has those
    of all. connection: until the channel ends. inflows: what it publishes to exchanges that are there. consumers: those
    that go on.
    """

    def __init__(self, number: int, connection: ConnectionCounters) -> None:
        super().__init__()
        self.number = number
        self.connection: ConnectionCounters | None = connection
        self.inflows: dict[ExchangeCounters, Inflow] = {}
        self.consumers: dict[ConsumerCounters, None] = {}
        connection.channels[self] = None

    def inflow(self, exchange: ExchangeCounters) -> Inflow:
        """What counts its publishes to an exchange; or to those that are gone, if this one is."""
        heir = exchange.heir
        if heir is not None:
            exchange = heir
        found = self.inflows.get(exchange)
        if found is None:
            found = self.inflows[exchange] = exchange.inflows[self] = Inflow(self, exchange)
        return found

    def forget(self, inflow: Inflow) -> None:
        """The exchange is gone, which has what it counted."""
        del self.inflows[inflow.exchange]
        self.add_inflow(inflow)

    def end_consumer(self, consumer: ConsumerCounters) -> None:
        """A consumer gets no more."""
        if consumer in self.consumers:
            del self.consumers[consumer]
            self.add_consumer(consumer)

    def total(self) -> ClientCounters:
        """All that it has done."""
        found = ClientCounters()
        found.add(self)
        for inflow in self.inflows.values():
            found.add_inflow(inflow)
        for consumer in self.consumers:
            found.add_consumer(consumer)
        return found

    def end(self, to_confirm: i64 = 0) -> None:
        """The channel is gone; perhaps said twice. to_confirm: how many publishes it was to confirm."""
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
    """Of one connection. bytes_in, bytes_out: all that came from its socket, and went there; without TLS.

    reads, writes: in so many pieces.

    The inherited numbers are those of channels that are gone; total() has those of all. channels: those that are there.
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
        """All that it has done."""
        found = ConnectionCounters(self.name)
        found.add_connection(self)
        for channel in self.channels:
            found.add(channel.total())
        return found

    def add_connection(self, other: ConnectionCounters) -> None:
        """Count what another one has too, without its channels."""
        self.add(other)
        self.bytes_in += other.bytes_in
        self.bytes_out += other.bytes_out
        self.reads += other.reads
        self.writes += other.writes


class VirtualHostCounters:
    """Of one virtual host: of its exchanges, its queues and its connections.

    What clients publish is under exchanges, what they get under queues, and confirms and bytes under connections.
    A queue that is deleted counts what was outstanding of it as removed, and acks of that no more; connections do.
    types: of queues, those of each type by themselves; what is in none of them was sent by direct reply-to.
    """

    def __init__(self) -> None:
        self.exchanges = ExchangeCounters("")
        self.queues = QueueCounters("")
        self.types: dict[str, QueueCounters] = {}
        self.connections = ConnectionCounters("")

    def of_type(self, queue_type: str) -> QueueCounters:
        """Those of one type of queue."""
        found = self.types.get(queue_type)
        if found is None:
            found = self.types[queue_type] = QueueCounters(queue_type)
        return found

    def add(self, other: VirtualHostCounters) -> None:
        """Count what another one has too. It counts nothing more."""
        self.exchanges.add(other.exchanges.total())
        self.queues.add(other.queues)
        self.connections.add_connection(other.connections)
        for queue_type, counters in other.types.items():
            self.of_type(queue_type).add(counters)
