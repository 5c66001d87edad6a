"""Load: publishers with confirms and consumers with acks on one broker, until it is gone or they are told to stop."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable

from tests.clients.ledger import Finding, Found, Ledger, Letter
from tests.clients.link import EndOfStream
from tests.clients.method import Method
from tests.clients.methods import (
    ConfirmSelect,
    ExchangeDeclare,
    QueueBind,
    QueueDeclare,
    QueueDelete,
    TxCommit,
    TxCommitOk,
    TxSelect,
)
from tests.clients.methods_basic import BasicAck, BasicDeliver, BasicNack, BasicPublish, BasicReject
from tests.clients.peer import Channel, Peer
from tests.crash.workloads import Workload

WINDOW = 200  # letters of a publisher that wait for their confirms
BATCH = 20
PREFETCH = 100
HOARD = 60  # messages that a consumer takes and never settles, in every other generation
CROWD = 20_000  # letters of a ledger from which on publishers wait
DECLARED = 20  # queues that are kept of those declared while the load runs
NOT_FOUND = 404


class Declarations:
    """What was declared while the load ran. made: queues that we were told of; deleted: those that ended, likewise."""

    def __init__(self, now: Callable[[], int]) -> None:
        self.now = now
        self.made: dict[str, int] = {}
        self.deleted: dict[str, int] = {}


class Load:
    """Threads that use one broker.

    generation: publishers of each are others than those before. declarations: declare queues as well.
    """

    def __init__(
        self, address: tuple[str, int], workload: Workload, ledger: Ledger, generation: int, chance: random.Random
    ) -> None:
        self.declarations = Declarations(ledger.now)
        self._address = address
        self._workload = workload
        self._ledger = ledger
        self._generation = generation
        self._stopping = threading.Event()
        self._errors: list[BaseException] = []
        work: list[Callable[[random.Random], None]] = [self._declare]
        work += [lambda chance, number=number: self._publish(number, chance) for number in range(2)]  # type: ignore[misc]
        work += [lambda chance, queue=queue: self._consume(queue, chance) for queue in workload.queues]  # type: ignore[misc]
        self._threads = [
            threading.Thread(target=self._run, args=(part, random.Random(chance.random()))) for part in work
        ]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Let publishers get their confirms, and end."""
        self._stopping.set()
        self.join()

    def join(self) -> None:
        """Wait for the end, after stop() or the end of the broker. Raises: what went wrong in a thread."""
        for thread in self._threads:
            thread.join(30)
            if thread.is_alive():
                raise AssertionError("the broker does not answer")
        if self._errors:
            raise self._errors[0]

    def _run(self, part: Callable[[random.Random], None], chance: random.Random) -> None:
        try:
            part(chance)
        except (EndOfStream, ConnectionError):
            pass  # the broker was killed
        except BaseException as error:
            self._errors.append(error)

    # -- publishers

    def _publish(self, number: int, chance: random.Random) -> None:
        peer = Peer(self._address).login()
        channel = peer.channel()
        publisher = 2 * self._generation + number
        part = self._commit if self._workload.transactions else self._confirm
        part(channel, publisher, chance)
        peer.close()

    def _confirm(self, channel: Channel, publisher: int, chance: random.Random) -> None:
        channel.call(ConfirmSelect())
        waiting: dict[int, Letter] = {}
        count = 0
        while not self._stopping.is_set() or waiting:
            if not self._stopping.is_set() and len(self._ledger.letters) < CROWD:
                messages: list[Method] = []
                for _ in range(chance.randint(1, BATCH)):
                    count += 1
                    waiting[count], message = self._new(publisher, count, chance)
                    messages.append(message)
                channel.send(*messages)
            while len(waiting) > WINDOW or (self._stopping.is_set() and waiting):
                self._hear(channel.next(), waiting)
            try:
                while waiting:
                    self._hear(channel.next(0.001), waiting)
            except TimeoutError:
                pass
            if not waiting:
                time.sleep(0.001)

    def _new(self, publisher: int, count: int, chance: random.Random, batch: int = 0) -> tuple[Letter, BasicPublish]:
        letter = self._workload.letter(publisher, count, chance)
        letter.batch = batch
        message = self._workload.message(letter, chance)
        self._ledger.send(letter)
        return letter, message

    def _hear(self, method: Method, waiting: dict[int, Letter]) -> None:
        assert isinstance(method, BasicAck), method
        tags = [tag for tag in waiting if tag <= method.delivery_tag] if method.multiple else [method.delivery_tag]
        for tag in tags:
            self._ledger.confirm(waiting.pop(tag))

    def _commit(self, channel: Channel, publisher: int, chance: random.Random) -> None:
        channel.call(TxSelect())
        count = 0
        while not self._stopping.is_set():
            if len(self._ledger.letters) >= CROWD:
                time.sleep(0.01)
                continue
            batch = publisher << 32 | count + 1
            new = []
            for _ in range(chance.randint(1, BATCH)):
                count += 1
                new.append(self._new(publisher, count, chance, batch))
            channel.send(*(message for _, message in new), TxCommit())
            channel.expect(TxCommitOk)
            for letter, _ in new:
                self._ledger.confirm(letter)

    # -- consumers

    def _consume(self, queue: str, chance: random.Random) -> None:
        peer = Peer(self._address).login()
        channel = peer.channel()
        channel.prefetch(PREFETCH)
        channel.consume(queue)
        held: dict[int, Letter | None] = {}
        hoarded = 0  # messages that are never settled; where there are some, no ack speaks of several
        hoard = HOARD if self._generation % 2 else 0
        share = chance.choice((0.5, 0.8, 0.95, 1))  # of the messages that are settled at once
        while not self._stopping.is_set():
            try:
                message = channel.next(0.05)
            except TimeoutError:
                continue
            assert isinstance(message, BasicDeliver), message
            letter = self._ledger.see(queue, message.body, message.redelivered)
            if hoarded < hoard and chance.random() < 0.02:
                hoarded += 1
                continue
            held[message.delivery_tag] = letter
            is_full = len(held) + hoarded == PREFETCH
            if is_full and hoarded:
                for tag in list(held):
                    self._settle(channel, queue, tag, held, False, chance)
            elif is_full or chance.random() < share:
                several = not hoarded and (is_full or chance.random() < 0.02)
                self._settle(channel, queue, message.delivery_tag, held, several, chance)
        peer.close()

    def _settle(
        self,
        channel: Channel,
        queue: str,
        tag: int,
        held: dict[int, Letter | None],
        several: bool,
        chance: random.Random,
    ) -> None:
        """Reject, ack or requeue a message. several: an ack speaks of all that came before, too."""
        dice = chance.random()
        if queue == self._workload.rejects and dice < 0.7:
            held.pop(tag)
            channel.send(BasicReject(delivery_tag=tag))
        elif dice < 0.9:
            for one in list(held) if several else [tag]:
                letter = held.pop(one)
                if letter is not None:
                    self._ledger.ack(queue, letter)
            channel.send(BasicAck(delivery_tag=tag, multiple=several))
        else:
            held.pop(tag)
            channel.send(BasicNack(delivery_tag=tag, requeue=True))

    # -- declarations

    def _declare(self, chance: random.Random) -> None:
        peer = Peer(self._address).login()
        channel = peer.channel()
        told = self.declarations
        channel.call(ExchangeDeclare(exchange="declared", type="direct", durable=True))
        number = 0
        while not self._stopping.is_set():
            name = f"declared.{self._generation}.{number}"
            number += 1
            channel.call(QueueDeclare(queue=name, durable=True))
            channel.call(QueueBind(queue=name, exchange="declared", routing_key=name))
            told.made[name] = told.now()
            if len(told.made) > DECLARED:
                oldest = next(iter(told.made))
                del told.made[oldest]  # its end may come before we hear of it
                channel.call(QueueDelete(queue=oldest))
                told.deleted[oldest] = told.now()
            time.sleep(chance.random() * 0.02)
        peer.close()


def read(address: tuple[str, int], queues: dict[str, object], drain: bool = False) -> dict[str, list[Found]]:
    """All ready messages of some queues, in order; they stay unless drained. A queue that is not there has none."""
    found: dict[str, list[Found]] = {}
    peer = Peer(address).login()
    for number, queue in enumerate(queues, 1):
        channel = peer.channel(number)
        channel.send(QueueDeclare(queue=queue, passive=True))
        reply = channel.next()
        found[queue] = []
        count = getattr(reply, "message_count", None)
        if count is None:
            continue
        channel.consume(queue)
        messages = channel.deliveries(count)
        found[queue] = [Found(message.body, message.redelivered) for message in messages]
        if drain and messages:
            channel.send(BasicAck(delivery_tag=messages[-1].delivery_tag, multiple=True))
    peer.close()
    return found


def audit_declarations(address: tuple[str, int], told: Declarations, cut: int) -> list[Finding]:
    """Queues that were declared by the time of the cut are there and bound, and those deleted by then are not."""
    findings: list[Finding] = []
    peer = Peer(address).login()
    channel = peer.channel()
    for name, when in told.made.items():
        if when > cut:
            continue
        channel.send(QueueDeclare(queue=name, passive=True))
        if getattr(channel.next(), "message_count", None) is None:
            findings.append(Finding("undeclared", f"queue {name} is not there"))
            channel = peer.channel(channel.number + 1)
            continue
        channel.send(BasicPublish(exchange="declared", routing_key=name, body=b"?"))
        if channel.ready(name) != 1:
            findings.append(Finding("undeclared", f"queue {name} is not bound"))
    for name, when in told.deleted.items():
        if when > cut:
            continue
        channel.send(QueueDeclare(queue=name, passive=True))
        if getattr(channel.next(), "message_count", None) is not None:
            findings.append(Finding("undeclared", f"queue {name} is there again, after its deletion"))
        else:
            channel = peer.channel(channel.number + 1)
    peer.close()
    return findings
