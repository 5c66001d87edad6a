"""Links: the connections of a migration to both brokers, made anew when one of them comes back."""

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

RETRY_S: Final = (0.2, 0.5, 1.0, 2.0)  # between two attempts, the last one again and again
SLICE_S: Final = 0.1
NOT_FOUND: Final = 404
SETTLE_S: Final = (
    5.0  # in which a RabbitMQ that has started gives back what dead consumers had, before what is behind it
)


class Gone(Exception):
    """A broker went away and did not come back in time; the text says so."""


class Interrupted(Exception):
    """Somebody wants the migration to end now, whatever is on its way."""


class Patience(Protocol):
    """What a migration asks while it waits."""

    def between(self) -> None:
        """Called at least once a second. Raises: Interrupted when there is to be no more waiting."""

    def tell(self, text: str) -> None:
        """Say something to people."""


class Links:
    """Connections to one virtual host of both brokers. wait_s: for a broker that went away.

    renewed: called when there is a new connection to the source, which may deliver again what it has delivered.
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
        self._tags: frozenset[str] | None = None  # of the user at the target
        self._clients: list[AmqpClient] = []
        self._source: tuple[str, Source] | None = None
        self._sink: tuple[str, Sink] | None = None
        self._markers: dict[str, None] = {}  # virtual hosts of the target with a marker of ours
        self._blocked = ""  # why the target takes nothing
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
                    raise Gone(f"{self._target_side.shown} went away: {lost}") from None
                self._rest(RETRY_S[0])
                continue
            self._markers[vhost] = None
            self._sink = (vhost, sink)
        return self._sink[1]

    def drop_source(self, is_orderly: bool = False) -> None:
        """Let go of the connection to the source."""
        if self._source is not None:
            self._drop(self._source[1].client, is_orderly)
            self._source = None

    def drop_sink(self, is_orderly: bool = False) -> None:
        """Let go of the connection to the target."""
        if self._sink is not None:
            self._drop(self._sink[1].client, is_orderly)
            self._sink = None

    def lost_source(self, error: Exception) -> None:
        """The connection to the source broke: wait until it is there again. Raises: Gone, SideError, Interrupted."""
        assert self._source is not None
        vhost = self._source[0]
        self.drop_source()
        self._patience.tell(f"{self._source_side.shown} went away: {error}; waiting for it")
        client = self._redial(self._source_side, vhost)
        self._let_settle()
        self._source = (vhost, Source(client, self._window))
        self.renewed()

    def lost_sink(self, error: Exception) -> Sink:
        """The connection to the target broke: wait until it is there again. Raises: Gone, SideError, Interrupted."""
        assert self._sink is not None
        vhost = self._sink[0]
        self.drop_sink()
        self._patience.tell(f"{self._target_side.shown} went away: {error}; waiting for it")
        self._redial(self._target_side, vhost, is_trial=True)
        return self.sink(vhost)

    def end(self, is_over: bool) -> None:
        """Close both. is_over: nothing is left that the target would have to remember."""
        if is_over:
            with contextlib.suppress(Lost, Gone, SideError, Interrupted):
                for vhost in self._markers:
                    self.sink(vhost).end()
        self.drop_source(is_orderly=True)
        self.drop_sink(is_orderly=True)

    def pause(self) -> None:
        """Let both brokers know that somebody is there; called while something is waited for."""
        for client in self._clients:
            client.beat()
        reason = "" if self._sink is None else self._sink[1].client.is_blocked
        if reason and reason != self._blocked:
            self._patience.tell(f"{self._target_side.shown} takes no messages for now: {reason}")
        self._blocked = reason
        self._patience.between()

    def check_that_they_differ(self, vhost: str) -> None:
        """Raises: SideError when both are one broker, which would have no end."""
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
        """What the target has at a path of its API; None for nothing. Raises: Gone, SideError, Interrupted."""
        deadline = time.monotonic() + self._wait_s
        while True:
            try:
                return self._target_side.find(where)
            except SideError as error:
                if not error.is_gone or time.monotonic() > deadline:
                    raise
            self._rest(RETRY_S[-1])

    def _let_settle(self) -> None:
        """Wait a while, if the source has just started."""
        if self._source_side.is_leveret:
            return
        with contextlib.suppress(SideError):  # its API comes later
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
        """A connection to a broker that was there before, when it is there again. Raises: Gone, Interrupted."""
        deadline = time.monotonic() + self._wait_s
        attempt = 0
        while True:
            try:
                client = self._dial(side, vhost)
            except SideError as error:  # of any kind: a broker that starts refuses for all kinds of reasons
                if time.monotonic() > deadline:
                    raise Gone(
                        f"{side.shown} went away, and did not come back in {self._wait_s:g} s: {error}"
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
