"""World: one simulated cluster. It is disturbed for some time and then left in peace, and nobody may notice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from leveret.core import definitions
from leveret.core.definition import form
from tests.simulation.agenda import Agenda, Violation
from tests.simulation.clients import Administrator, Client, Consumer, Declarer, Drain, Publisher
from tests.simulation.ledger import Ledger, Letter
from tests.simulation.node import Node
from tests.simulation.rules import ALL, Rules
from tests.simulation.server import Server
from tests.simulation.tables import REVISION, DefinitionRow

NODES: Final = 3
PATIENCE_MS: Final = 15_000  # until a cluster in peace must be as it should be
REPLACED_MS: Final = 4_000  # until a stopped owner must be replaced, while the database works
HURT_MS: Final = 20_000  # a node may be declared dead so long after something kept it from beating: databases hang
LOOK_MS: Final = 200

AnyClient = TypeVar("AnyClient", bound=Client)


class World:
    """A cluster of some nodes and its clients. queues: those that stay. both: those that fanout leads to.

    loose, exchanges: queues and exchanges that come and go. kinds: names of the faults that happen; all without any.
    """

    fanout = "both"

    def __init__(self, seed: int, rules: Rules = ALL, kinds: Sequence[str] = ()) -> None:
        self.seed = seed
        self.rules = rules
        self._kinds = [fault for fault in FAULTS if not kinds or fault.__name__ in kinds]
        self.agenda = Agenda(seed)
        self.server = Server(self.agenda)
        self.queues = [f"q{number}" for number in range(5)]
        self.both = self.queues[:2]
        self.loose = ["loose0", "loose1", "loose2"]
        self.exchanges = ["x0", "x1"]
        self.ledger = Ledger(frozenset(self.loose))
        self.faults: Counter[str] = Counter()
        self.nodes: list[Node] = []
        self.clients: list[Client] = []
        self._started = 0
        self._pace = self.agenda.random.choice((1, 3))  # between faults: in some clusters one has long consequences
        self._quiet_ms = 0  # since when nothing is disturbed
        self.is_peaceful = True
        for kind, key, value in (
            (form.DEFAULTS, form.key(), b""),
            (form.VHOST, form.key("/"), form.vhost_value("", (), "", False)),
        ):
            revision = self.server.rows.revision[REVISION] + 1
            self.server.rows.put("definitions", (kind, key), DefinitionRow(value, revision, revision))
            self.server.rows.put("revision", REVISION, revision)
        self._watch()

    # -- what happens

    def run(self) -> None:
        """Everything. Raises: Violation."""
        for _ in range(NODES):
            self.agenda.after(self.agenda.some_ms(0, 800), self.start_node)
        self._wait(self._is_even, "the shards are spread over the nodes")
        declarer = self._client(Declarer(self))
        self._wait(lambda: declarer.is_done, "the queues are declared")
        declarer.end()
        self._wait(self._all_know, "all nodes have all definitions")
        for number in range(3):
            self._client(Publisher(self, number))
            self._client(Consumer(self, number))
        for number in range(2):
            self._client(Administrator(self, number))
        self.is_peaceful = False
        self._disturb_later()
        self.agenda.run(self.agenda.some_ms(4_000, 12_000))
        self.is_peaceful = True
        self._make_peace()

    def start_node(self) -> None:
        """Start a process."""
        self._started += 1
        node = Node(self, f"n{self._started}", self.seed * 1000 + self._started, self._ended)
        self.nodes.append(node)

    def _ended(self, node: Node) -> None:
        """A node has ended, and is started again."""
        self.nodes.remove(node)
        self.agenda.after(self.agenda.some_ms(100, 1500), self.start_node)

    def _client(self, client: AnyClient) -> AnyClient:
        self.clients.append(client)
        return client

    def _wait(self, is_done: Callable[[], bool], what: str) -> None:
        """Let time pass until something is true. Raises: Violation."""
        until_ms = self.agenda.now_ms + PATIENCE_MS
        while not is_done():
            if self.agenda.now_ms >= until_ms:
                raise Violation(f"not after {PATIENCE_MS / 1000:g} s of peace: {what}")
            self.agenda.run(LOOK_MS // 2)

    # -- peace

    def _make_peace(self) -> None:
        self.agenda.note("peace")
        for node in self.nodes:
            if node.stopped_ms is not None:
                node.go_on()
            node.is_cut = False
        wait_ms = max(self.server.trouble_ms - self.agenda.now_ms, 0)
        self.agenda.run(wait_ms)
        self._wait(lambda: len(self.nodes) == NODES and self._is_even(), "the shards are spread over the nodes")
        for client in self.clients:
            if isinstance(client, Publisher | Administrator):
                client.is_quiet = True
        self._wait(lambda: not self._hanging(), "every request is answered")
        for client in self.clients:
            client.end()
        self.agenda.run(LOOK_MS)  # what they held returns to its queues
        self._wait(self._all_know, "all nodes have all definitions")
        if self.agenda.chance(0.5):  # then only what the database has is left
            self._replace_all()
        self._wait(self._serve_all, "all owners serve all queues")
        drains = [self._client(Drain(self, queue)) for queue in self.queues]
        self._wait(lambda: all(drain.is_done for drain in drains), "every queue can be emptied")
        for drain in drains:
            self._audit(drain)

    def _replace_all(self) -> None:
        """Kill each node, one after the other."""
        for node in [each for each in self.nodes if each.is_up]:
            if node.is_dead:
                continue
            self.agenda.note(f"{node.name}: is killed")
            node.kill()
            self._ended(node)
            self._wait(lambda: all(each.is_up for each in self.nodes) and self._is_even(), "a node is replaced")

    def _is_even(self) -> bool:
        """Whether each node owns as many shards as the others."""
        counts = Counter(row.node for row in self.server.rows.shards.values())
        owned = [counts.pop(node.id, 0) for node in self.nodes]
        return not counts and len(owned) == NODES and max(owned) - min(owned) <= 1

    def _hanging(self) -> list[str]:
        """The clients that wait for answers."""
        return [
            client.name
            for client in self.clients
            if client.waits_ms is not None or (isinstance(client, Publisher) and client.oldest_ms() is not None)
        ]

    def _serve_all(self) -> bool:
        return all(self.owner_of(queue) is not None for queue in self.queues)

    def _all_know(self) -> bool:
        """Whether all nodes have in effect what the database says."""
        wanted = {
            identity: row.value
            for identity, row in self.server.rows.definitions.items()
            if row.value is not None and identity[0] in form.VHOST_KINDS
        }
        return all(node.is_up and _effective(node) == wanted for node in self.nodes)

    def _audit(self, drain: Drain) -> None:
        """Compare what was in a queue with what had to be there. Raises: Violation."""
        found = Counter(letter.number for letter in drain.found)
        for number, count in found.items():
            if count > 1:
                raise Violation(f"letter {number} is {count} times in {drain.queue}")
        for letter in self.ledger.owed(drain.queue):
            if letter.number not in found:
                raise Violation(f"letter {letter.number}, confirmed, is not in {drain.queue}")

    # -- what must hold at any time

    def look_at_delivery(self, node: Node, queue: str, body: bytes, is_again: bool, to: object) -> Letter:
        """A node sends a message to a consumer. Raises: Violation."""
        shard = node.shard(queue)
        self.agenda.note(f"{node.name}: delivers {body.decode()} from {queue}{', again' if is_again else ''}")
        if shard is not None:
            row = self.server.rows.shards[shard]
            if row.node != node.id or not self.server.rows.nodes[node.id].is_alive:
                raise Violation(f"node {node.id} delivers from {queue}, which is of node {row.node}")
        return self.ledger.deliver(queue, body, is_again, self.agenda.now_ms, to)

    def died(self, number: int) -> None:
        """A node was declared dead. Raises: Violation if nothing had kept it from its database."""
        for node in self.nodes:
            if node.id == number and self.agenda.now_ms > node.hurt_ms + HURT_MS:
                raise Violation(f"node {number} is declared dead, but it lives")

    def _watch(self) -> None:
        self.agenda.after(LOOK_MS, self._watch)
        counts = Counter(row.node for row in self.server.rows.shards.values())
        for node in self.nodes:
            if node.stopped_ms is not None and counts[node.id]:
                calm_ms = max(node.stopped_ms, self.server.trouble_ms)
                others = [max(calm_ms, each.up_ms, each.hurt_ms) for each in self.nodes if each.is_up]
                if self.agenda.now_ms - min(others, default=calm_ms) > REPLACED_MS:
                    raise Violation(f"node {node.id} is stopped, and owns shards after {REPLACED_MS / 1000:g} s")

    # -- what clients ask

    def route(self, node: Node) -> tuple[str, str, tuple[str, ...]]:
        """Where a letter goes: exchange, key, and the queues that may get it."""
        random = self.agenda.random
        fate = random.random()
        if fate < 0.2:
            return self.fanout, "", tuple(self.both)
        if fate < 0.23:
            return random.choice(self.exchanges), random.choice(("a", "b")), tuple(self.loose)
        names = self.loose if fate < 0.4 else self.queues
        owned = [name for name in names if self.owner_of(name) is node]
        queue = random.choice(owned if owned and fate < 0.8 else names)
        return "", queue, (queue,)

    def owner_of(self, queue: str) -> Node | None:
        """The node that serves a queue, None if there is none now."""
        for node in self.nodes:
            if node.is_up and node.stopped_ms is None:
                shard = node.shard(queue)
                if shard is not None and self.server.rows.shards[shard].node == node.id:
                    return node
        return None

    # -- trouble

    def _disturb_later(self) -> None:
        self.agenda.after(self.agenda.some_ms(200, 2500) * self._pace, self._disturb)

    def _disturb(self) -> None:
        if self.is_peaceful:
            return
        self._disturb_later()
        fault = self.agenda.random.choice(self._kinds)
        self.faults[fault.__name__] += 1
        self.agenda.note(f"fault: {fault.__name__}")
        fault(self)

    def some_node(self) -> Node | None:
        """A node that runs."""
        nodes = [node for node in self.nodes if node.stopped_ms is None]
        return self.agenda.random.choice(nodes) if nodes else None


def _effective(node: Node) -> dict[tuple[str, str], bytes]:
    """The definitions in effect on a node."""
    vhost = node.broker.vhosts["/"]
    found: dict[tuple[str, str], bytes] = {}
    for queue in vhost.queues.values():
        found[form.QUEUE, definitions.queue_key(queue)] = definitions.queue_value(queue)
    for exchange in vhost.exchanges.values():
        if exchange.durable and exchange.name and not exchange.name.startswith("amq."):
            found[form.EXCHANGE, definitions.exchange_key(exchange)] = definitions.exchange_value(exchange)
        for binding in exchange.bindings:
            found[form.BINDING, definitions.binding_key(binding)] = b""
    for policy in vhost.policies.all.values():
        found[form.POLICY, definitions.policy_key("/", policy.name)] = definitions.policy_value(policy)
    return found


# -- faults


def kill(world: World) -> None:
    """A node is killed, and starts again some time later."""
    node = world.some_node()
    if node is not None:
        node.kill()
        world._ended(node)


def stop(world: World) -> None:
    """A node is stopped for some time, perhaps in the middle of a commit. Seldom are several stopped at once."""
    node = world.some_node()
    is_first = all(each.stopped_ms is None for each in world.nodes)
    if node is not None and (is_first or world.agenda.chance(0.2)):
        _stop(world, node, world.agenda.some_ms(0, 1000) if world.agenda.chance(0.7) else 0)


def _stop(world: World, node: Node, waits_ms: int) -> None:
    """Stop a node. waits_ms: how long to wait for a commit."""
    agenda = world.agenda
    if node.is_dead or node.stopped_ms is not None or world.is_peaceful:
        return
    if waits_ms and not world.server.is_committing(node):
        agenda.after(1, lambda: _stop(world, node, waits_ms - 1))
        return

    def go_on() -> None:
        if node.stopped_ms is not None and not node.is_dead:
            agenda.note(f"{node.name}: goes on")
            node.go_on()

    agenda.note(f"{node.name}: is stopped")
    node.stop()
    agenda.after(agenda.some_ms(100, 2500) if agenda.chance(0.5) else agenda.some_ms(2500, 12_000), go_on)


def cut(world: World) -> None:
    """A node loses its database for some time."""
    node = world.some_node()
    if node is not None:
        node.is_cut = True
        duration_ms = world.agenda.some_ms(50, 3000)
        node.hurt_ms = world.agenda.now_ms + duration_ms
        world.server.break_connections(node)

        def mend() -> None:
            node.is_cut = False

        world.agenda.after(duration_ms, mend)


def hang(world: World) -> None:
    """The database hangs."""
    world.server.hang(world.agenda.some_ms(300, 12_000))


def slow(world: World) -> None:
    """The database is slow."""
    world.server.be_slow(world.agenda.some_ms(500, 3000))


def full(world: World) -> None:
    """The disk of the database is full."""
    world.server.be_full(world.agenda.some_ms(100, 3000))


def flaky(world: World) -> None:
    """Connections break while statements are on their way."""
    world.server.be_flaky(world.agenda.some_ms(500, 4000))


def restart(world: World) -> None:
    """The database crashes and starts again."""
    world.server.restart(world.agenda.some_ms(100, 2000))


def fail_over(world: World) -> None:
    """The standby takes over."""
    world.server.fail_over(world.agenda.some_ms(100, 3000))


def standby(world: World) -> None:
    """The standby is away, and perhaps somebody cancels the waits for it, and perhaps the primary fails after that."""
    agenda, server = world.agenda, world.server
    duration_ms = agenda.some_ms(300, 4000)
    server.lose_standby(duration_ms)
    if agenda.chance(0.6):
        for _ in range(agenda.some_ms(1, 4)):
            agenda.after(agenda.some_ms(0, duration_ms), server.cancel_waits)
        if agenda.chance(0.5):
            agenda.after(agenda.some_ms(0, duration_ms), lambda: server.fail_over(agenda.some_ms(100, 1500)))


FAULTS: Final[tuple[Callable[[World], None], ...]] = (
    kill,
    stop,
    cut,
    hang,
    slow,
    full,
    flaky,
    restart,
    fail_over,
    standby,
)


@dataclass(frozen=True)
class Result:
    """What a simulation has shown. failure: the promise that was broken, or an empty string. trace: what happened."""

    seed: int
    failure: str
    trace: tuple[str, ...]
    counts: Counter[str]
    faults: Counter[str]

    def __str__(self) -> str:
        return "\n".join([*self.trace, f"seed {self.seed}: {self.failure or 'nothing is wrong'}"])


def run(seed: int, rules: Rules = ALL, kinds: Sequence[str] = ()) -> Result:
    """Simulate one cluster. kinds: of World."""
    world = World(seed, rules, kinds)
    failure = ""
    try:
        world.run()
    except Violation as violation:
        failure = str(violation)
    return Result(seed, failure, tuple(world.agenda.trace), world.ledger.counts, world.faults)
