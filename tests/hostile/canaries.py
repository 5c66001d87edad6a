"""Canaries: decent clients in a process of their own, that notice when a broker neglects or robs them.

In each of two virtual hosts: a consumer that expects a message every 100 ms, a pair of remote calls over direct
reply-to, and a durable ledger, of a classic queue in the one and of a quorum queue in the other.

Run as `python -m tests.hostile.canaries HOST PORT`; each line on stdin is a command in JSON, each answer a line:

    {"do": "begin", "pid": 12}   the broker is up: connect. Answers when all work.
    {"do": "end"}                the broker will end: whoever loses his connection has nothing to complain about.
    {"do": "join", "is_clean": true}   it has ended; is_clean: not by a kill.
    {"do": "look", "heeds_waits": true}   findings and counts since the last look; heeds_waits: waits count as findings.
    {"do": "drain"}              consume everything that is in the ledgers.
"""

from __future__ import annotations

import contextlib
import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from tests.clients.codec import Properties
from tests.clients.link import EndOfStream
from tests.clients.methods import ConnectionBlocked, ConnectionUnblocked
from tests.clients.methods_basic import BasicAck, BasicDeliver, BasicNack, BasicPublish, BasicQos, BasicQosOk
from tests.clients.peer import Channel, Peer

VHOSTS: Final = ("/", "canary")
EVERY_S: Final = 0.1
CALL_S: Final = 0.2  # between two remote calls
WORST_S: Final = 2.0  # that a canary may wait, without the time that the machine gives to others
STEP_S: Final = 0.02  # of whoever looks whether it is time
GIVEN_UP_S: Final = 60.0
BACKLOG: Final = 40  # messages that stay in a ledger, so that a restart has some to keep
PREFETCH: Final = 10
SYNC_EVERY: Final = 10  # acks after which it is asked whether the broker has them
MOST_OF_A_KIND: Final = 20  # findings that are told, of one canary


def starved_s(pid: int) -> float:
    """How long the threads of a process could have run and were not let."""
    total = 0
    try:
        for each in Path(f"/proc/{pid}/task").iterdir():
            total += int((each / "schedstat").read_text().split()[1])
    except (OSError, IndexError):
        pass  # it has ended, or this kernel does not say
    return total / 1e9


class Wait:
    """Something that is waited for."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._own_id = threading.get_native_id()
        self._starved = self._starved_s()
        self._began = time.perf_counter()

    def took_s(self) -> float:
        """How long it has taken, without what the machine gave to others."""
        return time.perf_counter() - self._began - (self._starved_s() - self._starved)

    def _starved_s(self) -> float:
        own = 0.0
        with contextlib.suppress(OSError, IndexError):
            own = int(Path(f"/proc/self/task/{self._own_id}/schedstat").read_text().split()[1]) / 1e9
        return own + starved_s(self._pid)


class Canary:
    """A client. findings: kind and text of each. worst_s: the longest wait since the last look."""

    def __init__(self, aviary: Aviary, name: str, vhost: str) -> None:
        self.name = f"{name} in {vhost}"
        self.vhost = vhost
        self.worst_s = 0.0
        self.count = 0
        self.findings: list[tuple[str, str]] = []
        self.waits: dict[int, Wait] = {}  # by thread
        self.aviary = aviary

    def works(self) -> list[Callable[[], None]]:
        """What its threads do, each with a connection of its own."""
        raise NotImplementedError

    def wrong(self, kind: str, text: str) -> None:
        """Note a finding."""
        if len(self.findings) < MOST_OF_A_KIND:
            self.findings.append((kind, f"{self.name}: {text}"))

    def connect(self) -> Channel:
        """A channel of its own."""
        return Peer(self.aviary.address).login(vhost=self.vhost).channel()

    def hear(self, channel: Channel, patience_s: float) -> Any:
        """The next method, with the time that it took. Raises: TimeoutError."""
        key = threading.get_ident()
        wait = self.waits.setdefault(key, Wait(self.aviary.pid))
        method = channel.next(patience_s)
        self.worst_s = max(self.worst_s, wait.took_s())
        del self.waits[key]
        return method

    def look(self, heeds_waits: bool) -> tuple[float, list[tuple[str, str]]]:
        """The longest wait, and the findings, since the last time."""
        longest = max([self.worst_s, *(wait.took_s() for wait in list(self.waits.values()))])
        if heeds_waits and longest > WORST_S:
            self.wrong("canary waits", f"{longest:.2f} s")
        self.worst_s = 0.0
        if not heeds_waits:
            for key in list(self.waits):
                self.waits[key] = Wait(self.aviary.pid)
        found, self.findings = self.findings, []
        return longest, found


class Ticker(Canary):
    """A publisher, and a consumer that expects a message every 100 ms."""

    def works(self) -> list[Callable[[], None]]:
        """Publish; consume."""
        return [self._publish, self._consume]

    def _publish(self) -> None:
        channel = self.connect()
        channel.queue("canary.ticks", exclusive=False)
        self.aviary.ready(self)
        due = time.perf_counter()
        while not self.aviary.is_over():
            channel.publish("canary.ticks", b"tick")
            due = max(due + EVERY_S, time.perf_counter())
            time.sleep(max(0.0, due - time.perf_counter()))

    def _consume(self) -> None:
        channel = self.connect()
        channel.queue("canary.ticks", exclusive=False)
        channel.consume("canary.ticks", no_ack=True)
        self.aviary.ready(self)
        while not self.aviary.is_over():
            try:
                method = self.hear(channel, EVERY_S)
            except TimeoutError:
                continue
            if not isinstance(method, BasicDeliver):
                self.wrong("canary", f"got {method}")
            self.count += 1


class Caller(Canary):
    """Remote calls: a client with direct reply-to, and a server."""

    def works(self) -> list[Callable[[], None]]:
        """Serve; call."""
        return [self._serve, self._call]

    def _serve(self) -> None:
        channel = self.connect()
        channel.queue("canary.calls", exclusive=False)
        channel.consume("canary.calls", no_ack=True)
        self.aviary.ready(self)
        while not self.aviary.is_over():
            try:
                method = channel.next(EVERY_S)
            except TimeoutError:
                continue
            if not isinstance(method, BasicDeliver):
                self.wrong("canary", f"got {method}")
                continue
            channel.publish(method.properties.reply_to or "", b"re: " + method.body)

    def _call(self) -> None:
        channel = self.connect()
        channel.queue("canary.calls", exclusive=False)
        channel.consume("amq.rabbitmq.reply-to", no_ack=True)
        self.aviary.ready(self)
        while not self.aviary.is_over():
            self.count += 1
            question = b"%d" % self.count
            channel.publish("canary.calls", question, reply_to="amq.rabbitmq.reply-to")
            began = time.perf_counter()
            while not self.aviary.is_over():
                try:
                    method = self.hear(channel, EVERY_S)
                except TimeoutError:
                    if time.perf_counter() - began > GIVEN_UP_S:
                        raise AssertionError("a remote call got no answer") from None
                    continue
                if not isinstance(method, BasicDeliver) or method.body != b"re: " + question:
                    self.wrong("canary", f"asked {question!r}, got {method}")
                break
            time.sleep(CALL_S)


class Ledger(Canary):
    """Publishes with confirms to a durable queue, and acks slowly; it knows what the broker owes.

    Numbers are those of messages. waiting: sent, and neither acked nor refused; true once they are confirmed.
    """

    def __init__(self, aviary: Aviary, name: str, vhost: str, **arguments: Any) -> None:
        super().__init__(aviary, name, vhost)
        self.waiting: dict[int, bool] = {}
        self._lock = threading.Lock()
        self._arguments = arguments
        self._last = 0
        self._seen: set[int] = set()  # ever
        self._acked: set[int] = set()  # the ack was sent
        self._settled: set[int] = set()  # and the broker had it before a clean end, or answered something behind it
        self.is_draining = False

    def works(self) -> list[Callable[[], None]]:
        """Publish; consume."""
        return [self._publish, self._consume]

    def _declare(self, channel: Channel) -> None:
        channel.queue("canary.ledger", exclusive=False, durable=True, **self._arguments)

    def _publish(self) -> None:
        channel = self.connect()
        self._declare(channel)
        channel.confirm()
        self.aviary.ready(self)
        while not self.aviary.is_over():
            if self.is_draining:
                time.sleep(STEP_S)
                continue
            with self._lock:
                self._last = number = self._last + 1
                self.waiting[number] = False
            body = b"%d " % number + bytes(number * 37 % 3000)
            channel.send(BasicPublish(routing_key="canary.ledger", body=body, properties=Properties(delivery_mode=2)))
            if not self._hear_fate(channel, number):
                return
            time.sleep(STEP_S)

    def _hear_fate(self, channel: Channel, number: int) -> bool:
        """Wait for the confirm. Returns: whether to go on."""
        while True:
            try:
                method = self.hear(channel, EVERY_S)
            except TimeoutError:
                if self.aviary.is_over():
                    return False
                continue
            if isinstance(method, ConnectionBlocked | ConnectionUnblocked):
                continue
            with self._lock:
                if isinstance(method, BasicAck):
                    if number in self.waiting:
                        self.waiting[number] = True
                elif isinstance(method, BasicNack):
                    self.waiting.pop(number, None)
                    if self.aviary.heeds_waits:
                        self.wrong("refused", f"message {number}, while the disk worked")
                else:
                    self.wrong("canary", f"got {method} in place of a confirm")
            return True

    def _consume(self) -> None:
        channel = self.connect()
        self._declare(channel)
        channel.prefetch(PREFETCH)
        channel.consume("canary.ledger")
        self.aviary.ready(self)
        passed: set[int] = set()  # in this life of the consumer
        last = 0
        unsettled: list[int] = []
        while not self.aviary.is_over():
            if len(self.waiting) < BACKLOG and not self.is_draining:
                time.sleep(STEP_S)
                continue
            try:
                method = channel.next(EVERY_S)
            except TimeoutError:
                continue
            if not isinstance(method, BasicDeliver):
                self.wrong("canary", f"got {method}")
                return
            last = self._take(method, passed, last)
            number = last
            with self._lock:
                self._acked.add(number)
            channel.send(BasicAck(delivery_tag=method.delivery_tag))
            with self._lock:
                self.waiting.pop(number, None)
            unsettled.append(number)
            self.count += 1
            if len(unsettled) >= SYNC_EVERY:
                held = self._sync(channel)
                self._settled.update(unsettled)
                unsettled = []
                for each in held:  # they came before the answer
                    last = self._take(each, passed, last)
                    self._acked.add(last)
                    channel.send(BasicAck(delivery_tag=each.delivery_tag))
                    with self._lock:
                        self.waiting.pop(last, None)
                    unsettled.append(last)
            if not self.is_draining:
                time.sleep(STEP_S / 2)

    def _sync(self, channel: Channel) -> list[BasicDeliver]:
        """Ask something. Returns: the messages that came before the answer."""
        held: list[BasicDeliver] = []
        channel.send(BasicQos(prefetch_count=PREFETCH))
        while True:
            method = channel.next(GIVEN_UP_S)
            if isinstance(method, BasicQosOk):
                return held
            if isinstance(method, BasicDeliver):
                held.append(method)

    def _take(self, method: BasicDeliver, passed: set[int], last: int) -> int:
        """Look whether a message may come. Returns: its number."""
        number = int(method.body.split(b" ", 1)[0])
        with self._lock:
            if not 0 < number <= self._last or len(method.body) != len(b"%d " % number) + number * 37 % 3000:
                self.wrong("corrupt", f"{method.body[:40]!r} came")
            if number in self._acked and not method.redelivered:
                self.wrong("returned", f"{number} came again after it was acked, and not as redelivered")
            elif number in self._settled:
                self.wrong("returned", f"{number} came again after its ack was safe")
            elif number in self._seen and not method.redelivered:
                self.wrong("unflagged", f"{number} came again, and not as redelivered")
            if number <= last:
                self.wrong("disordered", f"{number} came behind {last}")
            skipped = [
                each for each, is_owed in self.waiting.items() if each < number and is_owed and each not in passed
            ]
            for each in skipped:
                self.wrong("lost", f"{each} was confirmed and not acked, and {number} came without it")
                del self.waiting[each]
            self._seen.add(number)
            passed.add(number)
        return number

    def has_ended(self, is_clean: bool) -> None:
        """The broker has ended. Acks that it had when it was killed may not be safe."""
        if not is_clean:
            self._settled.clear()

    def drain(self, deadline: float) -> None:
        """Consume everything; what does not come is lost."""
        self.is_draining = True
        while any(self.waiting.values()) and time.monotonic() < deadline and not self.aviary.is_over():
            time.sleep(STEP_S)
        for number, is_owed in list(self.waiting.items()):
            if is_owed:
                self.wrong("lost", f"{number} was confirmed and not acked, and never came")
                self.waiting.pop(number, None)
        self.is_draining = False


class Aviary:
    """All canaries. pid: of the broker. heeds_waits: the disk works, and whoever waits may complain."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.address = address
        self.pid = 0
        self.heeds_waits = True
        self.canaries: list[Canary] = []
        for vhost in VHOSTS:
            self.canaries += [Ticker(self, "ticker", vhost), Caller(self, "caller", vhost)]
        self.ledgers = [Ledger(self, "ledger", "/"), Ledger(self, "quorum ledger", "canary", x_queue_type="quorum")]
        self.canaries += self.ledgers
        self._threads: list[threading.Thread] = []
        self._missing = threading.Semaphore(0)
        self._is_ending = False
        self._is_over = False

    def is_over(self) -> bool:
        """Whether this life of the broker is over."""
        return self._is_over

    def ready(self, canary: Canary) -> None:
        """One of them works."""
        self._missing.release()

    def begin(self, pid: int) -> None:
        """The broker is up."""
        self.pid = pid
        self._is_ending = self._is_over = False
        works = [(canary, work) for canary in self.canaries for work in canary.works()]
        self._threads = [threading.Thread(target=self._run, args=each, daemon=True) for each in works]
        for thread in self._threads:
            thread.start()
        for _ in works:
            self._missing.acquire(timeout=GIVEN_UP_S)

    def _run(self, canary: Canary, work: Callable[[], None]) -> None:
        is_first = True
        while not self._is_over:
            try:
                work()
                return
            except (EndOfStream, OSError, AssertionError) as error:
                canary.waits.pop(threading.get_ident(), None)
                if self._is_ending:
                    return
                canary.wrong("canary cut off", f"{type(error).__name__}: {str(error)[:300]}")
                if is_first:
                    self._missing.release()
                is_first = False
                time.sleep(EVERY_S)
            except BaseException as error:
                canary.wrong("canary", f"{type(error).__name__}: {error}")
                return

    def end(self) -> None:
        """The broker will end."""
        self._is_ending = True

    def join(self, is_clean: bool) -> None:
        """The broker has ended."""
        self._is_ending = self._is_over = True
        for thread in self._threads:
            thread.join(10)
        for canary in self.canaries:
            canary.waits.clear()
            if isinstance(canary, Ledger):
                canary.has_ended(is_clean)

    def look(self, heeds_waits: bool) -> dict[str, Any]:
        """What they have noticed."""
        self.heeds_waits = heeds_waits
        counts: Counter[str] = Counter()
        findings = []
        longest = 0.0
        for canary in self.canaries:
            waited, found = canary.look(heeds_waits)
            longest = max(longest, waited)
            findings += found
            counts[type(canary).__name__.lower()] += canary.count
        return {"longest_s": longest, "findings": findings, "counts": counts}

    def drain(self) -> None:
        """Consume what is in the ledgers."""
        deadline = time.monotonic() + GIVEN_UP_S / 2
        threads = [threading.Thread(target=each.drain, args=(deadline,)) for each in self.ledgers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def main() -> None:
    """Do what is said on stdin."""
    aviary = Aviary((sys.argv[1], int(sys.argv[2])))
    for line in sys.stdin:
        command = json.loads(line)
        answer: dict[str, Any] = {}
        match command["do"]:
            case "begin":
                aviary.begin(command["pid"])
            case "end":
                aviary.end()
            case "join":
                aviary.join(command["is_clean"])
            case "look":
                answer = aviary.look(command["heeds_waits"])
            case "drain":
                aviary.drain()
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
