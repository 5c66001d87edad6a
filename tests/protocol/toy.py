"""A protocol of lines that has nothing to do with AMQP, to show that the core does not need it.

What a client says, and what it hears, one line each; - is an empty name, and nothing has a space in it but a body:

    TOY USER                                       whoever comes over a socket begins with this
    publish EXCHANGE/KEY[!] [user=NAME] [ttl=MS] [cc=KEY] [reply=NAME]: BODY   with ! it comes back if no queue gets it
    confirm                                        from now on publishes are confirmed
    consume QUEUE TAG PREFETCH [no-ack] [alone]    a prefetch of 0 has no limit
    replies TAG                                    consume the answers to requests with reply=amq.rabbitmq.reply-to
    cancel TAG
    get QUEUE [no-ack]
    declare QUEUE [alone], delete QUEUE            alone: it is this client's, and ends with it
    bind QUEUE EXCHANGE/KEY
    ack N, requeue N, reject N
    begin, commit, rollback

    confirmed N, refused N, returned EXCHANGE/KEY: BODY
    message TAG N: BODY, again TAG N: BODY         the second one for a message that came back
    got N: BODY, nothing
    done TAG, cancelled TAG, committed, failed
    error TEXT
    closed TEXT
"""

from __future__ import annotations

from mypy_extensions import i64

from leveret.core.access.user import User
from leveret.core.broker import Broker
from leveret.core.client import topology
from leveret.core.client.conversation import CLOSE, Conversation, LoginRequest, Opening
from leveret.core.client.publisher import Publisher
from leveret.core.client.receiver import Receiver
from leveret.core.client.settling import ACK, DISCARD, RETURN, settle
from leveret.core.client.transaction import Transaction
from leveret.core.counting.counters import ChannelCounters
from leveret.core.errors.refusals import Refusal
from leveret.core.exchange.exchange import Route
from leveret.core.message.message import Message, address
from leveret.core.queue.client import Held
from leveret.core.queue.consumers import Consumer
from leveret.core.queue.entry import EntryOwner, QueueEntry
from leveret.wire.content import Piece
from leveret.wire.fields import array, longstr
from leveret.wire.properties import BasicProperties

HOW = {"ack": ACK, "requeue": RETURN, "reject": DISCARD}


class Toy(Conversation):
    """One client. said: what it has heard, taken by the test, or sent through its socket."""

    def __init__(self, broker: Broker, user: User | None = None, vhost: str = "/", name: str = "a toy") -> None:
        super().__init__(broker, name)
        self.said: list[str] = []
        self.has_room = True
        self.is_over = False
        self._line = b""  # of which more is to come
        self._waiting: list[str] = []  # until it has logged in
        if user is not None:
            self.user = user
            self.vhost = broker.vhosts[vhost]
        halves = ChannelCounters(0, self.counters)
        self.receiving = Receiving(self, halves)
        self.publishing = Publishing(self, halves)
        broker.connections[self.number] = self

    def say(self, line: str) -> None:
        """Let the client hear a line."""
        self.counters.bytes_out += len(line.encode()) + 1
        self.said.append(line)
        self.wake()

    def heard(self) -> list[str]:
        """What the client has heard since the last time."""
        said, self.said = self.said, []
        return said

    def tell(self, *lines: str) -> None:
        """Take lines from the client, one after the other."""
        for line in lines:
            if self.login_request is not None:
                self._waiting.append(line)
                continue
            self.counters.bytes_in += len(line.encode()) + 1
            self.broker.flow()
            try:
                self._take(line)
            except Refusal as refusal:
                self.say(f"error {refusal.kind}: {refusal.text}")
        self.broker.settle()

    def _take(self, line: str) -> None:
        head, _, body = line.partition(": ")
        verb, *words = head.split(" ")
        name = words[0] if words and words[0] != "-" else ""
        no_ack = "no-ack" in words
        publishing, receiving = self.publishing, self.receiving
        if verb == "TOY":
            self.login_request = LoginRequest(name, "", verb, "")
        elif verb == "publish":
            publishing.publish_parts(words[0].encode(), properties(words[1:]), body.encode())
        elif verb == "confirm":
            publishing.wants_confirms = True
        elif verb == "consume":
            receiving.prefetch = int(words[2])
            consumer = receiving.consume(name, words[1], no_ack, "alone" in words, {})
            self.say(f"done {consumer.tag}")
            receiving.start(consumer)
        elif verb == "replies":
            self.say(f"done {receiving.consume_replies(name, True, {}).tag}")
        elif verb == "cancel":
            receiving.cancel(name)
            self.say(f"done {name}")
        elif verb == "get":
            queue = receiving.queue_to_get(name)
            while not queue.clear_head():
                pass
            if not receiving.take(queue, no_ack):
                self.say("nothing")
        elif verb == "declare":
            self.say(f"done {topology.declare_queue(self, name, False, 'alone' in words, False, {}).name}")
        elif verb == "delete":
            topology.delete_queue(self, name, False, False)
            self.say(f"done {name}")
        elif verb == "bind":
            exchange, _, key = words[1].partition("/")
            topology.bind_queue(self, name, exchange, key, {})
            self.say(f"done {name}")
        elif verb == "begin":
            publishing.transaction = Transaction(publishing, self.broker, receiving.unacked)
        elif verb in ("commit", "rollback") and publishing.transaction is not None:
            transaction, publishing.transaction = publishing.transaction, None
            transaction.commit() if verb == "commit" else transaction.rollback()
        elif verb in HOW and publishing.transaction is not None:
            publishing.transaction.settle([(int(name), receiving.unacked.take(int(name)))], HOW[verb])
        elif verb in HOW:
            settle(receiving.unacked.take(int(name)), HOW[verb], receiving.counters)
        else:
            self.say(f"error '{line}' makes no sense")

    def leave(self) -> None:
        """The client goes: what it holds goes back."""
        self.is_over = True
        receiving = self.receiving
        for tag in list(receiving.consumers):
            receiving.cancel(tag)
        while (stored := receiving.unacked.take_oldest(receiving.last_tag)) is not None:
            settle(stored, RETURN, receiving.counters)
        for queue in list(self.exclusive_queues):
            queue.vhost.remove_queue(queue)
        self.forget_routes()
        receiving.counters.end()
        self.end_counters()
        self.broker.connections.pop(self.number, None)
        self.broker.settle()

    def held(self, queue: EntryOwner | None) -> list[Held]:
        """What the client has not settled."""
        return self.receiving.held(queue, self.publishing.transaction)

    def force_close(self, reason: str) -> None:
        """The client has to go."""
        self.finish(reason, CLOSE)

    def fail(self, doing: str, error: Exception) -> None:
        """The client is closed later."""
        self.broker.faults.tell(self.name, doing, error)
        self.broker.faults.close(self)

    def close_failed(self) -> None:
        """Close it for a fault."""
        self.force_close("for a fault of the broker")

    # -- its socket

    @property
    def finished(self) -> bool:
        """Whether it has ended."""
        return self.is_over

    @property
    def is_paused(self) -> bool:
        """It may always say more."""
        return False

    def receive(self, data: bytes) -> None:
        """Take lines."""
        *lines, self._line = (self._line + data).split(b"\n")
        self.tell(*[line.decode() for line in lines])

    def wake(self) -> None:
        """There is something to send."""
        if self not in self.broker.awake:
            self.broker.awake.append(self)

    def data_to_send(self) -> list[Piece]:
        """Lines."""
        return [line.encode() + b"\n" for line in self.heard()]

    def flushed(self) -> None:
        """That is fine."""

    def not_flushed(self) -> None:
        """That is not."""

    def pause_writing(self) -> None:
        """It hears nothing for now."""
        self.has_room = False

    def resume_writing(self) -> None:
        """It hears again."""
        self.has_room = True
        self.receiving.resume()
        self.broker.settle()

    def has_waited(self, spent_ms: int) -> None:
        """It may take its time."""

    def login(self, user: User) -> None:
        """It is known now."""
        self.user = user
        self.vhost = self.broker.vhosts["/"]
        self.login_request = None
        waiting, self._waiting = self._waiting, []
        self.tell(*waiting)

    def refuse(self, reason: str) -> None:
        """It is not."""
        self.force_close(reason)

    def set_in_flow(self, paced: bool) -> None:
        """What it says before its login waits in any case."""

    def finish(self, why: str, ending: int) -> None:
        """It has to go."""
        if not self.is_over:
            self.say(f"closed {why}")
            self.ending = ending
            self.leave()

    def lost(self) -> None:
        """It has gone."""
        if not self.is_over:
            self.leave()

    def on_definitions_durable(self, revision: int) -> None:
        """It declares nothing."""


TOY = Opening(b"TOY ", lambda broker, name, host: Toy(broker, name=name))


class Publishing(Publisher):
    """The publishing half."""

    def __init__(self, toy: Toy, counters: ChannelCounters) -> None:
        super().__init__(toy, counters, toy.receiving)
        self.toy = toy
        self.resolved = 0  # targets that were read

    def resolve(self, target: bytes) -> Route:
        """Read EXCHANGE/KEY[!]."""
        self.resolved += 1
        exchange, _, key = target.decode().partition("/")
        return self.route_to(address("" if exchange == "-" else exchange, key.removesuffix("!")), key.endswith("!"))

    def confirmed(self, tag: i64) -> None:
        """A message is safe."""
        self.counters.confirmed += 1
        self.toy.say(f"confirmed {tag}")

    def refused(self, tag: i64, how: int) -> None:
        """A message was not taken."""
        self.counters.nacked += 1
        self.toy.say(f"refused {tag}")

    def returned(self, message: Message) -> None:
        """No queue gets a message."""
        where = message.address
        self.toy.say(f"returned {where.exchange or '-'}/{where.routing_key}: {message.body().decode()}")

    def committed(self, failed: bool) -> None:
        """A commit is through."""
        self.toy.say("failed" if failed else "committed")


class Receiving(Receiver):
    """The consuming half."""

    def __init__(self, toy: Toy, counters: ChannelCounters) -> None:
        super().__init__(toy, counters)
        self.toy = toy

    def deliver(self, consumer: Consumer, stored: QueueEntry) -> None:
        """Say what a consumer gets."""
        tag = self.hold(consumer, stored)
        verb = "again" if stored.redelivered else "message"
        self.toy.say(f"{verb} {consumer.tag} {tag}: {stored.message.body().decode()}")
        if self.toy.vhost.is_watched:
            self.show(stored, consumer.no_ack)

    def answer_get(self, tag: i64, stored: QueueEntry, no_ack: bool) -> None:
        """Say what was fetched."""
        self.toy.say(f"got {tag}: {stored.message.body().decode()}")

    def can_take(self) -> bool:
        """Whether the client hears more."""
        return self.toy.has_room

    def cancelled(self, consumer: Consumer) -> None:
        """The queue is gone."""
        self.forget(consumer)
        self.toy.say(f"cancelled {consumer.tag}")


def properties(words: list[str]) -> BasicProperties:
    """What a client says of a message."""
    found = BasicProperties()
    for word in words:
        name, _, value = word.partition("=")
        if name == "user":
            found.user_id = value
        elif name == "ttl":
            found.expiration = value
        elif name == "cc":
            found.headers = {"CC": array([longstr(value)])}
        elif name == "reply":
            found.reply_to = value
    return found
