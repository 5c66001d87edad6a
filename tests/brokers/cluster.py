"""Cluster: brokers in one process that share a table of definitions, as nodes share one in a database.

Nothing happens by itself: a test says when a node writes its changes, hears that they are written, reads new rows, and
takes them. In between, the other nodes do what they like.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from leveret.core import definitions
from leveret.core.access.users import permission_value, topic_permission_value, user_value
from leveret.core.broker import Broker
from leveret.core.definition import form
from leveret.core.definition.log import DefinitionLog
from leveret.core.message.log import MessageLog
from leveret.core.queue.ownership import Ownership
from leveret.core.shared.definitions import share
from leveret.core.turn.clock import Clock
from leveret.core.vhost import PREDECLARED
from leveret.store.memory import MemoryLog

Key = tuple[str, str]


class Table:
    """The rows, by kind and key: their value, None when it is deleted, and the revision of the last change."""

    def __init__(self) -> None:
        self.rows: dict[Key, tuple[bytes | None, int]] = {}
        self.revision = 0

    def set(self, key: Key, value: bytes | None) -> None:
        """Change a row."""
        self.revision += 1
        self.rows[key] = (value, self.revision)

    def behind(self, revision: int) -> list[tuple[int, Key, bytes | None]]:
        """The rows that have changed since, in the order of their revisions."""
        return sorted((at, key, value) for key, (value, at) in self.rows.items() if at > revision)

    def values(self) -> dict[Key, bytes]:
        """What exists."""
        return {key: value for key, (value, _) in self.rows.items() if value is not None}


class TableLog(DefinitionLog):
    """The DefinitionLog of one node. conflicts: of the last write()."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._group: list[tuple[Key, bytes | None, bool, int]] = []
        self._revision = 0
        self.written = 0

    def put(self, kind: str, key: str, value: bytes, is_new: bool = False) -> int:
        """With the next write()."""
        self._revision += 1
        self._group.append(((kind, key), value, is_new, self._revision))
        return self._revision

    def delete(self, kind: str, key: str) -> int:
        """With the next write()."""
        self._revision += 1
        self._group.append(((kind, key), None, False, self._revision))
        return self._revision

    def load(self) -> list[tuple[str, str, bytes]]:
        """All."""
        return [(kind, key, value) for (kind, key), value in self._table.values().items()]

    def write(self) -> tuple[int, list[tuple[Key, bytes, int]]]:
        """Commit. Returns: the last revision, and the creations for which another node was faster."""
        group, self._group = self._group, []
        conflicts: list[tuple[Key, bytes, int]] = []
        for key, value, is_new, revision in group:
            existing = self._table.rows.get(key, (None, 0))[0]
            if is_new and existing is not None:
                conflicts.append((key, existing, revision))
            else:
                self._table.set(key, value)
                self.written += 1
        return self._revision, conflicts


class Half(Ownership):
    """Of so many nodes, the one with this number. owns_nothing: it may not serve any durable queue."""

    def __init__(self, number: int, count: int) -> None:
        self.number = number
        self.count = count
        self.owns_nothing = False

    def owns(self, queue_id: int) -> bool:
        """Whether it is this node's."""
        return not self.owns_nothing and queue_id % self.count == self.number


class ClusterNode:
    """One node."""

    def __init__(self, table: Table, number: int = 0, count: int = 1, messages: MessageLog | None = None) -> None:
        self.table = table
        self.log = TableLog(table)
        self.messages = messages or MemoryLog()
        self.broker = Broker(self.messages, self.log, Clock(), seed=number + 1, node=f"node {number}")
        if isinstance(self.messages, MemoryLog):
            self.messages.listener = self.broker.news
        self.ownership = Half(number, count)
        self.broker.ownership = self.ownership
        self.sharing = share(self.broker)
        self._position = table.revision
        self.broker.recover()
        self._reports: deque[tuple[int, list[tuple[Key, bytes, int]]]] = deque()
        self._rounds: deque[tuple[int, list[tuple[int, Key, bytes | None]]]] = deque()

    def write(self) -> None:
        """Commit what has changed."""
        self._reports.append(self.log.write())

    def hear(self) -> None:
        """Hear of the oldest commit."""
        if self._reports:
            revision, conflicts = self._reports.popleft()
            for (kind, key), value, of in conflicts:
                self.broker.news.on_conflict(kind, key, value, of)
            self.broker.news.on_definitions_durable(revision)
            self.broker.settle()

    def read(self) -> None:
        """Read new rows."""
        durable = self.broker.durable_revision
        rows = self.table.behind(self._position)
        self._position = max([self._position, *(revision for revision, _, _ in rows)])
        self._rounds.append((durable, rows))

    def take(self) -> None:
        """Take the rows of the oldest round."""
        if self._rounds:
            durable, rows = self._rounds.popleft()
            for _, (kind, key), value in rows:
                self.sharing.apply(kind, key, value)
            self.sharing.caught_up(durable)
            self.broker.settle()

    def work(self) -> None:
        """A turn."""
        self.broker.work()
        self.broker.log.flush()

    def rest(self) -> bool:
        """Do all that there is to do. Returns: whether there was anything."""
        before = self.table.revision, self._position
        self.broker.finish()
        self.write()
        while self._reports:
            self.hear()
        self.read()
        while self._rounds:
            self.take()
        self.broker.log.flush()
        return before != (self.table.revision, self._position)


def settle(*nodes: ClusterNode) -> None:
    """Until every node has everything."""
    for _ in range(100):
        if sum(node.rest() for node in nodes) == 0:
            return
    raise AssertionError("they never come to rest")


def in_effect(broker: Broker) -> dict[Key, bytes]:
    """All definitions that a broker has in effect, as rows."""
    return dict(_in_effect(broker))


def _in_effect(broker: Broker) -> Iterator[tuple[Key, bytes]]:
    for user in broker.users:
        yield (form.USER, form.key(user.name)), user_value(user.credential, user.tags)
        for vhost_name, permission in user.permissions.items():
            yield (form.PERMISSION, form.key(user.name, vhost_name)), permission_value(permission)
        for vhost_name, topics in user.topic_permissions.items():
            for exchange_name, topic in topics.items():
                key = form.key(user.name, vhost_name, exchange_name)
                yield (form.TOPIC_PERMISSION, key), topic_permission_value(topic)
        if user.limits:
            yield (form.USER_LIMIT, form.key(user.name)), form.limits_value(user.limits)
    for (vhost_name, component, name), text in broker.parameters.all.items():
        yield (form.PARAMETER, form.key(vhost_name, component, name)), text.encode()
    for name, text in broker.parameters.globals.items():
        yield (form.GLOBAL_PARAMETER, form.key(name)), text.encode()
    predeclared = {name for name, _, _ in PREDECLARED}
    for vhost in broker.vhosts.values():
        said = form.vhost_value(vhost.description, vhost.tags, vhost.default_queue_type, vhost.protected)
        yield (form.VHOST, form.key(vhost.name)), said
        if vhost.limits:
            yield (form.VHOST_LIMIT, form.key(vhost.name)), form.limits_value(vhost.limits)
        for kind, policies in ((form.POLICY, vhost.policies), (form.OPERATOR_POLICY, vhost.operator_policies)):
            for policy in policies.all.values():
                yield (kind, form.key(vhost.name, policy.name)), definitions.policy_value(policy)
        for queue in vhost.queues.values():
            if queue.durable:
                yield (form.QUEUE, definitions.queue_key(queue)), definitions.queue_value(queue, queue.overrides)
        for exchange in vhost.exchanges.values():
            if exchange.durable and exchange.name not in predeclared:
                yield (form.EXCHANGE, definitions.exchange_key(exchange)), definitions.exchange_value(exchange)
            for binding in exchange.bindings:
                if binding.durable:
                    yield (form.BINDING, definitions.binding_key(binding)), b""
