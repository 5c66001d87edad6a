"""A queue against a model: no message is lost, or delivered twice without the redelivered flag; the order is kept."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from leveret.wire.methods import (
    BasicAck,
    BasicCancel,
    BasicCancelOk,
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
    QueueDeclare,
    QueueDeclareOk,
    QueuePurge,
    QueuePurgeOk,
)
from tests.clients.socketless import Peer, make_broker

CLIENTS = 3
UNLIMITED = 1 << 30


class Client:
    """A client in the model. held: message and consumer (0 for basic.get) by delivery tag."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.held: dict[int, tuple[int, int]] = {}
        self.consumer = 0  # 0 for none, else its number
        self.limit = 0
        self.no_ack = False
        self.tag = 0

    def room(self) -> int:
        """The room of its consumer, in messages."""
        if not self.consumer:
            return 0
        if self.no_ack or self.limit == 0:
            return UNLIMITED
        return self.limit - sum(holder == self.consumer for _, holder in self.held.values())


class QueueModel(RuleBasedStateMachine):
    """One queue, one publisher, and several clients."""

    def __init__(self) -> None:
        super().__init__()
        self.broker = make_broker()
        self.publisher = Peer(self.broker)
        self.publisher.call(QueueDeclare("q"), QueueDeclareOk)
        self.clients = [Client(Peer(self.broker)) for _ in range(CLIENTS)]
        self.ready: list[int] = []
        self.again: set[int] = set()
        self.published = 0
        self.consumers = 0

    # -- what clients do

    @rule(count=st.integers(1, 5))
    def publish(self, count: int) -> None:
        """Publish some messages."""
        for _ in range(count):
            self.published += 1
            self.ready.append(self.published)
            self.publisher.send(BasicPublish("", "q"), str(self.published).encode())
            self.deliveries()

    @rule(at=st.integers(0, CLIENTS - 1), no_ack=st.booleans())
    def get(self, at: int, no_ack: bool) -> None:
        """Get the head of the queue."""
        client = self.clients[at]
        client.peer.send(BasicGet("q", no_ack))
        (got,) = client.peer.got()
        if not self.ready:
            assert isinstance(got.method, BasicGetEmpty)
            return
        message = self.ready.pop(0)
        client.tag += 1
        assert isinstance(got.method, BasicGetOk)
        assert got.body == str(message).encode()
        assert got.method.redelivered == (message in self.again)
        assert got.method.delivery_tag == client.tag
        assert got.method.message_count == len(self.ready)
        if not no_ack:
            client.held[client.tag] = (message, 0)

    @rule(at=st.integers(0, CLIENTS - 1), limit=st.integers(0, 3), no_ack=st.booleans())
    def consume(self, at: int, limit: int, no_ack: bool) -> None:
        """Start a consumer, at most one for each client."""
        client = self.clients[at]
        if client.consumer:
            return
        client.peer.call(BasicQos(0, limit), BasicQosOk)
        self.consumers += 1
        client.consumer, client.limit, client.no_ack = self.consumers, limit, no_ack
        client.peer.send(BasicConsume("q", "c", no_ack=no_ack))
        self.deliveries(client, BasicConsumeOk)

    @rule(at=st.integers(0, CLIENTS - 1))
    def cancel(self, at: int) -> None:
        """Cancel the consumer; its deliveries stay with its client."""
        client = self.clients[at]
        client.consumer = 0
        client.peer.call(BasicCancel("c"), BasicCancelOk)

    @precondition(lambda self: any(client.held for client in self.clients))
    @rule(data=st.data(), how=st.sampled_from(["ack", "nack", "requeue"]), multiple=st.booleans())
    def settle(self, data: st.DataObject, how: str, multiple: bool) -> None:
        """Ack, nack or reject a delivery."""
        client = data.draw(st.sampled_from([each for each in self.clients if each.held]))
        tag = data.draw(st.sampled_from(sorted(client.held)))
        if how == "ack":
            client.peer.send(BasicAck(tag, multiple))
        elif multiple or data.draw(st.booleans()):
            client.peer.send(BasicNack(tag, multiple, how == "requeue"))
        else:
            client.peer.send(BasicReject(tag, how == "requeue"))
        gone = [each for each in client.held if each == tag or (multiple and each < tag)]
        messages = [client.held.pop(each)[0] for each in gone]
        if how == "requeue":
            self.put_back(messages)
        self.deliveries()

    @rule(at=st.integers(0, CLIENTS - 1))
    def die(self, at: int) -> None:
        """Lose the connection; another client takes its place."""
        client = self.clients[at]
        client.peer.connection.lost()
        self.clients[at] = Client(Peer(self.broker))
        self.put_back([message for message, _ in client.held.values()])
        self.deliveries()

    @rule()
    def purge(self) -> None:
        """Purge the queue."""
        assert self.publisher.call(QueuePurge("q"), QueuePurgeOk).message_count == len(self.ready)
        self.ready.clear()

    # -- expected effects

    def put_back(self, messages: list[int]) -> None:
        """Requeue messages at their old places."""
        self.again.update(messages)
        self.ready = sorted([*self.ready, *messages])

    def deliveries(self, starting: Client | None = None, answer: type[BasicConsumeOk] | None = None) -> None:
        """Deliver the head of the queue to the consumers, as far as they have room."""
        room = min(sum(client.room() for client in self.clients), len(self.ready))
        expected, self.ready = self.ready[:room], self.ready[room:]
        seen: list[int] = []
        for client in self.clients:
            found = client.peer.got()
            if client is starting:
                assert answer is not None
                assert isinstance(found.pop(0).method, answer)
            own: list[int] = []
            for got in found:
                client.tag += 1
                assert isinstance(got.method, BasicDeliver)
                assert got.body is not None
                message = int(got.body)
                assert client.room() > 0
                assert got.method.delivery_tag == client.tag
                assert got.method.redelivered == (message in self.again)
                own.append(message)
                if not client.no_ack:
                    client.held[client.tag] = (message, client.consumer)
            assert own == sorted(own)
            seen += own
        assert sorted(seen) == expected

    @invariant()
    def counts(self) -> None:
        """Check the numbers of the queue."""
        queue = self.broker.vhosts["/"].queues["q"]
        assert [int(stored.message.body()) for stored in queue.ready.items()] == self.ready
        assert queue.unacked == sum(len(client.held) for client in self.clients)

    def teardown(self) -> None:
        """Check that all unsettled messages can be fetched."""
        for at in range(CLIENTS):
            self.cancel(at)  # or one would get what another leaves
        for client in self.clients:
            client.peer.connection.lost()
            self.put_back([message for message, _ in client.held.values()])
        self.clients = [Client(Peer(self.broker))]
        while self.ready:
            self.get(0, True)
        self.get(0, True)


TestQueueModel = QueueModel.TestCase
TestQueueModel.settings = settings(stateful_step_count=40)
