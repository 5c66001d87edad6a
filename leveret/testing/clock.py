"""The clock of an embedded broker, which tests can move."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from leveret.core.client.leased import LeaseWatch
from leveret.core.turn.clock import Timed
from leveret.session.connection.deadline import Deadline
from leveret.session.connection.heartbeat import Heartbeat
from leveret.session.consume.ack_timeout import AckTimeout
from leveret.testing.faults import Fault, Faults

if TYPE_CHECKING:
    from leveret.testing.server import Server

__tracebackhide__ = True  # so that pytest shows the line of the test
QUIET_S: Final = 0.01  # of idleness before auto() advances the clock
KEPT_WAITING: Final = (AckTimeout, Deadline, Heartbeat, LeaseWatch)  # timers that auto() does not advance to


class Clock:
    """The broker's clock. It follows the machine's clock, and tests can advance it.

    It only affects the broker; clients use their own clocks.
    """

    def __init__(self, server: Server, faults: Faults) -> None:
        self._server = server
        self._faults = faults  # auto() ends with the virtual host, as faults do

    def __repr__(self) -> str:
        if not self._server.is_running:
            return "<clock of a broker that is not running>"
        try:
            return f"<clock at {datetime.fromtimestamp(self.now(), UTC):%Y-%m-%d %H:%M:%S} UTC>"
        except RuntimeError:  # called outside of its event loop
            return "<clock of a broker>"

    def now(self) -> float:
        """The broker's time in seconds since 1970."""
        return self._server.call(lambda: self._server.broker.clock.today_ms) / 1000

    def advance(
        self,
        seconds: float = 0,
        *,
        minutes: float = 0,
        hours: float = 0,
        days: float = 0,
        heartbeats: bool = False,
    ) -> None:
        """Advance the clock. Everything that becomes due happens in order, each at its time: messages and queues
        expire, delayed messages arrive, consumers exceed their acknowledgement timeout.

        heartbeats: disconnect clients that send none, as if they had hung; otherwise heartbeats count as received.
        Cost: proportional to the events that become due.
        """
        duration_ms = round((seconds + 60 * minutes + 3600 * hours + 86400 * days) * 1000)
        if duration_ms < 0:
            raise ValueError("the clock can only be advanced")
        self._server.call(lambda: self._server.node.driver.skip(duration_ms, not heartbeats))

    def auto(self) -> Fault:
        """From now on, whenever the broker is idle, advance the clock to the next event: a message or queue expires, or
        a delayed message arrives. The broker is not idle while there are unacknowledged deliveries.

        Ends with end() of the result, or with the `with` block.
        """
        server = self._server
        task = server.call(lambda: server.spawn(self._go_on()))
        return self._faults.begun(task.cancel)

    async def _go_on(self) -> None:
        server = self._server
        while True:
            bytes_read = server.node.bytes_read
            await asyncio.sleep(QUIET_S)
            if (
                server.is_running
                and server.node.bytes_read == bytes_read
                and all(map(server.is_idle, server.broker.vhosts))
            ):
                due_ms = min((at_ms for at_ms, who in server.broker.timers.waiting() if _counts(who)), default=None)
                if due_ms is not None:
                    driver = server.node.driver
                    driver.refresh_clock()
                    driver.skip(max(due_ms - server.broker.clock.now_ms, 0), True)


def _counts(who: Timed) -> bool:
    return not isinstance(who, KEPT_WAITING)
