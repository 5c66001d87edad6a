"""Life: a broker on a data directory without sockets, from a start to a clean end or to a kill -9."""

from __future__ import annotations

import shutil
from pathlib import Path

from leveret.core.access.user import Credential, Permission, User
from leveret.core.turn.clock import Clock
from leveret.node.defaults import make_defaults
from leveret.store.rescue.maintenance import backup
from leveret.wire.constants import INTERNAL_ERROR
from leveret.wire.methods import (
    BasicAck,
    BasicPublish,
    ChannelClose,
    ConfirmSelect,
    ConfirmSelectOk,
    ConnectionClose,
    Method,
)
from leveret.wire.properties import BasicProperties
from tests.brokers.on_disk import OnDisk
from tests.clients.socketless import Peer, turn

WALL_MS = 1_700_000_000_000


class Life(OnDisk):
    """A broker, and clients that come for one method and go. told: what it had to explain at its start."""

    def __init__(self, directory: Path, now_ms: int) -> None:
        self.directory = directory
        super().__init__(directory, Clock(now_ms, WALL_MS + now_ms), now_ms)
        self.told = list(self.broker.explanations)
        make_defaults(self.broker)
        self.finish()

    def step(self) -> None:
        """One turn of the event loop, and what it wrote is on the disk."""
        turn(self.broker)
        revision = self.broker.revision
        while self.broker.durable_revision < revision:
            self.wait_for_commit()

    def finish(self) -> None:
        """All turns until there is nothing left to do or to write."""
        self.step()
        while self.broker.is_busy() or self.broker.durable_revision < self.broker.revision:
            self.step()

    def peer(self, vhost: str) -> Peer:
        """A client who may do everything there."""
        user = User("everybody", Credential("", ""), ())
        user.permissions[vhost] = Permission(".*", ".*", ".*", self.broker.matcher)
        return Peer(self.broker, user=user, vhost=vhost)

    def call(self, vhost: str, method: Method) -> None:
        """What a client asks; it may be refused, but not because the broker fails."""
        if vhost not in self.broker.vhosts:
            return
        peer = self.peer(vhost)
        peer.send(method)
        for got in peer.got():
            if isinstance(got.method, ConnectionClose | ChannelClose):
                assert got.method.reply_code != INTERNAL_ERROR, got.method
        peer.connection.lost()
        self.finish()

    def publish(self, vhost: str, exchange: str, properties: BasicProperties) -> None:
        """A message, which is confirmed."""
        peer = self.peer(vhost)
        peer.call(ConfirmSelect(), ConfirmSelectOk)
        peer.send(BasicPublish(exchange, "k"), b"", properties)
        while not any(isinstance(got.method, BasicAck) for got in peer.got()):
            self.wait_for_commit()
        peer.connection.lost()
        self.finish()

    def end(self) -> None:
        """The broker stops."""
        self.broker.finish()
        self.log.close()

    def kill(self) -> Path:
        """The broker is killed: nothing comes to its disk any more. Returns: the directory, as it was then."""
        place = self.directory.with_name(self.directory.name + "k")
        backup(self.directory, place, lambda done, total: None)
        self.log.close()  # of a broker that nobody looks at any more
        shutil.rmtree(self.directory)
        return place
