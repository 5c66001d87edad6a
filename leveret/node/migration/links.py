"""Links: the connections of a migration to both brokers, with reconnection."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Any, Final, Protocol

from leveret.node.amqp import AmqpClient, AmqpError
from leveret.node.migration.journal import Journal
from leveret.node.migration.side import Side, SideError
from leveret.node.migration.sink import BROKEN, PREFIX, Lost, Sink
from leveret.node.migration.source import Source
from leveret.wire.methods import QueueDeclare, QueueDeclareOk, QueueDelete, QueueDeleteOk

RETRY_S: Final = (0.2, 0.5, 1.0, 2.0)  # delays between attempts; the last one repeats
SLICE_S: Final = 0.1
NOT_FOUND: Final = 404
SETTLE_S: Final = 5.0  # in which a restarted RabbitMQ requeues messages of dead consumers, so that their order is kept


class Gone(Exception):
    """A broker disconnected and did not come back in time. The text says which."""


class Interrupted(Exception):
    """The user wants the migration to end now, even with messages in flight."""


class Patience(Protocol):
    """Callbacks of a migration while it waits."""

    def between(self) -> None:
        """Called at least once a second. Raises: Interrupted, to stop waiting."""

    def tell(self, text: str) -> None:
        """Print a note."""


class Links:
    """Connections to one virtual host of both brokers. wait_s: maximum wait for a lost broker, in seconds.

    renewed: called after a new connection to the source, which may redeliver messages.
    """

    def __init__(
        self, source: Side, target: Side, journal: Journal, window: int, wait_s: float, patience: Patience
    ) -> None:
        self._source_side = source
        self._target_side = target
        self._journal = journal
        self._window = window
        self._wait_s = wait_s
        self._patience = patience
        self._tags: frozenset[str] | None = None  # tags of the user in the target
        self._clients: list[AmqpClient] = []
        self._source: tuple[str, Source] | None = None
        self._sink: tuple[str, Sink] | None = None
        self._markers: dict[str, None] = {}  # virtual hosts of the target that contain our marker
        self._blocked = ""  # why the target blocks publishers
        self.renewed: Callable[[], None] = lambda: None

    def source(self, vhost: str) -> Source:
        """The source of a virtual host. Raises: Gone, SideError, Interrupted."""
        if self._source is not None and self._source[0] != vhost:
            self.drop_source(is_orderly=True)
        if self._source is None:
            client = self._dial(self._source_side, vhost)
            self._let_settle()
            self._source = (vhost, Source(client, self._window))
            self.renewed()
        return self._source[1]

    def sink(self, vhost: str) -> Sink:
        """The sink of a virtual host. Raises: Gone, SideError, Interrupted."""
        if self._sink is not None and self._sink[0] != vhost:
            self.drop_sink(is_orderly=True)
        deadline = time.monotonic() + self._wait_s
        while self._sink is None:
            client = self._dial(self._target_side, vhost)
            sink = Sink(client, self._target_side, vhost, self._journal.name, self._user_tags())
            try:
                sink.begin()
                if self._journal.pending() is None:
                    sink.check_marker(self._journal.last)
            except Lost as lost:
                client.drop()
                self._clients.remove(client)
                if time.monotonic() > deadline:
                    raise Gone(f"lost connection to {self._target_side.shown}: {lost}") from None
                self._rest(RETRY_S[0])
                continue
            self._markers[vhost] = None
            self._sink = (vhost, sink)
        return self._sink[1]

    def drop_source(self, is_orderly: bool = False) -> None:
        """Close the connection to the source."""
        if self._source is not None:
            self._drop(self._source[1].client, is_orderly)
            self._source = None

    def drop_sink(self, is_orderly: bool = False) -> None:
        """Close the connection to the target."""
        if self._sink is not None:
            self._drop(self._sink[1].client, is_orderly)
            self._sink = None

    def lost_source(self, error: Exception) -> None:
        """Reconnect to the source after a lost connection. Raises: Gone, SideError, Interrupted."""
        assert self._source is not None
        vhost = self._source[0]
        self.drop_source()
        self._patience.tell(f"lost connection to {self._source_side.shown}: {error}; waiting for it")
        client = self._redial(self._source_side, vhost)
        self._let_settle()
        self._source = (vhost, Source(client, self._window))
        self.renewed()

    def lost_sink(self, error: Exception) -> Sink:
        """Reconnect to the target after a lost connection. Raises: Gone, SideError, Interrupted."""
        assert self._sink is not None
        vhost = self._sink[0]
        self.drop_sink()
        self._patience.tell(f"lost connection to {self._target_side.shown}: {error}; waiting for it")
        self._redial(self._target_side, vhost, is_trial=True)
        return self.sink(vhost)

    def end(self, is_over: bool) -> None:
        """Close both connections. is_over: the migration is complete, so remove the markers in the target."""
        if is_over:
            with contextlib.suppress(Lost, Gone, SideError, Interrupted):
                for vhost in self._markers:
                    self.sink(vhost).end()
        self.drop_source(is_orderly=True)
        self.drop_sink(is_orderly=True)

    def pause(self) -> None:
        """Send heartbeats to both brokers; called repeatedly while waiting."""
        for client in self._clients:
            client.beat()
        reason = "" if self._sink is None else self._sink[1].client.is_blocked
        if reason and reason != self._blocked:
            self._patience.tell(f"{self._target_side.shown} is blocking publishers: {reason}")
        self._blocked = reason
        self._patience.between()

    def check_that_they_differ(self, vhost: str) -> None:
        """Raises: SideError if both are the same broker, as the migration would never end."""
        name = f"{PREFIX}{self._journal.name}.here"
        self.sink(vhost).client.call(QueueDeclare(name, exclusive=True), QueueDeclareOk)
        source = self.source(vhost)
        try:
            source.client.call(QueueDeclare(name, passive=True), QueueDeclareOk)
        except AmqpError as error:
            if not error.is_channel:
                raise
            source.client.reopen()
            is_other = error.code == NOT_FOUND
        else:
            is_other = False
        self.sink(vhost).client.call(QueueDelete(name), QueueDeleteOk)
        if not is_other:
            raise SideError(f"{self._source_side.shown} and {self._target_side.shown} are the same broker")

    def ask_target(self, where: str) -> Any:
        """GET a path of the target's API; None if not found. Raises: Gone, SideError, Interrupted."""
        deadline = time.monotonic() + self._wait_s
        while True:
            try:
                return self._target_side.find(where)
            except SideError as error:
                if not error.is_gone or time.monotonic() > deadline:
                    raise
            self._rest(RETRY_S[-1])

    def _let_settle(self) -> None:
        """Wait SETTLE_S after the start of the source."""
        if self._source_side.is_leveret:
            return
        with contextlib.suppress(SideError):  # its API may start later
            nodes = self._source_side.get("/nodes")
            uptimes = [node.get("uptime", 0) for node in nodes if isinstance(node, dict)]
            self._rest(SETTLE_S - min(uptimes, default=0) / 1000)
            return
        self._rest(SETTLE_S)

    def _rest(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            time.sleep(SLICE_S)
            self.pause()

    def _drop(self, client: AmqpClient, is_orderly: bool) -> None:
        if client in self._clients:
            self._clients.remove(client)
        if is_orderly:
            client.close()
        else:
            client.drop()

    def _dial(self, side: Side, vhost: str) -> AmqpClient:
        try:
            client = side.dial(vhost, self.pause)
        except AmqpError as error:
            raise SideError(f"{side.shown}: {error}", error.code in BROKEN) from None
        self._clients.append(client)
        return client

    def _redial(self, side: Side, vhost: str, is_trial: bool = False) -> AmqpClient:
        """Reconnect to a broker that was reachable before. Raises: Gone, Interrupted."""
        deadline = time.monotonic() + self._wait_s
        attempt = 0
        while True:
            try:
                client = self._dial(side, vhost)
            except SideError as error:  # any, as a starting broker refuses for various reasons
                if time.monotonic() > deadline:
                    raise Gone(
                        f"lost connection to {side.shown}, which did not come back within {self._wait_s:g} s: {error}"
                    ) from None
                self._rest(RETRY_S[min(attempt, len(RETRY_S) - 1)])
                attempt += 1
                continue
            if is_trial:
                self._drop(client, True)
            return client

    def _user_tags(self) -> frozenset[str]:
        if self._tags is None:
            tags = (self.ask_target("/whoami") or {}).get("tags", [])
            self._tags = frozenset(tags.split(",") if isinstance(tags, str) else tags)
        return self._tags
