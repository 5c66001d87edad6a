"""Node: a broker of the simulated cluster, with its log, its shards and its clients, from its start to its end."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

from leveret.cluster.feed import News
from leveret.cluster.loader import Batch
from leveret.cluster.membership import AGAIN_S, BEAT_S, CERTAIN_S
from leveret.cluster.ownership import Changes, Ownership, Rounds
from leveret.cluster.schema import SHARDS
from leveret.core.broker import Broker
from leveret.core.client.conversation import Conversation
from leveret.core.turn.alarms import DISK
from leveret.core.turn.clock import Clock
from leveret.node.monitors.database import AGAIN_CHECKS, CHECK_S
from leveret.node.shards import Shards
from leveret.server.driver import REST_S
from leveret.store.chunk_log import ChunkLog
from leveret.store.shards import shard_of_queue
from tests.simulation import statements
from tests.simulation.agenda import Action, Violation
from tests.simulation.rounds import Round, Unreachable
from tests.simulation.server import Connection, Done, Outcome, Site
from tests.simulation.store import Store, heads

if TYPE_CHECKING:
    from tests.simulation.world import World

POLL_MS: Final = 1000  # of the feed
BATCH: Final = 3  # chunks
START_MS: Final = 1_700_000_000_000


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


class Outlet(Protocol):
    """Where the bytes for a client go."""

    def sent(self, data: bytes) -> None:
        """The node sends bytes."""

    def lost(self) -> None:
        """The node is gone, or has closed the connection."""


class Seconds(Ownership):
    """An Ownership that counts seconds instead of its beats. now_ms: the time."""

    now_ms = 0

    def round(self, rounds: Rounds) -> Changes:
        """See Ownership."""
        self._beats = self.now_ms // _ms(BEAT_S)
        return super().round(rounds)


class Node(Site):
    """A process. on_end: called when it ends by itself. id: 0 until it has entered. is_up: whether it serves clients.

    stopped_ms: since when it is stopped; None if it runs.
    """

    def __init__(self, world: World, name: str, seed: int, on_end: Callable[[Node], None]) -> None:
        super().__init__(name)
        self.world = world
        self.agenda = world.agenda
        self.server = world.server
        self.on_end = on_end
        self.is_up = False
        self.is_dead = False
        self.stopped_ms: int | None = None
        self.up_ms = 0  # since when it serves clients
        self.clients: dict[Conversation, Outlet] = {}
        self._seed = seed
        self._deferred: list[tuple[bool, Action]] = []
        self._ownership = Ownership(name, name) if world.rules.own_beats else Seconds(name, name)
        self._beats: Connection | None = None
        self._beat_ms = 0  # when the last one that was committed was sent
        self._has_failed = False
        self._checks = 0
        self._tick_ms: int | None = None
        self._is_resting = False
        self._feed: Connection | None = None
        self._revision = 0
        self._told: int | None = 0  # the last News.durable
        self._is_reading_news = False
        self._must_read_news = False
        self._loads: deque[tuple[list[int], bool]] = deque()
        self._loader: Connection | None = None
        self._open: list[Connection] = []
        self._connect(self._enter)

    @property
    def id(self) -> int:
        """Its number."""
        return self._ownership.node

    # -- the process

    def post(self, action: Action) -> None:
        """See Site."""
        self._post(action, False)

    def _post(self, action: Action, is_input: bool) -> None:
        if self.is_dead:
            return
        if self.stopped_ms is not None:
            self._deferred.append((is_input, action))
        else:
            action()

    def later(self, delay_ms: int, action: Action) -> None:
        """Do something after some time."""
        self.agenda.after(delay_ms, lambda: self.post(action))

    def stop(self) -> None:
        """It is stopped, and does nothing."""
        self.stopped_ms = self.agenda.now_ms
        self.hurt_ms = 1 << 62

    def go_on(self) -> None:
        """It continues: as an event loop does, it may read its sockets before it looks at its timers."""
        self.stopped_ms = None
        self.hurt_ms = self.agenda.now_ms
        deferred, self._deferred = self._deferred, []
        if self.agenda.chance(0.5):
            deferred.sort(key=lambda each: not each[0])
        for is_input, action in deferred:
            self._post(action, is_input)

    def kill(self) -> None:
        """It ends at once."""
        self.is_dead = True
        self.is_up = False
        self.server.on_change.pop(self, None)
        self.server.break_connections(self)
        for outlet in self.clients.values():
            outlet.lost()

    def _end(self, reason: str) -> None:
        self.agenda.note(f"{self.name}: ends, {reason}")
        self.kill()
        self.on_end(self)

    def _connect(self, then: Callable[[Connection], None]) -> None:
        """Connect, however often that takes."""

        def connected(connection: Connection | None) -> None:
            if connection is None:
                self.later(_ms(AGAIN_S), lambda: self._connect(then))
            else:
                then(connection)

        self.server.connect(self, connected)

    # -- start

    def _enter(self, connection: Connection) -> None:
        self._beats = connection
        sent_ms = self.agenda.now_ms

        def entered(result: object) -> None:
            if isinstance(result, Unreachable):
                self._end("the database was lost while it started")
                return
            self._beat_ms = sent_ms
            self.agenda.note(f"{self.name}: is node {self.id}")
            self._connect(self._take_connection)

        def enter(rounds: Rounds) -> bool:
            self._ownership.enter(rounds)
            return True

        Round(self._ownership, connection, enter, entered)

    def _take_connection(self, connection: Connection) -> None:
        self._open.append(connection)
        if len(self._open) < 4:
            self._connect(self._take_connection)
        else:
            self._open[0].ask(statements.definitions(), self._begin)

    def _begin(self, outcome: Outcome) -> None:
        if not isinstance(outcome, Done):
            self._end("the database was lost while it started")
            return
        commits, reads, self._feed, self._loader = self._open
        definitions, self._revision = outcome.value
        store = Store(
            self.server, self, self.id, (commits, reads), definitions, self.world.rules, lambda why: self._end(why)
        )
        self.store = store
        self.log = ChunkLog(store, lambda: self.later(0, self._on_committed))
        clock = Clock(self.agenda.now_ms, START_MS + self.agenda.now_ms)
        self.broker = self._make_broker(clock)
        self.shards = Shards(self.broker, self.log, SHARDS, self._load, lambda shard: "")
        self.broker.recover()
        self.shards.begin(self._revision)
        self.is_up = True
        self.up_ms = self.agenda.now_ms
        self.server.on_change[self] = lambda: self.post(self._read_news)
        self._round(self.agenda.now_ms)
        self._poll()
        self._check()
        self.turn()

    def _make_broker(self, clock: Clock) -> Broker:
        broker = Broker(self.log, self.log, clock, seed=self._seed, node=self.name)
        self.log.listener = broker.news
        return broker

    # -- rounds

    def _round(self, due_ms: int) -> None:
        """A beat, and what follows from it."""
        due_ms = max(due_ms, self.agenda.now_ms)
        sent_ms = self.agenda.now_ms
        connection, ownership = self._beats, self._ownership
        assert connection is not None

        def next_round() -> None:
            wait_ms = max(due_ms + _ms(BEAT_S) - self.agenda.now_ms, 0)
            self.later(wait_ms, lambda: self._round(due_ms + _ms(BEAT_S)))

        def after_beat(lives: object) -> None:
            if isinstance(lives, Unreachable):
                self._again(lives, next_round)
            elif not lives:
                self._end("it finds no beat of its own")
            else:
                self._beat_ms = sent_ms
                if isinstance(ownership, Seconds):
                    ownership.now_ms = self.agenda.now_ms
                Round(ownership, connection, ownership.round, after_round)

        def after_round(changes: object) -> None:
            if isinstance(changes, Unreachable):
                self._again(changes, next_round)
                return
            assert isinstance(changes, Changes)
            self._apply(changes)
            if not self.is_dead:
                next_round()

        Round(ownership, connection, ownership.beat, after_beat)

    def _again(self, error: Unreachable, next_round: Action) -> None:
        """A round has failed. If the connection is lost, get another one."""

        def connected(connection: Connection) -> None:
            self._beats = connection
            next_round()

        if error.is_locked:
            next_round()
            return
        assert self._beats is not None
        self._beats.close()
        self.later(_ms(AGAIN_S), lambda: self._connect(connected))

    def _apply(self, changes: Changes) -> None:
        for dead in changes.deaths:
            self.agenda.note(f"{self.name}: declares node {dead.id} dead")
            self.world.died(dead.id)
        if changes.lost:
            self._end(changes.lost)
        elif changes.gained or changes.hand_over:
            self.agenda.note(f"{self.name}: gains {len(changes.gained)}, hands over {len(changes.hand_over)}")
            self.later(self.agenda.some_ms(0, 3), lambda: self._change_shards(changes))

    def _change_shards(self, changes: Changes) -> None:
        self.refresh()
        if changes.gained:
            self.shards.gained(changes.gained)
        if changes.hand_over:
            self.shards.hand_over(changes.hand_over)
        self.turn()

    # -- loads

    def _load(self, shards: list[int], was_clean: bool) -> None:
        self._loads.append((shards, was_clean))
        if len(self._loads) == 1:
            self._load_next()

    def _load_next(self) -> None:
        assert self._loader is not None
        self._loader.ask(heads(self._loads[0][0]), self._loaded)

    def _loaded(self, outcome: Outcome) -> None:
        if not isinstance(outcome, Done):
            self._connect(self._load_again)
            return
        shards, was_clean = self._loads.popleft()
        content = outcome.value
        self.store.set_aside.update(content.aside)
        self.store.noted.update(content.noted)
        found = content.found
        parts = [found[at : at + BATCH] for at in range(0, len(found), BATCH)]
        for number, part in enumerate([*parts, []]):
            batch = Batch(shards, part, content.marks, was_clean, content.revision, number == len(parts))
            self.later(number + 1, partial(self._take_batch, batch))
        if self._loads:
            self._load_next()

    def _load_again(self, connection: Connection) -> None:
        self._loader = connection
        self._load_next()

    def _take_batch(self, batch: Batch) -> None:
        self.refresh()
        self.shards.loaded(batch)
        self.turn()

    # -- definitions

    def _poll(self) -> None:
        self.later(POLL_MS, self._poll)
        self._read_news()

    def _read_news(self) -> None:
        if self._is_reading_news:
            self._must_read_news = True
            return
        assert self._feed is not None
        self._is_reading_news = True
        self._must_read_news = False
        durable = self.broker.durable_revision
        self._feed.ask(statements.revision(), lambda outcome: self._got_revision(outcome, durable))

    def _got_revision(self, outcome: Outcome, durable: int) -> None:
        assert self._feed is not None
        if not isinstance(outcome, Done):
            self._connect(self._read_news_again)
        elif self._revision < outcome.value:
            last = outcome.value
            news = statements.news(self._revision, last)
            self._feed.ask(news, lambda outcome: self._got_news(outcome, last, durable))
        else:
            if durable != self._told:
                self._tell(News([], self._revision, durable))
            self._end_of_news()

    def _got_news(self, outcome: Outcome, last: int, durable: int) -> None:
        if not isinstance(outcome, Done):
            self._connect(self._read_news_again)
            return
        self._revision = last
        self._tell(News(outcome.value, last, durable))
        self._end_of_news()

    def _tell(self, news: News) -> None:
        self._told = news.durable
        self.later(1, lambda: self._change(news))

    def _change(self, news: News) -> None:
        self.refresh()
        self.shards.change(news)
        self.turn()

    def _end_of_news(self) -> None:
        self._is_reading_news = False
        if self._must_read_news:
            self._read_news()

    def _read_news_again(self, connection: Connection) -> None:
        self._feed = connection
        durable = self.broker.durable_revision
        connection.ask(statements.all_news(), lambda outcome: self._got_all(outcome, durable))

    def _got_all(self, outcome: Outcome, durable: int) -> None:
        if not isinstance(outcome, Done):
            self._connect(self._read_news_again)
            return
        self._revision, changes = outcome.value
        self._tell(News(changes, self._revision, durable, is_complete=True))
        self._is_reading_news = False
        self._read_news()

    # -- the database monitor

    def _is_certain(self) -> bool:
        return self.agenda.now_ms - self._beat_ms < _ms(CERTAIN_S)

    def _check(self) -> None:
        """As DatabaseMonitor does."""
        self.later(_ms(CHECK_S), self._check)
        self.refresh()
        self._checks += 1
        if self.broker.is_suspended and self._is_certain():
            self.agenda.note(f"{self.name}: continues deliveries")
            self.broker.unsuspend()
        if self.log.failed_bytes and self._checks % AGAIN_CHECKS == 0:
            self.log.try_again()
            self._note_failure()
        self.turn()

    def _on_committed(self) -> None:
        self.refresh()
        self.log.on_committed()
        self._note_failure()
        self.turn()

    def _note_failure(self) -> None:
        has_failed = self.log.failed_bytes > 0
        if has_failed != self._has_failed:
            self._has_failed = has_failed
            self.broker.alarms.set(DISK, has_failed)

    # -- turns

    def refresh(self) -> None:
        """Set the clock, and deliver nothing if others may hold this node for dead."""
        self.broker.clock.now_ms = self.agenda.now_ms
        if not self.broker.is_suspended and not self._is_certain():
            self.agenda.note(f"{self.name}: suspends deliveries")
            self.broker.suspend()

    def turn(self) -> None:
        """The end of a turn, as Driver makes it."""
        broker = self.broker
        is_first = True
        while is_first or broker.awake or broker.is_busy():
            is_first = False
            broker.share.begin()
            self._send()
            broker.settle()
            if broker.is_busy():
                broker.work()
            if self.log.flush_urgent() and not self._is_resting:
                self._is_resting = True
                self.later(_ms(REST_S), self._flush_rest)
        if broker.faults.told:
            fault = broker.faults.told[0]
            raise Violation(f"{self.name}: {fault}") from fault.error
        broker.explanations.clear()
        self._set_timer(broker.timers.next_ms())

    def _send(self) -> None:
        awake, self.broker.awake = self.broker.awake, []
        for sink in awake:
            assert isinstance(sink, Conversation)
            data = b"".join(bytes(piece) for piece in sink.data_to_send())
            outlet = self.clients.get(sink)
            if outlet is not None and data:
                outlet.sent(data)
            sink.flushed()
            if sink.finished and outlet is not None:
                del self.clients[sink]
                sink.lost()
                outlet.lost()

    def _flush_rest(self) -> None:
        self._is_resting = False
        self.refresh()
        self.log.flush()
        self.turn()

    def _set_timer(self, due_ms: int | None) -> None:
        if due_ms is not None and (self._tick_ms is None or due_ms < self._tick_ms):
            self._tick_ms = due_ms
            self.later(max(due_ms - self.agenda.now_ms, 0), lambda: self._tick(due_ms))

    def _tick(self, due_ms: int) -> None:
        if self._tick_ms == due_ms:
            self._tick_ms = None
            self.refresh()
            self.broker.tick(self.agenda.now_ms)
            self.turn()

    # -- clients

    def receive(self, conversation: Conversation, data: bytes) -> None:
        """Bytes of a client arrive."""
        self._post(lambda: self._receive(conversation, data), True)

    def _receive(self, conversation: Conversation, data: bytes) -> None:
        if conversation in self.clients:
            self.refresh()
            conversation.receive(data)
            self.turn()

    def lose(self, conversation: Conversation) -> None:
        """The socket of a client is closed."""
        self._post(lambda: self._lose(conversation), True)

    def _lose(self, conversation: Conversation) -> None:
        if self.clients.pop(conversation, None) is not None:
            self.refresh()
            conversation.lost()
            self.turn()

    def shard(self, queue: str) -> int | None:
        """The shard of a queue as this node knows it, None if it knows none."""
        found = self.broker.vhosts["/"].queues.get(queue)
        return None if found is None else int(shard_of_queue(found.queue_id, SHARDS))
