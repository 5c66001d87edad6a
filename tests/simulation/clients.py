"""Clients: programs that use the simulated cluster, each over one connection after the other, with real bytes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from leveret.core.client.conversation import Conversation
from leveret.core.policy.policy import Policy
from leveret.session.connection.connection import Connection
from leveret.wire.fields import Table, longstr
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
    BasicReject,
    BasicReturn,
    ChannelClose,
    ChannelCloseOk,
    ChannelOpen,
    ChannelOpenOk,
    ConfirmSelect,
    ConfirmSelectOk,
    ConnectionClose,
    ConnectionOpenOk,
    ExchangeDeclare,
    ExchangeDeclareOk,
    ExchangeDelete,
    ExchangeDeleteOk,
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
)
from leveret.wire.properties import BasicProperties
from tests.clients.socketless import Got, Parser, encode, everybody, handshake
from tests.simulation.agenda import Violation
from tests.simulation.ledger import Letter
from tests.simulation.node import Node

if TYPE_CHECKING:
    from tests.simulation.world import World

AGAIN_MS: Final = 200  # between two attempts to connect
NETWORK_MS: Final = 3  # one way, at most

THEN = Callable[[Got | None], None]
"""Gets the answer, or None when the channel or the connection has ended without one."""


class Pipe:
    """One direction of a connection: what is sent arrives in order."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._last_ms = 0

    def send(self, action: Callable[[], None]) -> None:
        """Something arrives at the other end."""
        agenda = self._world.agenda
        self._last_ms = max(self._last_ms, agenda.now_ms + agenda.some_ms(0, NETWORK_MS))
        agenda.after(self._last_ms - agenda.now_ms, action)


class Link:
    """A connection to a node. on_got: called for each method. on_lost: called at its end."""

    def __init__(self, world: World, node: Node, on_got: Callable[[Got], None], on_lost: Callable[[], None]) -> None:
        self.world = world
        self.node = node
        self.queues: dict[str, str] = {}  # by consumer tag
        self.got_from: list[str] = []  # queues of basic.get in the order of the requests
        self.is_open = True
        self._on_got = on_got
        self._on_lost = on_lost
        self._parser = Parser()
        self._out, self._in = Pipe(world), Pipe(world)
        self.conversation: Conversation | None = None
        self._out.send(lambda: node.post(self._begin))

    def _begin(self) -> None:
        """Everything up to the open connection happens at once: it is not what is looked at here."""
        node = self.node
        if not node.is_up or not self.is_open:
            self.lost()
            return
        node.refresh()
        conversation = Connection(node.broker, "client", "127.0.0.1", "0")
        for piece in handshake():
            conversation.receive(piece)
            if conversation.login_request is not None:
                conversation.login(everybody())
        conversation.receive(encode(1, ChannelOpen()))
        self.conversation = conversation
        node.clients[conversation] = self
        node.turn()

    def send(self, method: Method, body: bytes | None = None, properties: BasicProperties | None = None) -> None:
        """Send a method on the channel."""
        data = encode(1, method, body, properties)
        if isinstance(method, BasicGet):
            self.got_from.append(method.queue)
        self._out.send(lambda: self._deliver(data))

    def _deliver(self, data: bytes) -> None:
        if self.conversation is not None:
            self.node.receive(self.conversation, data)

    def close(self) -> None:
        """The client goes away without a word."""
        self.is_open = False
        self._out.send(self._leave)

    def _leave(self) -> None:
        if self.conversation is not None:
            self.node.lose(self.conversation)

    def sent(self, data: bytes) -> None:
        """See Outlet."""
        found = self._parser.feed(data)
        for got in found:
            self._look(got)
        self._in.send(lambda: self._arrive(found))

    def _look(self, got: Got) -> None:
        """What a node sends may be seen, whatever happens to it on its way."""
        method = got.method
        if isinstance(method, BasicGetEmpty):
            self.got_from.pop(0)
        elif isinstance(method, BasicDeliver):
            assert got.body is not None
            self.world.look_at_delivery(self.node, self.queues[method.consumer_tag], got.body, method.redelivered, self)
        elif isinstance(method, BasicGetOk):
            assert got.body is not None
            self.world.look_at_delivery(self.node, self.got_from.pop(0), got.body, method.redelivered, self)

    def _arrive(self, found: list[Got]) -> None:
        for got in found:
            if self.is_open:
                self._on_got(got)

    def lost(self) -> None:
        """See Outlet."""
        self._in.send(self._end)

    def _end(self) -> None:
        if self.is_open:
            self.is_open = False
            self._on_lost()


class Client:
    """A program that connects to some node, and to another one when it loses it.

    waits_ms: since when it has waited for an answer; None if it does not.
    """

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.agenda = world.agenda
        self.name = name
        self.is_over = False
        self.link: Link | None = None
        self.waits_ms: int | None = None
        self._waiting: list[tuple[tuple[type[Method], ...], THEN]] = []
        self._is_ready = False
        self._connect()

    def _connect_later(self) -> None:
        self.agenda.after(self.agenda.some_ms(0, AGAIN_MS), self._connect)

    def _connect(self) -> None:
        if self.is_over or self.link is not None:
            return
        node = self.choose()
        if node is None:
            self.agenda.after(AGAIN_MS, self._connect)
        else:
            self.link = Link(self.world, node, self._got, self._lost)

    def choose(self) -> Node | None:
        """The node to connect to."""
        nodes = [node for node in self.world.nodes if node.is_up and node.stopped_ms is None]
        return self.agenda.random.choice(nodes) if nodes else None

    def end(self) -> None:
        """It goes away."""
        self.is_over = True
        self._leave()

    def _leave(self) -> None:
        if self.link is not None:
            link, self.link = self.link, None
            link.close()
        self._fail_waiting()

    def move(self) -> None:
        """It leaves its node, and connects to one."""
        self._leave()
        self._connect_later()

    def _lost(self) -> None:
        self.link = None
        self._fail_waiting()
        self.on_lost()
        self._connect_later()

    def _fail_waiting(self) -> None:
        self._is_ready = False
        self.waits_ms = None
        waiting, self._waiting = self._waiting, []
        for _, then in waiting:
            then(None)

    def send(self, method: Method, body: bytes | None = None, properties: BasicProperties | None = None) -> None:
        """Send a method that has no answer."""
        if self.link is not None and self._is_ready:
            self.link.send(method, body, properties)

    def call(self, method: Method, kinds: tuple[type[Method], ...], then: THEN) -> None:
        """Send a method. then: gets its answer."""
        if self.link is None or not self._is_ready:
            then(None)
            return
        self._waiting.append((kinds, then))
        if self.waits_ms is None:
            self.waits_ms = self.agenda.now_ms
        self.link.send(method)

    def _got(self, got: Got) -> None:
        method = got.method
        if method is None or isinstance(method, ConnectionOpenOk):
            return
        if self._waiting and isinstance(method, self._waiting[0][0]):
            _, then = self._waiting.pop(0)
            self.waits_ms = self.agenda.now_ms if self._waiting else None
            then(got)
        elif isinstance(method, ChannelOpenOk):
            self._is_ready = True
            self.on_ready()
        elif isinstance(method, ChannelClose):
            assert self.link is not None
            if method.reply_code == 541:
                raise Violation(f"{self.name}: {method.reply_text}")
            self.agenda.note(f"{self.name}: {method.reply_code} {method.reply_text[:90]}")
            self._fail_waiting()
            self.on_lost()
            self.link.send(ChannelCloseOk())
            self.link.send(ChannelOpen())
        elif isinstance(method, ConnectionClose):
            if method.reply_code == 541:
                raise Violation(f"{self.name}: {method.reply_text}")
            self.move()
            self.on_lost()
        else:
            self.on_got(got)

    def on_ready(self) -> None:
        """The channel is open."""

    def on_lost(self) -> None:
        """The channel or the connection has ended."""

    def on_got(self, got: Got) -> None:
        """A method that is no answer."""


class Publisher(Client):
    """Publishes letters to random queues, and waits for their confirms."""

    def __init__(self, world: World, number: int) -> None:
        self.number = number
        self.is_quiet = False
        self._unconfirmed: dict[int, tuple[Letter, int]] = {}  # by delivery tag, with the time
        self._returned: set[int] = set()
        self._tag = 0
        self._is_confirming = False
        super().__init__(world, f"publisher {number}")
        self._publish_later()

    def oldest_ms(self) -> int | None:
        """When the letter was published that has waited longest for its confirm."""
        return min((at_ms for _, at_ms in self._unconfirmed.values()), default=None)

    def on_ready(self) -> None:
        """See Client."""
        self._tag = 0
        self.call(ConfirmSelect(), (ConfirmSelectOk,), self._selected)

    def _selected(self, got: Got | None) -> None:
        self._is_confirming = got is not None

    def on_lost(self) -> None:
        """See Client."""
        self._is_confirming = False
        self._unconfirmed.clear()

    def _fail_waiting(self) -> None:
        self._is_confirming = False
        self._unconfirmed.clear()
        super()._fail_waiting()

    def _publish_later(self) -> None:
        self.agenda.after(self.agenda.some_ms(20, 250), self._publish)

    def _publish(self) -> None:
        if self.is_over:
            return
        self._publish_later()
        if self._is_confirming and not self.is_quiet:
            for _ in range(self.agenda.some_ms(1, 4)):
                self._publish_one()
            if self.agenda.chance(0.02):
                self.move()

    def _publish_one(self) -> None:
        assert self.link is not None
        exchange, key, queues = self.world.route(self.link.node)
        letter = self.world.ledger.send(self.number, queues)
        self.agenda.note(f"{self.link.node.name}: {self.name} publishes {letter.number} to {exchange}/{key}")
        properties = BasicProperties()
        properties.delivery_mode = 2
        self._tag += 1
        self._unconfirmed[self._tag] = letter, self.agenda.now_ms
        self.send(BasicPublish(exchange, key, True), str(letter.number).encode(), properties)

    def on_got(self, got: Got) -> None:
        """See Client."""
        method = got.method
        if isinstance(method, BasicReturn):
            assert got.body is not None
            self._returned.add(int(got.body))
        elif isinstance(method, BasicAck):
            for letter in self._settled(method.delivery_tag, method.multiple):
                self.agenda.note(f"{self.name}: {letter.number} is confirmed")
                self.world.ledger.confirm(letter, letter.number not in self._returned)
        elif isinstance(method, BasicNack):
            for letter in self._settled(method.delivery_tag, method.multiple):
                self.world.ledger.refuse(letter)

    def _settled(self, tag: int, is_multiple: bool) -> list[Letter]:
        tags = [each for each in self._unconfirmed if each == tag or (is_multiple and each <= tag)]
        return [self._unconfirmed.pop(each)[0] for each in tags]


class Consumer(Client):
    """Consumes from one queue after the other, at most nodes from its owner."""

    def __init__(self, world: World, number: int) -> None:
        self.queue = world.agenda.random.choice(world.queues)
        self._count = 0
        self._moves = False
        self._unacked: list[tuple[int, str, Letter]] = []
        super().__init__(world, f"consumer {number}")

    def choose(self) -> Node | None:
        """See Client."""
        self._moves = False
        self.queue = self.agenda.random.choice(self.world.queues)
        owner = self.world.owner_of(self.queue)
        return owner if owner is not None and self.agenda.chance(0.9) else super().choose()

    def on_ready(self) -> None:
        """See Client."""
        if not self._moves:
            self.call(BasicQos(0, self.agenda.some_ms(1, 6)), (BasicQosOk,), self._consume)

    def _consume(self, got: Got | None) -> None:
        if got is None or self.link is None:
            return
        self._count += 1
        tag = f"c{self._count}"
        self.link.queues[tag] = self.queue
        self.call(BasicConsume(self.queue, tag), (BasicConsumeOk,), self._consumes)

    def _consumes(self, got: Got | None) -> None:
        if got is None and not self._moves:
            self._moves = True
            self.agenda.after(self.agenda.some_ms(100, 600), self.move)

    def on_lost(self) -> None:
        """See Client."""
        self._unacked.clear()

    def _fail_waiting(self) -> None:
        self._unacked.clear()
        super()._fail_waiting()

    def on_got(self, got: Got) -> None:
        """See Client."""
        method = got.method
        if isinstance(method, BasicCancel):
            self.agenda.after(self.agenda.some_ms(0, 300), self.move)
        elif isinstance(method, BasicDeliver):
            assert got.body is not None
            letter = self.world.ledger.letters[int(got.body)]
            self._unacked.append((method.delivery_tag, self.queue, letter))
            link = self.link
            self.agenda.after(self.agenda.some_ms(1, 120), lambda: self._settle(link))

    def _settle(self, link: Link | None) -> None:
        if not self._unacked or link is not self.link:
            return
        fate = self.agenda.random.random()
        if fate < 0.02:
            self.move()
        elif fate < 0.07:
            pass  # this one stays unacked for now
        elif fate < 0.15:
            tag, _, _ = self._unacked.pop(0)
            self.send(BasicReject(tag, True))
        elif fate < 0.3:
            for _, queue, letter in self._unacked:
                self.world.ledger.ack(queue, letter)
            tag = self._unacked[-1][0]
            self._unacked.clear()
            self.send(BasicAck(tag, True))
        else:
            tag, queue, letter = self._unacked.pop(0)
            self.world.ledger.ack(queue, letter)
            self.send(BasicAck(tag, False))


class Administrator(Client):
    """Declares, deletes, binds and purges what others declare, delete, bind and purge at the same time."""

    def __init__(self, world: World, number: int) -> None:
        self.is_quiet = False
        super().__init__(world, f"administrator {number}")
        self._act_later()

    def _act_later(self) -> None:
        self.agenda.after(self.agenda.some_ms(30, 500), self._act)

    def _act(self) -> None:
        if self.is_over:
            return
        self._act_later()
        if self._waiting or not self._is_ready or self.is_quiet:
            return
        choice, random = self.agenda.random.choice, self.agenda.random
        queue, exchange = choice(self.world.loose), choice(self.world.exchanges)
        key = choice(("a", "b"))
        fate = random.random()
        if fate < 0.4:
            self.call(QueueDeclare(queue, durable=True, arguments=self._arguments()), (QueueDeclareOk,), self._done)
        elif fate < 0.5:
            kind = choice(("direct", "fanout"))
            self.call(ExchangeDeclare(exchange, kind, durable=True), (ExchangeDeclareOk,), self._done)
        elif fate < 0.65:
            self.call(QueueBind(queue, exchange, key), (QueueBindOk,), self._done)
        elif fate < 0.7:
            self.call(QueueUnbind(queue, exchange, key), (QueueUnbindOk,), self._done)
        elif fate < 0.8:
            self.call(QueueDelete(queue), (QueueDeleteOk,), self._done)
        elif fate < 0.83:
            self.call(ExchangeDelete(exchange), (ExchangeDeleteOk,), self._done)
        elif fate < 0.88:
            self.call(QueuePurge(queue), (QueuePurgeOk,), self._done)
        elif fate < 0.95 and self.link is not None:
            self._set_policy(self.link.node)
        else:
            self.move()

    def _arguments(self) -> Table:
        if self.agenda.chance(0.7):
            return {}
        return {"x-overflow": longstr(self.agenda.random.choice(("drop-head", "reject-publish")))}

    def _set_policy(self, node: Node) -> None:
        name = self.agenda.random.choice(("p", "q"))
        if node.is_up and node.stopped_ms is None:
            node.refresh()
            if self.agenda.chance(0.3):
                node.broker.vhosts["/"].delete_policy(name)
            else:
                length = self.agenda.some_ms(1, 3) * 1000
                node.broker.vhosts["/"].set_policy(Policy(name, "^loose", {"max-length": length}, 0, "queues"))
            node.turn()

    def _done(self, got: Got | None) -> None:
        """It does not matter what came, but that something comes."""


class Declarer(Client):
    """Declares the queues that stay, one after the other. is_done: whether all of them exist."""

    def __init__(self, world: World) -> None:
        self.is_done = False
        self._left = list(world.queues)
        super().__init__(world, "declarer")

    def on_ready(self) -> None:
        """See Client."""
        exchange = ExchangeDeclare(self.world.fanout, "fanout", durable=True)
        self.call(exchange, (ExchangeDeclareOk,), self._declare)

    def _declare(self, got: Got | None) -> None:
        if got is None:
            return
        if not self._left:
            self.is_done = True
        elif isinstance(got.method, QueueDeclareOk) and self._left[0] in self.world.both:
            self.call(QueueBind(self._left.pop(0), self.world.fanout, ""), (QueueBindOk,), self._declare)
        else:
            if isinstance(got.method, QueueDeclareOk):
                self._left.pop(0)
            if self._left:
                self.call(QueueDeclare(self._left[0], durable=True), (QueueDeclareOk,), self._declare)
            else:
                self.is_done = True


class Drain(Client):
    """Takes everything out of a queue at its owner. found: the letters in it. is_done: whether it is empty."""

    def __init__(self, world: World, queue: str) -> None:
        self.queue = queue
        self.found: list[Letter] = []
        self.is_done = False
        super().__init__(world, f"drain of {queue}")

    def choose(self) -> Node | None:
        """See Client."""
        return self.world.owner_of(self.queue)

    def on_ready(self) -> None:
        """See Client."""
        self._get()

    def _get(self) -> None:
        self.call(BasicGet(self.queue), (BasicGetOk, BasicGetEmpty), self._take)

    def _take(self, got: Got | None) -> None:
        if got is None:
            return
        if isinstance(got.method, BasicGetOk):
            assert got.body is not None
            self.found.append(self.world.ledger.letters[int(got.body)])
            self.send(BasicAck(got.method.delivery_tag, False))
            self._get()
        else:
            self.is_done = True
