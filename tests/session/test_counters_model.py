"""Counters against a naive model: random clients, all of whose frames are counted one by one, at both ends."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from leveret.core import sums
from leveret.core.counting.counters import QueueCounters
from leveret.core.exchange.exchange import Exchange
from leveret.core.queue.queue import Queue
from leveret.wire.fields import Table, array, long, longstr
from leveret.wire.methods import (
    BasicAck,
    BasicCancel,
    BasicConsume,
    BasicConsumeOk,
    BasicDeliver,
    BasicGet,
    BasicGetEmpty,
    BasicGetOk,
    BasicNack,
    BasicPublish,
    BasicQos,
    BasicQosOk,
    BasicRecover,
    BasicRecoverOk,
    BasicReject,
    BasicReturn,
    ChannelClose,
    ChannelCloseOk,
    ChannelOpen,
    ChannelOpenOk,
    ConfirmSelect,
    ConfirmSelectOk,
    ExchangeBind,
    ExchangeDeclare,
    ExchangeDelete,
    Method,
    QueueBind,
    QueueDeclare,
    QueueDelete,
    QueueDeleteOk,
    QueuePurge,
    QueuePurgeOk,
    TxCommit,
    TxCommitOk,
    TxRollback,
    TxRollbackOk,
    TxSelect,
    TxSelectOk,
)
from leveret.wire.properties import BasicProperties
from tests.clients.socketless import Got, Peer, encode, handshake, make_broker

PUBLISHES = ("published", "unroutable", "returned")
EXCHANGE = (*PUBLISHES, "routed")
GIVEN = ("delivered", "delivered_no_ack", "got", "got_no_ack", "get_empty", "redelivered")
DELIVERIES = (*GIVEN, "acked", "rejected", "requeued")
CHANNEL = (*PUBLISHES, *DELIVERIES, "confirmed", "nacked")
CONNECTION = (*CHANNEL, "bytes_in", "bytes_out")
CONSUMER = ("delivered", "redelivered", "bytes_out", "acked", "rejected", "requeued")
QUEUE = (*DELIVERIES, "bytes_out", "removed")
REASONS = {"maxlen": "dropped", "delivery_limit": "exhausted", "expired": "expired", "rejected": "buried"}
ENDS = ("expired", "dropped", "exhausted", "dead_lettered")
SEEDS = range(40)
STEPS = 150
CLIENTS = 3
CHANNELS = (1, 2)
MODES = ("plain", "confirm", "tx")
LETTERS: Table = {"x-dead-letter-exchange": longstr("letters")}
QUEUES: dict[str, Table] = {
    "plain": {},
    "letters": LETTERS,
    "short": {**LETTERS, "x-max-length": long(4)},
    "full": {"x-max-length": long(3), "x-overflow": longstr("reject-publish")},
    "brief": {**LETTERS, "x-message-ttl": long(100)},
    "once": {**LETTERS, "x-queue-type": longstr("quorum"), "x-delivery-limit": long(1)},
}
EXCHANGES = {"fan": "fanout", "straight": "direct", "heads": "headers", "over": "fanout"}
BINDINGS = (  # exchange, key, queue
    ("fan", "", "plain"),
    ("fan", "", "short"),
    ("fan", "", "brief"),
    ("straight", "a", "letters"),
    ("straight", "a", "once"),
    ("straight", "b", "full"),
    ("heads", "", "plain"),
    ("heads", "", "once"),
)
ROUTES = (  # exchange, key, copies: None without a header CC
    *(("", name, None) for name in QUEUES),
    ("", "nobody", None),
    ("fan", "", None),
    ("over", "", None),
    ("straight", "a", None),
    ("straight", "b", None),
    ("straight", "c", None),
    ("straight", "a", "b"),
    ("straight", "c", "d"),
    ("heads", "", None),
)


class Tally:
    """Numbers by name."""

    def __init__(self, *others: Tally) -> None:
        self._numbers: Counter[str] = Counter()
        for other in others:
            self.add(other)

    def __getitem__(self, name: str) -> int:
        return self._numbers[name]

    def __setitem__(self, name: str, number: int) -> None:
        self._numbers[name] = number

    def add(self, other: Tally) -> None:
        """Count what another one has too."""
        self._numbers.update(other._numbers)


class QueueTally(Tally):
    """One queue, until it is deleted."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.lives = True


class ExchangeTally(Tally):
    """One exchange, until it is deleted."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name


class ConsumerTally(Tally):
    """One consumer."""

    def __init__(self, tag: str, queue: QueueTally, no_ack: bool) -> None:
        super().__init__()
        self.tag = tag
        self.queue = queue
        self.no_ack = no_ack


Holding = tuple[QueueTally, ConsumerTally | None]
Publish = tuple[ExchangeTally, list[QueueTally], bool, int]


class ChannelTally(Tally):
    """One channel. held: what is outstanding; undecided: what becomes of some of that at a commit."""

    def __init__(self, mode: str) -> None:
        super().__init__()
        self.mode = mode
        self.held: dict[int, Holding] = {}
        self.undecided: dict[int, tuple[Holding, str]] = {}
        self.publishes: list[Publish] = []
        self.consumers: dict[str, ConsumerTally] = {}
        self.flows: dict[ExchangeTally, Tally] = {}
        self.open: set[int] = set()  # publishes that are neither acked nor nacked
        self.tag = 0  # of the last publish
        self.asked = ""  # the queue of a basic.get
        self.gets_no_ack = False


class CountingPeer(Peer):
    """A client that counts its bytes."""

    def __init__(self, world: World) -> None:
        self.bytes_in = sum(len(piece) for piece in handshake())  # as the broker sees it
        self.bytes_out = 0
        self.gone = Tally()  # of channels that are closed
        self.channels: dict[int, ChannelTally] = {}
        super().__init__(world.broker)

    def send(
        self, method: Method, body: bytes | None = None, properties: BasicProperties | None = None, channel: int = 1
    ) -> None:
        """Send a method."""
        self.bytes_in += len(encode(channel, method, body, properties))
        super().send(method, body, properties, channel)

    def raw(self) -> bytes:
        """All bytes from the broker since the last time."""
        data = super().raw()
        self.bytes_out += len(data)
        return data

    def counts(self) -> Tally:
        """All channels together, and the bytes."""
        found = Tally(self.gone, *self.channels.values())
        found["bytes_in"], found["bytes_out"] = self.bytes_in, self.bytes_out
        return found


class World:
    """A broker, its clients, and what has been counted of them."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.broker = make_broker()
        self.vhost = self.broker.vhosts["/"]
        self.now_ms = 0
        self.numbers = 0
        self.letters = 0
        self.queues: dict[str, QueueTally] = {}
        self.exchanges: dict[str, ExchangeTally] = {"": ExchangeTally("")}
        self.past_queues = Tally()
        self.past_exchanges = Tally()
        self.past_connections = Tally()
        self.routed: Counter[tuple[ExchangeTally, QueueTally]] = Counter()
        self.admin = CountingPeer(self)  # declares
        self.undertaker = CountingPeer(self)  # gets what is dead
        self.setup(ExchangeDeclare("letters", "fanout"), QueueDeclare("grave"), QueueBind("grave", "letters"))
        self.grave = QueueTally("grave")
        burial = self.undertaker.channels[1] = ChannelTally("plain")
        burial.consumers["undertaker"] = ConsumerTally("undertaker", self.grave, True)
        self.undertaker.call(BasicConsume("grave", "undertaker", no_ack=True), BasicConsumeOk)
        for name in QUEUES:
            self.declare_queue(name)
        for name in EXCHANGES:
            self.declare_exchange(name)
        self.clients = [self.client() for _ in range(CLIENTS)]

    def setup(self, *methods: Method) -> None:
        """What the administrator says."""
        for method in methods:
            self.admin.send(method)
            self.admin.got()

    def client(self) -> CountingPeer:
        """A new client with its channels."""
        client = CountingPeer(self)
        for number in CHANNELS:
            self.open(client, number)
        return client

    def open(self, client: CountingPeer, number: int) -> None:
        """A channel in some mode."""
        if number != 1 or client.channels:
            client.call(ChannelOpen(), ChannelOpenOk, number)
        mode = self.random.choice(MODES)
        if mode == "confirm":
            client.call(ConfirmSelect(), ConfirmSelectOk, number)
        elif mode == "tx":
            client.call(TxSelect(), TxSelectOk, number)
        client.call(BasicQos(0, self.random.randrange(4)), BasicQosOk, number)
        client.channels[number] = ChannelTally(mode)

    def declare_queue(self, name: str) -> None:
        """A queue with its bindings."""
        self.queues[name] = QueueTally(name)
        self.setup(QueueDeclare(name, durable=True, arguments=QUEUES[name]))
        self.bind()

    def declare_exchange(self, name: str) -> None:
        """An exchange with its bindings."""
        self.exchanges[name] = ExchangeTally(name)
        self.setup(ExchangeDeclare(name, EXCHANGES[name]))
        self.bind()

    def bind(self) -> None:
        """All bindings whose ends are there."""
        for exchange, key, queue in BINDINGS:
            if exchange in self.exchanges and queue in self.queues:
                self.setup(QueueBind(queue, exchange, key))
        if "over" in self.exchanges and "fan" in self.exchanges:
            self.setup(ExchangeBind("fan", "over", ""))

    # -- what is seen

    def drain(self) -> None:
        """Look at everything that has come, until nothing comes any more."""
        busy = True
        while busy:
            busy = False
            for got in self.undertaker.got():
                busy = True
                self.see(self.undertaker.channels[1], got)
                self.bury(got)
            for client in self.clients:
                for got in client.got():
                    busy = True
                    self.see(client.channels[got.channel], got)

    def bury(self, got: Got) -> None:
        """A dead letter: where it died, and of what."""
        assert isinstance(got.method, BasicDeliver)
        assert got.properties is not None
        assert got.properties.headers is not None
        deaths = got.properties.headers["x-death"].value
        assert isinstance(deaths, list)
        entry = deaths[0].value
        assert isinstance(entry, dict)
        self.letters += 1
        queue = self.queues[entry["queue"].text]
        queue["dead_lettered"] += 1
        queue[REASONS[entry["reason"].text]] += 1

    def see(self, channel: ChannelTally, got: Got) -> None:
        """Something that a client gets without having waited for it."""
        method = got.method
        if isinstance(method, BasicDeliver):
            consumer = channel.consumers[method.consumer_tag]
            kind = "delivered_no_ack" if consumer.no_ack else "delivered"
            self.take(channel, consumer.queue, consumer, kind, method.delivery_tag, method.redelivered, got.body)
        elif isinstance(method, BasicGetOk):
            kind = "got_no_ack" if channel.gets_no_ack else "got"
            queue = self.queues[channel.asked]
            self.take(channel, queue, None, kind, method.delivery_tag, method.redelivered, got.body)
        elif isinstance(method, BasicGetEmpty):
            channel["get_empty"] += 1
            self.queues[channel.asked]["get_empty"] += 1
        elif isinstance(method, BasicAck | BasicNack):
            last = method.delivery_tag
            tags = {tag for tag in channel.open if tag == last or (method.multiple and tag < last)}
            channel["confirmed" if isinstance(method, BasicAck) else "nacked"] += len(tags)
            channel.open -= tags
        elif isinstance(method, BasicReturn):
            channel["came back"] += 1
        else:
            assert isinstance(method, BasicCancel), method
            del channel.consumers[method.consumer_tag]

    def take(
        self,
        channel: ChannelTally,
        queue: QueueTally,
        consumer: ConsumerTally | None,
        kind: str,
        tag: int,
        redelivered: bool,
        body: bytes | None,
    ) -> None:
        """A client has got a message. kind: what that is called in Deliveries."""
        assert body is not None
        takers: list[Tally] = [channel, queue]
        for counts in takers:
            counts[kind] += 1
            counts["redelivered"] += redelivered
        queue["bytes_out"] += len(body)
        if consumer is not None:
            consumer["delivered"] += 1
            consumer["redelivered"] += redelivered
            consumer["bytes_out"] += len(body)
        if not kind.endswith("no_ack"):
            channel.held[tag] = (queue, consumer)

    # -- what clients do

    def publish(self, client: CountingPeer, number: int) -> None:
        """Some messages, mostly the same way."""
        channel = client.channels[number]
        name, key, copies = self.random.choice(ROUTES)
        exchange = self.exchanges[name]
        mandatory = self.random.random() < 0.4
        properties = BasicProperties()
        properties.delivery_mode = self.random.choice((None, 2))
        if self.random.random() < 0.2:
            properties.expiration = "50"
        if copies is not None:
            properties.headers = {"CC": array([longstr(copies)])}
        for _ in range(self.random.randint(1, 4)):
            body = b"x" * self.random.randrange(40)
            queues = [self.queues[each] for each in self.reached(name, [key] if copies is None else [key, copies])]
            publish = (exchange, queues, mandatory, len(body))
            channel.tag += 1
            if channel.mode == "tx":
                channel.publishes.append(publish)
            else:
                self.published(channel, publish)
                if channel.mode == "confirm":
                    channel.open.add(channel.tag)
            client.send(BasicPublish(name, key, mandatory), body, properties, number)

    def reached(self, name: str, keys: list[str]) -> list[str]:
        """Names of the queues that a message goes to."""
        if name == "":
            return [key for key in keys if key in QUEUES]
        source = "fan" if name == "over" else name
        found = [queue for exchange, key, queue in BINDINGS if exchange == source]
        if source == "straight":
            found = [queue for exchange, key, queue in BINDINGS if exchange == source and key in keys]
        return found

    def published(self, channel: ChannelTally, publish: Publish) -> None:
        """A message is published now."""
        exchange, queues, mandatory, size = publish
        live = [queue for queue in queues if queue.lives]
        is_there = self.exchanges.get(exchange.name) is exchange
        flow = channel.flows.setdefault(exchange, Tally())
        sinks: list[Tally] = [channel, flow, exchange if is_there else self.past_exchanges]
        for counts in sinks:
            counts["published"] += 1
            counts["unroutable"] += not live
            counts["returned"] += not live and mandatory
        (exchange if is_there else self.past_exchanges)["routed"] += len(live)
        for queue in live:
            self.routed[exchange, queue] += 1
            queue["offered"] += 1
            queue["offered bytes"] += size

    def consume(self, client: CountingPeer, number: int) -> None:
        """A consumer of some queue."""
        channel = client.channels[number]
        name = self.random.choice(list(QUEUES))
        self.numbers += 1
        tag, no_ack = f"c{self.numbers}", self.random.random() < 0.3
        channel.consumers[tag] = ConsumerTally(tag, self.queues[name], no_ack)
        client.send(BasicConsume(name, tag, no_ack=no_ack, nowait=True), channel=number)

    def cancel(self, client: CountingPeer, number: int) -> None:
        """A consumer ends; what it holds stays with its channel."""
        channel = client.channels[number]
        if channel.consumers:
            tag = self.random.choice(list(channel.consumers))
            client.send(BasicCancel(tag, True), channel=number)
            self.drain()
            del channel.consumers[tag]

    def get(self, client: CountingPeer, number: int) -> None:
        """The head of some queue."""
        channel = client.channels[number]
        channel.asked = self.random.choice(list(QUEUES))
        channel.gets_no_ack = self.random.random() < 0.5
        client.send(BasicGet(channel.asked, channel.gets_no_ack), channel=number)

    def settle(self, client: CountingPeer, number: int) -> None:
        """Ack, reject or give back something that is held."""
        channel = client.channels[number]
        if not channel.held:
            return
        tag = self.random.choice(list(channel.held))
        how = self.random.choice(("acked", "acked", "rejected", "requeued"))
        multiple = self.random.random() < 0.4
        if how != "acked" and not multiple and self.random.random() < 0.5:
            client.send(BasicReject(tag, how == "requeued"), channel=number)
        elif how == "acked":
            client.send(BasicAck(tag, multiple), channel=number)
        else:
            client.send(BasicNack(tag, multiple, how == "requeued"), channel=number)
        for each in [each for each in channel.held if each == tag or (multiple and each < tag)]:
            holding = channel.held.pop(each)
            if channel.mode == "tx":
                channel.undecided[each] = (holding, how)
            else:
                self.settled(channel, holding, how)

    def settled(self, channel: ChannelTally, holding: Holding, how: str) -> None:
        """A delivery is settled now."""
        queue, consumer = holding
        channel[how] += 1
        if queue.lives:
            queue[how] += 1
        if consumer is not None:
            consumer[how] += 1

    def recover(self, client: CountingPeer, number: int) -> None:
        """Give back everything."""
        channel = client.channels[number]
        holdings, channel.held = list(channel.held.values()), {}
        for holding in holdings:
            self.settled(channel, holding, "requeued")
        client.send(BasicRecover(True), channel=number)
        found = client.got()
        answers = [got for got in found if isinstance(got.method, BasicRecoverOk)]
        assert len(answers) == 1
        for got in found:
            if got not in answers:
                self.see(client.channels[got.channel], got)

    def decide(self, client: CountingPeer, number: int) -> None:
        """Commit or roll back."""
        channel = client.channels[number]
        if channel.mode != "tx":
            return
        undecided, channel.undecided = channel.undecided, {}
        publishes, channel.publishes = channel.publishes, []
        kind: type[TxCommitOk | TxRollbackOk] = TxRollbackOk
        if self.random.random() < 0.7:
            kind = TxCommitOk
            for publish in publishes:
                self.published(channel, publish)
            for holding, how in undecided.values():
                self.settled(channel, holding, how)
            client.send(TxCommit(), channel=number)
        else:
            channel.held.update({tag: holding for tag, (holding, _) in undecided.items()})
            client.send(TxRollback(), channel=number)
        found = client.got()
        if any(isinstance(got.method, ChannelClose) for got in found):  # a queue was full
            kind = TxCommitOk
            for got in found:
                if not isinstance(got.method, ChannelClose):
                    self.see(client.channels[got.channel], got)
            self.ended(client, number)
            client.send(ChannelCloseOk(), channel=number)
            self.drain()
            self.open(client, number)
            return
        assert sum(isinstance(got.method, kind) for got in found) == 1
        for got in found:
            if not isinstance(got.method, kind):
                self.see(client.channels[got.channel], got)

    # -- what ends

    def ended(self, client: CountingPeer, number: int) -> None:
        """A channel has ended: everything that it held goes back."""
        channel = client.channels.pop(number)
        for holding in [*channel.held.values(), *[holding for holding, _ in channel.undecided.values()]]:
            self.settled(channel, holding, "requeued")
        client.gone.add(channel)

    def close(self, client: CountingPeer, number: int) -> None:
        """Close a channel, and open it again."""
        self.drain()
        client.send(ChannelClose(200, "", 0, 0), channel=number)
        found = client.got()
        assert any(isinstance(got.method, ChannelCloseOk) for got in found)
        for got in found:
            if not isinstance(got.method, ChannelCloseOk):
                self.see(client.channels[got.channel], got)
        self.ended(client, number)
        self.drain()
        self.open(client, number)

    def lose(self, client: CountingPeer, number: int) -> None:
        """A connection is lost, and another one comes."""
        self.drain()
        self.clients.remove(client)
        client.connection.lost()
        for got in client.got():  # one of its channels may still have got what another one left
            self.see(client.channels[got.channel], got)
        for each in list(client.channels):
            self.ended(client, each)
        self.past_connections.add(client.counts())
        self.clients.append(self.client())

    def purge(self, client: CountingPeer, number: int) -> None:
        """What is ready in a queue is thrown away."""
        name = self.random.choice(list(QUEUES))
        count = self.admin.call(QueuePurge(name), QueuePurgeOk).message_count
        self.queues[name]["removed"] += count

    def delete_queue(self, client: CountingPeer, number: int) -> None:
        """A queue is deleted, and another one takes its name."""
        name = self.random.choice(list(QUEUES))
        queue = self.queues[name]
        count = self.admin.call(QueueDelete(name), QueueDeleteOk).message_count
        self.drain()  # its consumers hear of it
        queue["removed"] += count + self.outstanding(queue)
        queue.lives = False
        self.past_queues.add(queue)
        for exchange, target in list(self.routed):
            if target is queue:
                del self.routed[exchange, target]
        self.declare_queue(name)

    def delete_exchange(self, client: CountingPeer, number: int) -> None:
        """An exchange is deleted, and another one takes its name."""
        name = self.random.choice(list(EXCHANGES))
        exchange = self.exchanges[name]
        self.setup(ExchangeDelete(name))
        self.past_exchanges.add(exchange)
        for source, queue in list(self.routed):
            if source is exchange:
                del self.routed[source, queue]
        self.declare_exchange(name)

    def wait(self, client: CountingPeer, number: int) -> None:
        """Time passes."""
        self.now_ms += self.random.randrange(10, 120)
        self.broker.tick(self.now_ms)

    # -- what has to be right

    def outstanding(self, queue: QueueTally) -> int:
        """How many messages of a queue clients hold."""
        channels = [channel for client in self.clients for channel in client.channels.values()]
        held = [holding for channel in channels for holding in channel.held.values()]
        held += [holding for channel in channels for holding, _ in channel.undecided.values()]
        return sum(holding[0] is queue for holding in held)

    def check(self) -> None:
        """All counters."""
        for name, tally in [*self.queues.items(), ("grave", self.grave)]:
            self.check_queue(self.vhost.queues[name], tally)
        for client in self.clients:
            self.check_client(client)
        for name, exchange in self.exchanges.items():
            self.check_exchange(self.vhost.exchanges[name], exchange)
        self.check_vhost()

    def check_queue(self, queue: Queue, tally: QueueTally) -> None:
        """Of a queue, and of its consumers."""
        total = queue.total()
        assert numbers(total, QUEUE) == expected(tally, QUEUE)
        assert total.delivered + total.got == total.acked + total.rejected + total.requeued + queue.unacked
        waiting = len(queue.ready) + len(queue.retries) + queue.unacked
        assert total.published + total.recovered == waiting + over(total)
        if tally is self.grave:
            assert total.published == self.letters
            return
        assert total.published + total.refused == tally["offered"]
        if queue.name != "full":
            assert (total.refused, total.bytes_in) == (0, tally["offered bytes"])
        if "x-dead-letter-exchange" in QUEUES[queue.name]:
            assert numbers(total, ENDS) == expected(tally, ENDS)
            assert total.rejected == tally["buried"]
        else:
            assert (total.dropped, total.exhausted, total.dead_lettered) == (0, 0, 0)
        held = [(each.channel, each.delivery_tag, each.consumer_tag) for each in queue.unacknowledged()]
        assert sorted(held) == sorted(self.held_of(tally))

    def held_of(self, queue: QueueTally) -> list[tuple[int, int, str]]:
        """Who holds messages of a queue: channel, delivery tag, consumer tag."""
        found: list[tuple[int, int, str]] = []
        for client in self.clients:
            for number, channel in client.channels.items():
                undecided = {tag: holding for tag, (holding, _) in channel.undecided.items()}
                for tag, (source, consumer) in {**channel.held, **undecided}.items():
                    if source is queue:
                        found.append((number, tag, "" if consumer is None else consumer.tag))
        return found

    def check_client(self, client: CountingPeer) -> None:
        """Of a connection, its channels and their consumers."""
        assert numbers(client.connection.total(), CONNECTION) == expected(client.counts(), CONNECTION)
        channels = client.connection.channels
        assert list(client.connection.counters.channels) == [channel.counters for channel in channels.values()]
        for number, tally in client.channels.items():
            counters = channels[number].counters
            assert list(counters.consumers) == [each.counts for each in channels[number].consuming.consumers.values()]
            assert numbers(counters.total(), CHANNEL) == expected(tally, CHANNEL)
            assert tally["came back"] == tally["returned"]
            assert len(tally.open) == 0
            past = self.vhost.past.exchanges
            inflows = [flow for flow in counters.inflows.values() if flow.exchange is not past]
            flows = {flow.exchange.name: numbers(flow, PUBLISHES) for flow in inflows}
            wanted = {
                exchange.name: expected(flow, PUBLISHES)
                for exchange, flow in tally.flows.items()
                if self.exchanges[exchange.name] is exchange
            }
            assert {name: flow for name, flow in flows.items() if flow["published"]} == wanted
            for consumer in client.connection.channels[number].consuming.consumers.values():
                assert numbers(consumer.total(), CONSUMER) == expected(tally.consumers[consumer.tag], CONSUMER)

    def check_exchange(self, exchange: Exchange, tally: ExchangeTally) -> None:
        """Of an exchange, and of what it hands on to each queue."""
        channels = [channel for client in self.clients for channel in client.connection.channels.values()]
        assert set(exchange.counters.inflows) <= {channel.counters for channel in channels}
        assert numbers(sums.of_exchange(exchange), EXCHANGE) == expected(tally, EXCHANGE)
        flows = {flow.queue.name: int(flow.routed) for flow in exchange.counters.outflows.values()}
        assert flows == {queue.name: copies for (source, queue), copies in self.routed.items() if source is tally}

    def check_vhost(self) -> None:
        """Of the virtual host: all of these together, and those that are gone."""
        vhost = self.broker.vhosts["/"]
        assert vhost.bindings == sum(len(exchange.bindings) for exchange in vhost.exchanges.values())
        assert vhost.consumers == sum(len(queue.consumers) for queue in vhost.queues.values())
        found = sums.of_vhost(self.vhost)
        clients = [*self.clients, self.admin, self.undertaker]
        queues = Tally(self.past_queues, self.grave, *self.queues.values())
        exchanges = Tally(self.past_exchanges, *self.exchanges.values())
        connections = Tally(self.past_connections, *[client.counts() for client in clients])
        assert numbers(found.queues, QUEUE) == expected(queues, QUEUE)
        assert numbers(found.exchanges, EXCHANGE) == expected(exchanges, EXCHANGE)
        assert numbers(found.connections, CONNECTION) == expected(connections, CONNECTION)
        assert found.exchanges.published == found.connections.published
        assert found.queues.published + found.queues.refused == found.exchanges.routed + self.letters
        live = self.vhost.queues.values()
        waiting = sum(len(queue.ready) + len(queue.retries) + int(queue.unacked) for queue in live)
        assert found.queues.published == waiting + over(found.queues)


def numbers(of: object, names: tuple[str, ...]) -> dict[str, int]:
    """What the broker has counted."""
    return {name: int(getattr(of, name)) for name in names}


def expected(tally: Tally, names: tuple[str, ...]) -> dict[str, int]:
    """What was seen from outside."""
    return {name: tally[name] for name in names}


def over(total: QueueCounters) -> int:
    """Messages that came into a queue and are not in it any more."""
    taken = total.acked + total.delivered_no_ack + total.got_no_ack
    return int(taken + total.rejected + total.expired + total.dropped + total.exhausted + total.removed)


@pytest.mark.parametrize("seed", SEEDS)
def test_everything_is_counted_once(seed: int) -> None:
    world = World(seed)
    steps = [
        *[world.publish] * 8,
        *[world.settle] * 6,
        *[world.consume, world.get] * 2,
        *[world.decide, world.wait] * 2,
        *[world.cancel, world.recover, world.purge, world.close, world.lose],
        *[world.delete_queue, world.delete_exchange],
    ]
    for _ in range(STEPS):
        client = world.random.choice(world.clients)
        number = world.random.choice(CHANNELS)
        world.random.choice(steps)(client, number)
        world.drain()
        if world.random.random() < 0.3:  # at other times the numbers of cached routes stay where they are
            world.check()
    world.check()
