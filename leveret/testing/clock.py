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

__tracebackhide__ = True  # from pytest, which shows the line of the test then
QUIET_S: Final = 0.01  # without anything on its way, before auto() goes on
KEPT_WAITING: Final = (AckTimeout, Deadline, Heartbeat, LeaseWatch)  # for what auto() does not let time pass


class Clock:
    """The broker's time: it goes on as the machine's does, and as much faster as a test wants.

    Only the broker's: what a client sleeps, or waits for, is the client's own.
    """

    def __init__(self, server: Server, faults: Faults) -> None:
        self._server = server
        self._faults = faults  # which end with the virtual host, as auto() does

    def __repr__(self) -> str:
        if not self._server.is_running:
            return "<clock of a broker that does not run>"
        try:
            return f"<clock at {datetime.fromtimestamp(self.now(), UTC):%Y-%m-%d %H:%M:%S} UTC>"
        except RuntimeError:  # asked for from outside of its event loop
            return "<clock of a broker>"

    def now(self) -> float:
        """Seconds since 1970, as the broker sees it."""
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
        """Let so much time pass at once. What falls due in it happens in its order, each at its time: messages and
        queues expire, delayed messages come, deliveries are not acknowledged for too long.

        heartbeats: clients that send none meanwhile are given up, as if they had hung; otherwise they are taken for
        having sent them. Cost: of what happens.
        """
        duration_ms = round((seconds + 60 * minutes + 3600 * hours + 86400 * days) * 1000)
        if duration_ms < 0:
            raise ValueError("time goes forward only")
        self._server.call(lambda: self._server.node.driver.skip(duration_ms, not heartbeats))

    def auto(self) -> Fault:
        """From now on, whenever nothing is on its way, let the time pass until something happens: a message or a queue
        expires, a delayed message comes. A delivery that somebody has not acknowledged is on its way.

        Ends with end() of what is returned, or with the `with` block.
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
