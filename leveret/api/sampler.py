"""Sampler: copies all counters into a History every few seconds.

It works in slices and takes at most one fiftieth of the time: if one round takes long, rounds are less frequent.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import resource
import time
from typing import Final

import psutil

from leveret.api.history import BASIC, DETAILED, GLOBAL, History, Values, numbers
from leveret.api.turns import Turns
from leveret.core.broker import Broker
from leveret.core.counting.counters import ClientCounters, Deliveries
from leveret.core.exchange.exchange import Exchange
from leveret.core.queue.queue import Queue
from leveret.core.vhost import VirtualHost
from leveret.session.connection.connection import Connection

INTERVAL_S: Final = 5.0
SHARE: Final = 50  # rounds take at most 1/SHARE of the time

PUBLISHES: Final = ("publish", "confirm", "return_unroutable", "drop_unroutable")
DELIVERIES: Final = (
    "deliver",
    "deliver_no_ack",
    "get",
    "get_no_ack",
    "get_empty",
    "redeliver",
    "ack",
    "deliver_get",
)
LENGTHS: Final = ("messages", "messages_ready", "messages_unacknowledged")
BYTES: Final = ("recv_oct", "send_oct")
CHURN: Final = (
    "connection_created",
    "connection_closed",
    "channel_created",
    "channel_closed",
    "queue_declared",
    "queue_created",
    "queue_deleted",
)
QUEUE: Final = numbers("publish", *DELIVERIES, *LENGTHS)
EXCHANGE: Final = numbers("publish_in", "publish_out")
CHANNEL: Final = numbers(*PUBLISHES, *DELIVERIES)
CONNECTION: Final = numbers(*BYTES)
VHOST: Final = numbers(*PUBLISHES, *DELIVERIES, *BYTES, *LENGTHS)
BROKER: Final = numbers(*PUBLISHES, *DELIVERIES, *BYTES, *LENGTHS, *CHURN)
NODE: Final = numbers("mem_used", "fd_used", "sockets_used", "proc_used", "disk_free")

log = logging.getLogger("leveret.api")


def deliveries(counters: Deliveries) -> Values:
    """The values of DELIVERIES, in this order."""
    sent = counters.delivered + counters.delivered_no_ack + counters.got + counters.got_no_ack
    return (
        counters.delivered,
        counters.delivered_no_ack,
        counters.got,
        counters.got_no_ack,
        counters.get_empty,
        counters.redelivered,
        counters.acked,
        sent,
    )


def publishes(counters: ClientCounters) -> Values:
    """The values of PUBLISHES, in this order."""
    lost = counters.unroutable - counters.returned
    return (counters.published, counters.confirmed, counters.returned, lost)


def of_queue(queue: Queue) -> Values:
    """The values of QUEUE, in this order."""
    total = queue.total()
    ready, unacked = len(queue.ready) + len(queue.retries), int(queue.unacked)
    return (total.published, *deliveries(total), ready + unacked, ready, unacked)


def of_exchange(exchange: Exchange) -> Values:
    """The values of EXCHANGE, in this order."""
    total = exchange.counters.total()
    return (total.published, total.routed)


def of_channel(counters: ClientCounters) -> Values:
    """The values of CHANNEL, in this order."""
    return (*publishes(counters), *deliveries(counters))


def of_churn(broker: Broker) -> Values:
    """The values of CHURN, in this order."""
    churn = broker.churn
    return (
        churn.connections_opened,
        churn.connections_closed,
        churn.channels_opened,
        churn.channels_closed,
        churn.queues_declared,
        churn.queues_created,
        churn.queues_deleted,
    )


def plus(one: Values, other: Values) -> Values:
    """The sum, number by number."""
    return tuple(map(int.__add__, one, other))


class Totals:
    """The totals of the clients and queues of one virtual host, during a round."""

    def __init__(self, vhost: VirtualHost) -> None:
        past = vhost.past.connections
        self.clients = of_channel(past)
        self.bytes: Values = (past.bytes_in, past.bytes_out)
        self.lengths: Values = (0, 0, 0)

    @property
    def values(self) -> Values:
        """The values of VHOST, in this order."""
        return (*self.clients, *self.bytes, *self.lengths)


class Sampler:
    """Samples one broker, from start() to stop(). interval_s: time from one round to the next, if rounds are short.

    looked: an event that is set at the end of a round and then replaced.
    """

    def __init__(self, broker: Broker, turns: Turns, machine: Machine, interval_s: float = INTERVAL_S) -> None:
        self.history = History()
        self._broker = broker
        self._turns = turns
        self._machine = machine
        self._interval_s = interval_s
        self._task: asyncio.Task[None] | None = None
        self.looked = asyncio.Event()

    def start(self) -> None:
        """Sample now, and then every few seconds."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    def stop(self) -> None:
        """Stop sampling."""
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        while True:
            began_s = time.perf_counter()
            try:
                await self.look()
            except Exception:
                log.exception("cannot sample statistics; trying again")
            spent_s = time.perf_counter() - began_s
            await asyncio.sleep(max(self._interval_s - spent_s, spent_s * SHARE))

    async def look(self) -> None:
        """Run one round."""
        await self._look()
        looked, self.looked = self.looked, asyncio.Event()
        looked.set()

    async def _look(self) -> None:
        history = self.history
        history.begin()
        async with self._turns:
            totals = {vhost: Totals(vhost) for vhost in self._broker.vhosts.values()}
            await self._look_at_clients(totals)
            for vhost, total in totals.items():
                await self._look_at_vhost(vhost, total)
            now_ms = self._now_ms()
            values: Values = (0,) * len(VHOST)
            for vhost, total in totals.items():
                history.note(vhost, VHOST, BASIC).add(now_ms, total.values)
                values = plus(values, total.values)
            history.note(self._broker, BROKER, GLOBAL).add(now_ms, (*values, *of_churn(self._broker)))
            history.note(self._machine, NODE, BASIC).add(now_ms, self._machine.values())
            for _ in history.end():
                await self._turns.rest()

    async def _look_at_clients(self, totals: dict[VirtualHost, Totals]) -> None:
        history = self.history
        for client in list(self._broker.connections.values()):
            if not isinstance(client, Connection):
                continue
            client.count_routes()
            now_ms = self._now_ms()
            for channel in client.channels.values():
                history.note(channel, CHANNEL, DETAILED).add(now_ms, of_channel(channel.counters.total()))
            total = client.total()
            sizes: Values = (total.bytes_in, total.bytes_out)
            history.note(client, CONNECTION, DETAILED).add(now_ms, sizes)
            found = totals.get(client.vhost)
            if found is not None:
                found.clients = plus(found.clients, of_channel(total))
                found.bytes = plus(found.bytes, sizes)
            await self._turns.rest()

    async def _look_at_vhost(self, vhost: VirtualHost, total: Totals) -> None:
        history = self.history
        for exchange in list(vhost.exchanges.values()):
            history.note(exchange, EXCHANGE, DETAILED).add(self._now_ms(), of_exchange(exchange))
            await self._turns.rest()
        for queue in list(vhost.queues.values()):
            values = of_queue(queue)
            history.note(queue, QUEUE, DETAILED).add(self._now_ms(), values)
            total.lengths = plus(total.lengths, values[-len(LENGTHS) :])
            await self._turns.rest()

    def _now_ms(self) -> int:
        return self._broker.clock.today_ms


class Machine:
    """Measures the process and its machine."""

    def __init__(self, broker: Broker, directory: str) -> None:
        self._broker = broker
        self._directory = directory
        self._process = psutil.Process()
        self._known = (0, 0, 1)  # bytes, files, threads

    def values(self) -> Values:
        """The values of NODE, in this order."""
        sockets = len(self._broker.connections) - self._broker.leased
        process = self._process
        with contextlib.suppress(OSError), process.oneshot():  # without a free file descriptor the old values stay
            self._known = (process.memory_info().rss, process.num_fds(), process.num_threads())
        memory, files, threads = self._known
        return (memory, files, sockets, threads, self.free_bytes())

    def free_bytes(self) -> int:
        """Free bytes on the disk of the data directory."""
        try:
            return int(psutil.disk_usage(self._directory or "/").free)
        except OSError:
            return 0


def most_threads() -> int:
    """Approximate limit of threads for this process: that of its user or of the machine; 2**20 without a limit."""
    limits = [1 << 20]
    soft, _ = resource.getrlimit(resource.RLIMIT_NPROC)
    if soft != resource.RLIM_INFINITY:
        limits.append(soft)
    try:
        with open("/proc/sys/kernel/threads-max", encoding="ascii") as file:
            limits.append(int(file.read()))
    except (OSError, ValueError):
        pass
    return min(limits)
