"""Store: the ChunkStore of a simulated node, whose commits and reads take virtual time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from leveret.cluster import writer
from leveret.cluster.commit import Commit, add_counts
from leveret.cluster.schema import SHARDS
from leveret.store.chunk import ANYWHERE, Counts, Head, Label, parse, trim
from leveret.store.chunk_store import ChunkReader, ChunkStore, Found, GroupWriter, Messages
from leveret.store.group import Group
from leveret.store.rows import unpack_counts, unpack_places
from leveret.store.shards import SHARD_BIT
from tests.simulation import statements
from tests.simulation.rules import Rules
from tests.simulation.server import Broken, Connection, Done, Outcome, Refused, Server, Site, Statement
from tests.simulation.statements import place_of
from tests.simulation.tables import REVISION, Tables

AGAIN_MS: Final = 200  # between two attempts to connect

Definitions = list[tuple[str, str, bytes]]


class Store(ChunkStore):
    """The store of a node that has entered. on_lost: called when a commit finds that the node is dead."""

    def __init__(
        self,
        server: Server,
        site: Site,
        node: int,
        connections: tuple[Connection, Connection],
        definitions: Definitions,
        rules: Rules,
        on_lost: Callable[[str], None],
    ) -> None:
        super().__init__("the database of the cluster", SHARDS)
        self.server = server
        self.site = site
        self.node = node
        self.rules = rules
        self.on_lost = on_lost
        self.set_aside: set[int] = set()
        self.noted: set[int] = set()
        self.owned = set()
        self.was_clean = True
        self._connections = connections
        self._definitions = definitions

    def definitions(self) -> Definitions:
        """See ChunkStore."""
        return self._definitions

    def chunks(self) -> Iterator[Found]:
        """See ChunkStore. A node begins without shards."""
        return iter(())

    def aside(self) -> int:
        """See ChunkStore."""
        return len(self.set_aside)

    def delivered(self) -> dict[int, int]:
        """See ChunkStore."""
        return {}

    def write(self, group: Group) -> None:
        """See ChunkStore. The writer does that."""
        raise AssertionError

    def writer(self, notify: Callable[[], None]) -> Steps:
        """See ChunkStore."""
        return Steps(self, self._connections[0], notify)

    def reader(self, notify: Callable[[], None]) -> Reader:
        """See ChunkStore."""
        return Reader(self, self._connections[1], notify)

    def close(self, delivered: dict[int, int] | None = None) -> None:
        """See ChunkStore. A node that ends is killed."""
        raise AssertionError

    def build(self, rows: Tables, group: Group, number: int) -> Commit:
        """The rows of a group, as PostgresStore makes them."""
        counts: dict[int, Counts] = {}
        for chunk in [*group.counts, *group.sparse]:
            if chunk in self.noted and place_of(chunk) in rows.counts:
                counts[chunk] = unpack_counts(rows.counts[place_of(chunk)])
        for chunk, places in group.counts.items():
            add_counts(counts.setdefault(chunk, {}), places)
        rewritten: dict[int, tuple[bytes, bytes]] = {}
        for chunk in group.sparse:
            row = rows.chunks.get(place_of(chunk))
            if chunk not in self.set_aside and row is not None:
                head: Head = parse(row.head)
                head.cross_out(gone(rows, chunk) | _new_gone(group, chunk))
                head.add_counts(counts.get(chunk, {}))
                rewritten[chunk] = trim(head, row.data)
        return Commit(group, number, counts, rewritten, self.set_aside.union(group.aside))

    def written(self, group: Group) -> None:
        """A group is written."""
        self.set_aside.update(group.aside)
        self.noted.update(group.counts)
        self.noted.difference_update(group.emptied)


def gone(rows: Tables, chunk: int) -> set[tuple[int, int]]:
    """What is gone of a chunk: queue ids and positions."""
    return {place for key, places in rows.gone.items() if key[:2] == place_of(chunk) for place in unpack_places(places)}


def _new_gone(group: Group, chunk: int) -> set[tuple[int, int]]:
    places = group.gone[chunk].getvalue() if chunk in group.gone else b""
    numbers = [int.from_bytes(places[at : at + 8], "big", signed=True) for at in range(0, len(places), 8)]
    return set(zip(numbers[::2], numbers[1::2], strict=True))


class Steps(GroupWriter):
    """Writes groups as the Writer says, a step at a time."""

    def __init__(self, store: Store, connection: Connection, notify: Callable[[], None]) -> None:
        self._store = store
        self._connection = connection
        self._notify = notify
        self._writer = writer.Writer(store.node)
        self._groups: deque[Group] = deque()
        self._results: list[tuple[Group, str]] = []
        self._steps: writer.Steps | None = None

    def commit(self, group: Group) -> None:
        """See GroupWriter."""
        self._groups.append(group)
        if self._steps is None:
            self._begin()

    def results(self) -> list[tuple[Group, str]]:
        """See GroupWriter."""
        results, self._results = self._results, []
        return results

    def close(self) -> None:
        """See GroupWriter."""
        raise AssertionError

    def _begin(self) -> None:
        self._steps = self._writer.write(self._groups[0])
        self._do(next(self._steps))

    def _go_on(self, answer: writer.Answer) -> None:
        assert self._steps is not None
        try:
            ask = self._steps.send(answer)
        except StopIteration:
            self._store.written(self._groups[0])
            self._end("")
        except writer.Lost as lost:
            self._end(str(lost))
            self._store.on_lost(str(lost))
        else:
            self._do(ask)

    def _end(self, error: str) -> None:
        self._results.append((self._groups.popleft(), error))
        self._steps = None
        if self._groups:
            self._begin()
        self._notify()

    def _do(self, ask: writer.Ask) -> None:
        server, site = self._store.server, self._store.site
        if isinstance(ask, writer.Pause):
            server.agenda.after(AGAIN_MS, lambda: site.post(lambda: self._go_on(writer.Broken())))
        elif isinstance(ask, writer.Connect):
            self._connection.close()
            server.connect(site, self._connected)
        else:
            self._connection.ask(self._statement(ask), lambda outcome: self._answered(ask, outcome))

    def _connected(self, connection: Connection | None) -> None:
        if connection is None:
            self._go_on(writer.Broken())
        else:
            self._connection = connection
            self._go_on(writer.Connected())

    def _statement(self, ask: writer.Ask) -> Statement:
        store = self._store
        if isinstance(ask, writer.Build):
            return Statement("build", lambda rows: store.build(rows, ask.group, ask.number), writes=False)
        if isinstance(ask, writer.Execute):
            return statements.execute(ask.commit, store.node, ask.session, store.rules)
        if isinstance(ask, writer.RaiseSession):
            return statements.raise_session(store.node)
        if isinstance(ask, writer.Look):
            return Statement("look for a commit", lambda rows: _has_arrived(rows, ask.commit), writes=False)
        if isinstance(ask, writer.Read):
            return Statement("existing", lambda rows: _existing(rows, ask.commit), writes=False)
        return statements.confirm()

    def _answered(self, ask: writer.Ask, outcome: Outcome) -> None:
        if isinstance(outcome, Broken):
            self._go_on(writer.Broken())
        elif isinstance(outcome, Refused):
            self._end(outcome.text)
        else:
            self._go_on(self._answer(ask, outcome))

    def _answer(self, ask: writer.Ask, done: Done) -> writer.Answer:
        value, has_warned = done.value, done.has_warned and self._store.rules.warning
        if isinstance(ask, writer.Build):
            assert isinstance(value, Commit)
            return value
        if isinstance(ask, writer.Execute):
            return writer.Written(value[0], value[1], has_warned)
        if isinstance(ask, writer.RaiseSession):
            return writer.Raised(value, has_warned)
        if isinstance(ask, writer.Look):
            return writer.Arrived(value)
        if isinstance(ask, writer.Read):
            return writer.Existing(value)
        return writer.Written(True, 0, has_warned)


def _has_arrived(rows: Tables, commit: Commit) -> bool:
    """As PostgresStore looks."""
    if commit.written:
        return place_of(commit.written[0][0]) in rows.chunks
    return any((*place_of(chunk), commit.number) in rows.gone for chunk in list(commit.removed)[:1])


def _existing(rows: Tables, commit: Commit) -> Definitions:
    found: Definitions = []
    for kind, key in commit.created:
        row = rows.definitions.get((kind, key))
        if row is not None and row.value is not None:
            found.append((kind, key, row.value))
    return found


Part = tuple[int, int, tuple[int, ...]]  # chunk id, queue id, positions


class Reader(ChunkReader):
    """Fetches messages, as leveret/cluster/fetcher.py does."""

    def __init__(self, store: Store, connection: Connection, notify: Callable[[], None]) -> None:
        self._store = store
        self._connection = connection
        self._notify = notify
        self._wanted: deque[Part] = deque()
        self._here: dict[Part, Messages] = {}
        self._fetched: list[int] = []

    def load(self, chunk_id: int, head: Head, labels: list[Label]) -> Messages:
        """See ChunkReader. Only for a log that begins with messages."""
        raise AssertionError

    def prepare(self, chunk_id: int, queue_id: int, wanted: list[int]) -> bool:
        """See ChunkReader."""
        part = chunk_id, queue_id, tuple(wanted)
        if part not in self._here and part not in self._wanted:
            self._wanted.append(part)
            if len(self._wanted) == 1:
                self._fetch()
        return part in self._here

    def arrived(self) -> list[int]:
        """See ChunkReader."""
        found, self._fetched = self._fetched, []
        return found

    def read(self, chunk_id: int, queue_id: int, wanted: list[int]) -> Messages:
        """See ChunkReader."""
        return self._here.pop((chunk_id, queue_id, tuple(wanted)))

    def close(self) -> None:
        """See ChunkReader."""

    def _fetch(self) -> None:
        part = self._wanted[0]
        self._connection.ask(Statement("fetch", lambda rows: _read(rows, part), writes=False), self._got)

    def _got(self, outcome: Outcome) -> None:
        if not isinstance(outcome, Done):
            self._store.server.agenda.after(AGAIN_MS, lambda: self._store.site.post(self._again))
            return
        part = self._wanted.popleft()
        self._here[part] = outcome.value
        self._fetched.append(part[1])
        if self._wanted:
            self._fetch()
        self._notify()

    def _again(self) -> None:
        self._connection.close()
        self._store.server.connect(self._store.site, self._connected)

    def _connected(self, connection: Connection | None) -> None:
        if connection is None:
            self._store.server.agenda.after(AGAIN_MS, lambda: self._store.site.post(self._again))
        else:
            self._connection = connection
            self._fetch()


def _read(rows: Tables, part: Part) -> Messages:
    chunk, queue_id, wanted = part
    messages = Messages()
    messages.damage = "the messages are missing"
    row = rows.chunks.get(place_of(chunk))
    if row is not None:
        head: Head = parse(row.head, queue_id)
        if place_of(chunk) in rows.counts:
            head.add_counts(unpack_counts(rows.counts[place_of(chunk)]))
        head.keep(list(wanted))
        messages.labels = head.labels
        for label in head.labels:
            messages.found.append(head.message(label, row.data[label.start : label.start + label.length]))
    return messages


@dataclass(frozen=True)
class Heads:
    """What the database has of some shards, as leveret/cluster/heads.py reads it."""

    found: list[Found]
    marks: dict[int, int]
    revision: int
    aside: set[int]
    noted: set[int]


def heads(shards: list[int]) -> Statement:
    """Read what the database has of shards. Answer: Heads."""
    wanted = set(shards)

    def run(rows: Tables) -> Heads:
        aside = {_chunk(key): spent for key, (_, spent) in rows.aside.items() if key[0] in wanted}
        noted = {_chunk(key) for key in rows.counts if key[0] in wanted}
        found: list[Found] = []
        for shard, number in sorted(key for key in rows.chunks if key[0] in wanted):
            chunk = _chunk((shard, number))
            head: Head = Head() if aside.get(chunk) else parse(rows.chunks[shard, number].head)
            if chunk in noted:
                head.add_counts(unpack_counts(rows.counts[shard, number]))
            head.cross_out(gone(rows, chunk) | gone(rows, shard << SHARD_BIT | ANYWHERE))
            found.append(Found(chunk, head))
        marks = {queue: position for (shard, queue), position in rows.delivered.items() if shard in wanted}
        return Heads(found, marks, rows.revision[REVISION], set(aside), noted)

    return Statement("heads", run, writes=False)


def _chunk(place: tuple[int, int]) -> int:
    return place[0] << SHARD_BIT | place[1]
