"""Driver: drives the core's clock, and flushes the connections once per turn of the event loop.

After each call into the core, the caller must call turn(). The flush then runs when every socket that was ready in this
turn has been read, so that output of one turn is sent together.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from leveret.core.broker import Broker
from leveret.core.client.conversation import RESET, Conversation

if TYPE_CHECKING:
    from leveret.server.transport import ClientProtocol

log = logging.getLogger("leveret.broker")

REST_S = 0.01  # how long acks may wait to be written together with later changes
READ_NS = 1_800_000  # per turn, for clients that send a lot; the others are always read
FLUSH_NS = 2_200_000  # per turn, to send and to handle waiting requests
WORK_NS = 1_500_000  # per turn, for background work
LOOKS = 3  # checks of each client during the send timeout
LOOKED_AT = 500  # clients checked per turn


class Driver:
    """The broker's link to one event loop.

    protocols: the open sockets, by number of their client. skipped_ms: by how much the broker's clock is ahead of the
    machine's because of skip(). is_frozen: nothing is done for now; see freeze().
    guard: called before clients are served, if there is one. The process may have been stopped for any time.
    """

    def __init__(self, broker: Broker, loop: asyncio.AbstractEventLoop) -> None:
        self.broker = broker
        self.loop = loop
        self.protocols: dict[int, ClientProtocol] = {}
        self.skipped_ms = 0
        self.is_frozen = False
        self.guard: Callable[[], None] | None = None
        self._scheduled = False
        self._began_ns = 0  # start of the current turn, 0 while the loop waits
        self._timer: asyncio.TimerHandle | None = None
        self._timer_ms: int | None = None
        self._rest: asyncio.TimerHandle | None = None  # to flush non-urgent log entries
        self._put_off: deque[ClientProtocol] = deque()  # with input for a later turn
        self._waiting: list[tuple[Callable[[], bool], asyncio.Future[None]]] = []
        self._send_timeout_s = 0.0
        self._look: asyncio.TimerHandle | None = None

    @property
    def is_busy(self) -> bool:
        """Whether a turn has begun that will be measured."""
        return self._began_ns != 0

    def refresh_clock(self) -> None:
        """Update the core's clock; turn() must follow."""
        now_ns = time.monotonic_ns()
        self.broker.clock.now_ms = now_ns // 1_000_000 + self.skipped_ms
        if not self._began_ns:
            self._began_ns = now_ns
        if self.guard is not None:
            self.guard()

    def turn(self) -> None:
        """Schedule a flush at the end of this turn, after a call into the core."""
        if not self._scheduled:
            self._scheduled = True
            self.loop.call_soon(self._flush)
            if not self._began_ns:
                self._began_ns = time.monotonic_ns()

    def may_read(self) -> bool:
        """Whether a client that sends a lot may be read in this turn: there is time, and no other has waited longer."""
        return not self._put_off and time.monotonic_ns() - self._began_ns < READ_NS

    def put_off(self, protocol: ClientProtocol) -> None:
        """Queue a client for catch_up()."""
        self._put_off.append(protocol)
        self.turn()

    def _catch_up(self) -> None:
        """Let queued clients catch up: at least one, more while there is time."""
        until_ns = self._began_ns + READ_NS
        for _ in range(len(self._put_off)):
            self.refresh_clock()
            protocol = self._put_off.popleft()
            try:
                protocol.catch_up()
            except Exception as error:
                protocol.fail("handle its input", error)
            if time.monotonic_ns() >= until_ns:
                break

    def tick(self) -> None:
        """Run the core's due timers; the flush sets the next timer."""
        self._timer = None
        self._timer_ms = None
        if self.is_frozen:
            return
        self.refresh_clock()
        self._do("do what is due", self._tick)
        self.turn()

    def _tick(self) -> None:
        self.broker.tick(self.broker.clock.now_ms)

    def _do(self, doing: str, step: Callable[[], object]) -> None:
        """Do a step of a turn, and report its failure, so that the next steps are done anyway.

        Failures of one client or queue are caught further inside (core/turn/faults.py).
        """
        try:
            step()
        except Exception as error:
            self.broker.faults.own(doing, error)

    async def durable(self) -> None:
        """Wait until all changes of definitions so far are durable."""
        revision = self.broker.revision
        await self.until(lambda: self.broker.durable_revision >= revision)

    async def until(self, is_done: Callable[[], bool]) -> None:
        """Wait until is_done() is true. It is called at the end of each turn. Raises: what is_done() raises."""
        if not is_done():
            waiting = self.loop.create_future()
            self._waiting.append((is_done, waiting))
            self.turn()
            await waiting

    def _tell_done(self) -> None:
        for is_done, waiting in self._waiting:
            if waiting.done():
                continue
            try:
                if is_done():
                    waiting.set_result(None)
            except Exception as error:  # concerns only this waiter
                waiting.set_exception(error)
        self._waiting = [(is_done, waiting) for is_done, waiting in self._waiting if not waiting.done()]

    def skip(self, duration_ms: int, are_clients_alive: bool) -> None:
        """Advance the clock at once: timers that fall due run in order, each at its time.

        are_clients_alive: heartbeats count as received and sent during this time.
        """
        self.refresh_clock()
        broker = self.broker
        until_ms = broker.clock.now_ms + duration_ms
        while (due_ms := broker.timers.next_ms()) is not None and due_ms <= until_ms:
            self._skip_to(due_ms)
            if are_clients_alive:
                for protocol in self.protocols.values():
                    protocol.conversation.seems_alive(due_ms)
            self._do("do what is due", self._tick)
            while broker.is_busy():
                self._do("do background work", broker.work)
        self._skip_to(until_ms)
        self._timer_ms = None  # set for the old time
        self.turn()

    def _skip_to(self, now_ms: int) -> None:
        """Advance the clock to now_ms, unless that is in the past."""
        ahead_ms = now_ms - self.broker.clock.now_ms
        if ahead_ms > 0:
            self.skipped_ms += ahead_ms
            self.broker.clock.now_ms = now_ms

    def freeze(self, is_frozen: bool) -> None:
        """Simulate a hanging process: do not read, send, or update the clock. False to continue."""
        self.is_frozen = is_frozen
        for protocol in self.protocols.values():
            protocol.obey_pause()
        if not is_frozen:
            self._began_ns = 0
            self.refresh_clock()
            self.turn()

    def _flush(self) -> None:
        self._scheduled = False
        if self.is_frozen:
            return
        if self.guard is not None:
            self.guard()
        broker = self.broker
        broker.share.begin()
        if self._put_off:
            self._catch_up()
        if broker.awake:
            self._send()
        try:  # as _do(), without a call for each turn
            broker.settle()
        except Exception as error:
            broker.faults.own("pump the queues", error)
        if broker.is_busy():
            until_ns = time.monotonic_ns() + WORK_NS
            while broker.is_busy() and time.monotonic_ns() < until_ns:
                self._do("do background work", broker.work)
        try:
            if broker.log.flush_urgent() and self._rest is None:
                self._rest = self.loop.call_later(REST_S, self._flush_rest)
        except Exception as error:
            broker.faults.own("write to the log", error)
        if broker.explanations or broker.faults.told:
            self._tell()
        if self._waiting:
            self._tell_done()
        if broker.awake or broker.is_busy() or self._put_off:
            self.turn()
        self._set_timer(broker.timers.next_ms())
        now_ns = time.monotonic_ns()
        broker.lag.note((now_ns - self._began_ns) // 1000)
        self._began_ns = now_ns if self._scheduled else 0

    def _send(self) -> None:
        """Flush connections for FLUSH_NS; the rest follow in the next turn."""
        broker = self.broker
        awake, broker.awake = broker.awake, []
        until_ns = time.monotonic_ns() + FLUSH_NS
        for at, sink in enumerate(awake):
            assert isinstance(sink, Conversation)
            protocol = self.protocols.get(sink.number)
            if protocol is None:
                continue
            try:
                protocol.flush()
            except Exception as error:
                protocol.fail("send", error)
            if time.monotonic_ns() >= until_ns:  # some have also handled waiting requests
                broker.awake = awake[at + 1 :] + broker.awake
                break

    def _flush_rest(self) -> None:
        self._rest = None
        self.refresh_clock()
        self._do("write to the log", self.broker.log.flush)
        self.turn()

    def _tell(self) -> None:
        """Log explanations and faults for the operator."""
        broker = self.broker
        explanations, broker.explanations = broker.explanations, []
        for text in explanations:
            log.warning("%s", text)
        faults, broker.faults.told = broker.faults.told, []
        for fault in faults:
            log.error("%s", fault, exc_info=fault.error)

    def _set_timer(self, due_ms: int | None) -> None:
        if due_ms is None or (self._timer_ms is not None and self._timer_ms <= due_ms):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_ms = due_ms
        delay_ms = max(due_ms - self.skipped_ms - time.monotonic_ns() // 1_000_000, 0)
        self._timer = self.loop.call_later(delay_ms / 1000, self.tick)

    def limit_sending(self, timeout_s: float) -> None:
        """Cut off clients that accept none of the data sent to them for timeout_s; 0 for no limit.

        Uses the machine's clock, unaffected by skip(), since this concerns sockets.
        """
        self._send_timeout_s = timeout_s
        if self._look is not None:
            self._look.cancel()
        self._look = self.loop.call_later(timeout_s / LOOKS, self._look_at, []) if timeout_s else None

    def _look_at(self, left: list[ClientProtocol]) -> None:
        """Check some clients for progress. left: the rest of a round; empty to begin a new one."""
        left = left or list(self.protocols.values())
        text = f"cut off: the client has accepted no data for {self._send_timeout_s:g} s"
        for _ in range(min(LOOKED_AT, len(left))):
            protocol = left.pop()
            try:
                if not protocol.conversation.finished and protocol.look_at_progress():
                    self.refresh_clock()
                    protocol.conversation.finish(text, RESET)
                    self.turn()
            except Exception as error:
                protocol.fail("check its send progress", error)
        self._look = self.loop.call_later(0 if left else self._send_timeout_s / LOOKS, self._look_at, left)

    async def shut_down(self, reason: str, patience_s: float) -> None:
        """Close every connection with 320, and wait up to patience_s for the answers."""
        for protocol in list(self.protocols.values()):
            protocol.conversation.force_close(reason)
        self.turn()
        deadline = self.loop.time() + patience_s
        await asyncio.sleep(0)  # it is sent in this turn
        while not all(each.is_through for each in self.protocols.values()) and self.loop.time() < deadline:
            await asyncio.sleep(0.01)
        for protocol in list(self.protocols.values()):
            protocol.abort()
        for timer in (self._timer, self._rest, self._look):
            if timer is not None:
                timer.cancel()
