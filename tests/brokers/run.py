"""Run: a broker on a data directory without sockets, and one client; clocks and commits go on when a test says so."""

from __future__ import annotations

from pathlib import Path

from leveret.core.turn.clock import Clock
from leveret.store.chunk_log import LOAD_BYTES
from leveret.wire.fields import Table, long, longstr
from leveret.wire.methods import BasicGet, BasicPublish
from leveret.wire.properties import BasicProperties
from tests.brokers.on_disk import OnDisk
from tests.clients.socketless import Got, Peer, turn

START_MS = 1_700_000_000_000  # since 1970


class Run(OnDisk):
    """One life of a broker on a data directory.

    now_ms: its clock at the start, unrelated to wall_ms. load_bytes: of messages that a start brings into memory.
    """

    load_bytes = LOAD_BYTES

    def __init__(self, directory: Path, now_ms: int, wall_ms: int) -> None:
        super().__init__(directory, Clock(now_ms, wall_ms), wall_ms, self.load_bytes)
        self.now_ms = now_ms
        self.pass_ms(0)
        self.peer = Peer(self.broker)

    def queue(self, name: str, **arguments: object) -> None:
        """Make a durable queue; argument names are written with underscores."""
        table: Table = {
            key.replace("_", "-"): long(value) if isinstance(value, int) else longstr(str(value))
            for key, value in arguments.items()
        }
        self.broker.vhosts["/"].make_queue(name, True, 0, False, table)

    def publish(
        self,
        key: str,
        body: bytes,
        expiration: str | None = None,
        headers: Table | None = None,
        delivery_mode: int | None = 2,
        priority: int | None = None,
    ) -> None:
        """Publish a message, by default a persistent one."""
        properties = BasicProperties()
        properties.delivery_mode = delivery_mode
        properties.priority = priority
        properties.expiration = expiration
        properties.headers = headers
        self.peer.send(BasicPublish("", key), body, properties)

    def get(self, queue: str, no_ack: bool = True) -> Got:
        """Fetch a message."""
        self.peer.send(BasicGet(queue, no_ack))
        (got,) = self.peer.got()
        return got

    def pass_ms(self, milliseconds: int) -> None:
        """Time passes."""
        self.now_ms += milliseconds
        self.broker.tick(self.now_ms)

    def ready(self, queue: str) -> int:
        """How many messages wait."""
        turn(self.broker)
        return len(self.broker.vhosts["/"].queues[queue].ready)

    def commit(self) -> None:
        """Wait until everything is on the disk."""
        turn(self.broker)
        self.wait_for_commit()

    def end(self) -> None:
        """The broker stops."""
        turn(self.broker)
        self.log.close()
