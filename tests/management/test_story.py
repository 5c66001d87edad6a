"""What is deleted stays deleted, and what was accepted comes back: every kind of definition, through every door.

A change is made by an AMQP client, by a verb of a running broker, by a definitions file, or on the data directory of a
stopped one. Then the broker is stopped, or killed: what it tells of itself after a restart is what it told before.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from leveret.core.broker import Broker
from leveret.core.clearing import AT_ONCE
from leveret.core.errors.administration import AdministrationError
from leveret.core.exchange.exchange import Exchange
from leveret.core.exchange_types.deduplication import Deduplication
from leveret.core.exchange_types.delayed import Delay
from leveret.core.policy.documents import read_json
from leveret.core.queue.queue import Queue
from leveret.management.administration import Administration
from leveret.management.definitions import SECTIONS
from leveret.management.jobs import complete
from leveret.node import offline
from leveret.wire import fields
from leveret.wire.fields import Field, Table, table_bytes
from leveret.wire.methods import (
    ExchangeBind,
    ExchangeDeclare,
    ExchangeDelete,
    ExchangeUnbind,
    QueueBind,
    QueueDeclare,
    QueueDelete,
    QueueUnbind,
)
from leveret.wire.properties import BasicProperties
from tests.brokers.life import Life

MANY = 3 * AT_ONCE  # queues, which go in a few turns
FAST = Path("/dev/shm")  # a kill is a copy here: nothing has to come to a disk

# Few names, so that they meet again.
VHOSTS = st.sampled_from(["/", "v", "w \u00e4"])
USERS = st.sampled_from(["guest", "u", "\u00fc"])
NAMES = st.sampled_from(["a", "b.c", "\u00e9"])
KEYS = st.sampled_from(["", "k", "#"])
PATTERNS = st.sampled_from(["", ".*", "^a"])
LIMITS = st.integers(-1, 9)
LIMITED = st.sampled_from(["max-queues", "max-exchanges", "max-bindings"])
QUEUE_TYPES = st.sampled_from(["", "classic", "quorum"])
EXCHANGES = st.sampled_from(["a", "b.c", "\u00e9", "amq.topic"])
TYPES = st.sampled_from(["direct", "topic", "headers", "x-delayed-message", "x-message-deduplication"])
MOSTLY = st.sampled_from([True, True, True, False])
WORDS = st.lists(st.sampled_from(["x", "management"]), max_size=2)
RARELY = MOSTLY.map(lambda value: not value)


def field(draw: st.DrawFn, depth: int = 0) -> Field:
    """A value of any type, in a few others sometimes."""
    kind = draw(st.sampled_from([*fields.TYPE_NAMES]))
    if kind in (fields.TABLE, fields.ARRAY) and depth < 3:
        inner = [field(draw, depth + 1) for _ in range(draw(st.integers(0, 2)))]
        if kind == fields.ARRAY:
            return fields.array(inner)
        return fields.table({f"k{at}\udcff": each for at, each in enumerate(inner)})
    bits = {
        fields.INT8: (-(1 << 7), (1 << 7) - 1),
        fields.UINT8: (0, (1 << 8) - 1),
        fields.INT16: (-(1 << 15), (1 << 15) - 1),
        fields.UINT16: (0, (1 << 16) - 1),
        fields.INT32: (-(1 << 31), (1 << 31) - 1),
        fields.UINT32: (0, (1 << 32) - 1),
        fields.INT64: (-(1 << 63), (1 << 63) - 1),
        fields.TIMESTAMP: (0, (1 << 64) - 1),
    }
    if kind in bits:
        return Field(kind, draw(st.sampled_from([*bits[kind], 0]) | st.integers(*bits[kind])))
    if kind == fields.FLOAT32:
        return Field(kind, draw(st.floats(width=32, allow_nan=False, allow_infinity=False)))
    if kind == fields.FLOAT64:
        return Field(kind, draw(st.floats(allow_nan=False, allow_infinity=False)))
    if kind == fields.DECIMAL:
        return Field(kind, (draw(st.integers(0, 255)), draw(st.integers(0, (1 << 32) - 1))))
    if kind == fields.BOOLEAN:
        return fields.boolean(draw(st.booleans()))
    if kind in (fields.LONGSTR, fields.BINARY):
        return Field(kind, draw(st.binary(max_size=3)))
    return Field(fields.VOID, None)


def deep(levels: int, kind: int) -> Field:
    """Something in as many tables or arrays."""
    found = fields.longstr("x")
    for _ in range(levels):
        found = fields.table({"k": found}) if kind == fields.TABLE else fields.array([found])
    return found


@st.composite
def tables(draw: st.DrawFn) -> Table:
    """Arguments of a client: mostly few, of any type; sometimes as deep as they may be, or deeper."""
    found: Table = {f"y-{name}": field(draw) for name in draw(st.lists(st.sampled_from("ab"), max_size=2))}
    if draw(st.integers(0, 9)) == 0:
        levels = draw(st.integers(fields.MAX_DEPTH - 1, fields.MAX_DEPTH + 1))
        found["y-deep"] = deep(levels, draw(st.sampled_from([fields.TABLE, fields.ARRAY])))
    return found


def deep_json(levels: int) -> object:
    """Something in as many lists."""
    found: object = "x"
    for _ in range(levels):
        found = [found]
    return found


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 64) - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=5,
) | st.integers(fields.MAX_DEPTH - 1, fields.MAX_DEPTH + 20).map(deep_json)
JSON_ARGUMENTS = st.dictionaries(st.sampled_from(["y-a", "y-b"]), VALUES, max_size=2)
OPERATOR_DEFINITIONS = st.sampled_from([{"max-length": 0}, {"message-ttl": 5, "max-length": 9}, {"expires": 1 << 34}])
DEFINITIONS = OPERATOR_DEFINITIONS | st.just({"alternate-exchange": "a"})


def perform(broker: Broker, verb: str, arguments: dict[str, Any]) -> object:
    """A verb, as the control socket would take it, and all that follows from it."""
    given = read_json(json.dumps({"arguments": arguments}))
    assert isinstance(given, dict)
    return complete(broker, Administration(broker).perform(verb, given["arguments"]))


def story(broker: Broker) -> dict[str, Any]:
    """Everything that a broker has to tell, but for what ends with it."""
    told: dict[str, Any] = {}
    exported = perform(broker, "export_definitions", {})
    assert isinstance(exported, dict)
    for section in ("users", "vhosts", "permissions", "parameters", "global_parameters", "policies"):
        told[section] = json.dumps(exported[section])
    told["protected"] = [vhost.name for vhost in broker.vhosts.values() if vhost.protected]
    told["topic permissions"] = perform(broker, "list_topic_permissions", {})
    for vhost in broker.vhosts.values():
        exchanges = {exchange.name: exchange for exchange in vhost.exchanges.values() if exchange.durable}
        told[f"exchanges of {vhost.name}"] = {name: of_exchange(exchanges[name]) for name in sorted(exchanges)}
        queues = {queue.name: queue for queue in vhost.queues.values() if queue.durable}
        told[f"queues of {vhost.name}"] = {name: of_queue(queues[name]) for name in sorted(queues)}
        told[f"bindings of {vhost.name}"] = [
            (binding.source.name, binding.kind, binding.destination, binding.key, table_bytes(binding.arguments))
            for name in sorted(exchanges)
            for binding in exchanges[name].bindings
            if binding.durable
        ]
    return told


def of_exchange(exchange: Exchange) -> list[object]:
    """An exchange, what applies to it, and how much its interceptors remember."""
    policies = [policy.name if policy else None for policy in (exchange.policy, exchange.operator_policy)]
    remembered: list[int] = []
    for interceptor in exchange.interceptors:
        if isinstance(interceptor, Deduplication):
            remembered.append(len(interceptor.window) if interceptor.window.is_durable else 0)
        elif isinstance(interceptor, Delay):
            remembered.append(interceptor.delayed.waiting())
    properties = [
        exchange.kind,
        exchange.auto_delete,
        exchange.internal,
        table_bytes(exchange.arguments),
        exchange.alternate,
    ]
    return [*properties, *policies, *remembered]


def of_queue(queue: Queue) -> list[object]:
    """A queue, what applies to it, and how many messages it has."""
    policies = [policy.name if policy else None for policy in (queue.policy, queue.operator_policy)]
    return [
        queue.queue_id,
        queue.auto_delete,
        table_bytes(queue.arguments),
        *policies,
        queue.settings.max_length,
        len(queue.ready),
    ]


Change = tuple[str, dict[str, Any]]  # a verb and its arguments


def verb(name: str, /, **arguments: st.SearchStrategy[Any]) -> st.SearchStrategy[Change]:
    """A change by an administrator."""
    return st.tuples(st.just(name), st.fixed_dictionaries(arguments))


def verbs_of_vhosts() -> st.SearchStrategy[Change]:
    """They come and go, and change."""
    return st.one_of(
        verb("add_vhost", name=VHOSTS, description=KEYS, tags=WORDS, default_queue_type=QUEUE_TYPES),
        verb("add_vhost", name=VHOSTS),
        verb("set_vhost", name=VHOSTS, description=KEYS, tags=WORDS),
        verb("protect_vhost", name=VHOSTS, on=RARELY),
        verb("delete_vhost", name=VHOSTS),
        verb("set_vhost_limits", vhost=VHOSTS, limits=st.dictionaries(LIMITED, LIMITS, min_size=1)),
        verb("clear_vhost_limits", vhost=VHOSTS),
    )


def verbs_of_users() -> st.SearchStrategy[Change]:
    """They come and go, and what they may do changes."""
    patterns = {"write": PATTERNS, "read": PATTERNS}
    return st.one_of(
        verb("add_user", name=USERS, tags=WORDS),
        verb("set_user_tags", name=USERS, tags=WORDS),
        verb("delete_user", name=USERS),
        verb("set_permissions", user=USERS, vhost=VHOSTS, configure=PATTERNS, **patterns),
        verb("clear_permissions", user=USERS, vhost=VHOSTS),
        verb("set_topic_permissions", user=USERS, vhost=VHOSTS, exchange=EXCHANGES, **patterns),
        verb("clear_topic_permissions", user=USERS, vhost=VHOSTS),
        verb("set_user_limits", user=USERS, limits=st.fixed_dictionaries({"max-channels": LIMITS})),
        verb("clear_user_limits", user=USERS),
    )


def verbs_of_policies() -> st.SearchStrategy[Change]:
    """Policies and operator policies."""
    policy = {"name": NAMES, "pattern": PATTERNS, "priority": LIMITS}
    return st.one_of(
        verb("set_policy", vhost=VHOSTS, definition=DEFINITIONS, **policy),
        verb("set_operator_policy", vhost=VHOSTS, definition=OPERATOR_DEFINITIONS, **policy),
        st.one_of(
            verb("clear_policy", vhost=VHOSTS, name=NAMES), verb("clear_operator_policy", vhost=VHOSTS, name=NAMES)
        ),
    )


def verbs_of_parameters() -> st.SearchStrategy[Change]:
    """What is kept for others."""
    return st.one_of(
        verb("set_parameter", vhost=VHOSTS, component=NAMES, name=KEYS, value=VALUES),
        verb("set_global_parameter", name=KEYS, value=VALUES),
        verb("clear_parameter", vhost=VHOSTS, component=NAMES, name=KEYS),
        verb("clear_global_parameter", name=KEYS),
    )


def imports() -> st.SearchStrategy[Change]:
    """A definitions file."""
    return verb("import_definitions", content=files(), atomic=st.booleans())


def files() -> st.SearchStrategy[dict[str, Any]]:
    """A definitions file; some of its entries may be wrong."""

    def section(**entry: st.SearchStrategy[Any]) -> st.SearchStrategy[list[dict[str, Any]]]:
        return st.lists(st.fixed_dictionaries(entry), max_size=2)

    patterns = {"configure": PATTERNS, "write": PATTERNS, "read": PATTERNS}
    metadata = st.fixed_dictionaries({"description": KEYS, "protected_from_deletion": RARELY})
    body = {"pattern": PATTERNS, "definition": DEFINITIONS}
    return st.fixed_dictionaries(
        {},
        optional={
            "users": section(name=USERS, password_hash=st.just("AAAAAAAA"), tags=st.just("x,y")),
            "vhosts": section(name=VHOSTS, metadata=metadata),
            "permissions": section(user=USERS, vhost=VHOSTS, **patterns),
            "topic_permissions": section(user=USERS, vhost=VHOSTS, exchange=EXCHANGES, write=PATTERNS, read=PATTERNS),
            "parameters": section(vhost=VHOSTS, component=NAMES, name=KEYS, value=VALUES)
            | section(
                vhost=VHOSTS, component=st.just("operator_policy"), name=NAMES, value=st.fixed_dictionaries(body)
            ),
            "global_parameters": section(name=KEYS, value=VALUES),
            "policies": section(vhost=VHOSTS, name=NAMES, **body),
            "queues": section(vhost=VHOSTS, name=NAMES, durable=MOSTLY, auto_delete=RARELY, arguments=JSON_ARGUMENTS),
            "exchanges": section(vhost=VHOSTS, name=NAMES, type=TYPES, durable=MOSTLY, arguments=JSON_ARGUMENTS),
            "bindings": section(
                vhost=VHOSTS,
                source=EXCHANGES,
                destination=NAMES,
                destination_type=st.sampled_from(["queue", "exchange"]),
                routing_key=KEYS,
                arguments=JSON_ARGUMENTS,
            ),
        },
    )


class Story(RuleBasedStateMachine):
    """One data directory, and the broker that is on it now."""

    def __init__(self) -> None:
        super().__init__()
        self._root = tempfile.TemporaryDirectory(dir=FAST if FAST.is_dir() else None)
        self._lives = 0
        self.life = self._begin(Path(self._root.name) / "data")

    def _begin(self, directory: Path) -> Life:
        self._lives += 1
        return Life(directory, self._lives)

    def _go_on(self, directory: Path, before: dict[str, Any]) -> None:
        """The next life, which knows all that the one before has told."""
        self.life = self._begin(directory)
        assert self.life.told == []
        assert story(self.life.broker) == before

    def teardown(self) -> None:
        """The last broker stops."""
        self.life.end()
        self._root.cleanup()

    @initialize()
    def fill(self) -> None:
        """Something that can be changed."""
        for name in ("v", "w \u00e4"):
            self.perform(("add_vhost", {"name": name}))
        self.perform(("add_user", {"name": "u"}))
        for name in ("/", "v"):
            self.perform(("set_permissions", {"user": "u", "vhost": name, "configure": "", "write": "a", "read": ""}))
            self.declare_exchange(name, "a", "topic", True, False, {})
            self.declare_queue(name, "a", True, False, False, {})

    # -- changes

    @rule(vhost=VHOSTS, name=NAMES, kind=TYPES, durable=MOSTLY, auto_delete=RARELY, arguments=tables())
    def declare_exchange(
        self, vhost: str, name: str, kind: str, durable: bool, auto_delete: bool, arguments: Table
    ) -> None:
        """A client declares an exchange."""
        special: Table = {"x-delayed-type": fields.longstr("direct"), "x-cache-size": fields.long(3)}
        given = {**arguments, **special} if kind.startswith("x-") else arguments
        method = ExchangeDeclare(name, kind, durable=durable, auto_delete=auto_delete, arguments=given)
        self.life.call(vhost, method)

    @rule(vhost=VHOSTS, name=NAMES, durable=MOSTLY, exclusive=RARELY, auto_delete=RARELY, arguments=tables())
    def declare_queue(
        self, vhost: str, name: str, durable: bool, exclusive: bool, auto_delete: bool, arguments: Table
    ) -> None:
        """A client declares a queue."""
        method = QueueDeclare(name, durable=durable, exclusive=exclusive, auto_delete=auto_delete, arguments=arguments)
        self.life.call(vhost, method)

    @rule(vhost=VHOSTS, queue=NAMES, exchange=EXCHANGES, key=KEYS, arguments=tables())
    def bind_queue(self, vhost: str, queue: str, exchange: str, key: str, arguments: Table) -> None:
        """A client binds a queue."""
        self.life.call(vhost, QueueBind(queue, exchange, key, arguments=arguments))

    @rule(vhost=VHOSTS, destination=NAMES, source=EXCHANGES, key=KEYS, arguments=tables())
    def bind_exchange(self, vhost: str, destination: str, source: str, key: str, arguments: Table) -> None:
        """A client binds an exchange."""
        self.life.call(vhost, ExchangeBind(destination, source, key, arguments=arguments))

    @rule(vhost=VHOSTS, which=st.integers(0, 5))
    def unbind(self, vhost: str, which: int) -> None:
        """A client removes a binding, if there are any."""
        found = self.life.broker.vhosts.get(vhost)
        bindings = [each for exchange in found.exchanges.values() for each in exchange.bindings] if found else []
        if bindings:
            binding = bindings[which % len(bindings)]
            ends = (binding.destination, binding.source.name, binding.key)
            if binding.queue is not None:
                self.life.call(vhost, QueueUnbind(*ends, arguments=binding.arguments))
            else:
                self.life.call(vhost, ExchangeUnbind(*ends, arguments=binding.arguments))

    @rule(vhost=VHOSTS, name=NAMES, of_queue=st.booleans())
    def delete(self, vhost: str, name: str, of_queue: bool) -> None:
        """A client deletes something."""
        self.life.call(vhost, QueueDelete(name) if of_queue else ExchangeDelete(name))

    @rule(vhost=VHOSTS, exchange=EXCHANGES, value=st.integers(0, 4), delay_ms=st.sampled_from([0, 1 << 30]))
    def publish(self, vhost: str, exchange: str, value: int, delay_ms: int) -> None:
        """A client publishes something that an exchange may remember."""
        found = self.life.broker.vhosts.get(vhost)
        if found is None or exchange not in found.exchanges:
            return
        properties = BasicProperties()
        properties.delivery_mode = 2
        properties.headers = {"x-deduplication-header": fields.long(value), "x-delay": fields.long(delay_ms)}
        self.life.publish(vhost, exchange, properties)

    @rule(change=verbs_of_vhosts())
    def change_vhost(self, change: Change) -> None:
        """An administrator changes virtual hosts."""
        self.perform(change)

    @rule(vhost=VHOSTS)
    def delete_vhost(self, vhost: str) -> None:
        """An administrator deletes a virtual host."""
        self.perform(("delete_vhost", {"name": vhost}))

    @rule(change=verbs_of_users())
    def change_user(self, change: Change) -> None:
        """An administrator changes users."""
        self.perform(change)

    @rule(change=verbs_of_policies())
    def change_policy(self, change: Change) -> None:
        """An administrator changes policies."""
        self.perform(change)

    @rule(change=verbs_of_parameters())
    def change_parameter(self, change: Change) -> None:
        """An administrator changes parameters."""
        self.perform(change)

    @rule(change=imports())
    def import_file(self, change: Change) -> None:
        """An administrator imports a definitions file."""
        self.perform(change)

    def perform(self, change: Change) -> None:
        """A change that may be refused."""
        with contextlib.suppress(AdministrationError):
            perform(self.life.broker, *change)
        self.life.finish()

    @rule(change=st.one_of(verbs_of_vhosts(), verbs_of_users(), verbs_of_policies(), verbs_of_parameters(), imports()))
    def perform_offline(self, change: Change) -> None:
        """The broker stops; an administrator changes something; the next one has it."""
        self.life.end()
        with contextlib.suppress(AdministrationError):
            offline.perform(self.life.directory, *change)
        exported = offline.perform(self.life.directory, "export_definitions", {})
        self.life = self._begin(self.life.directory)
        assert self.life.told == []
        again = perform(self.life.broker, "export_definitions", {})
        assert isinstance(exported, dict)
        assert isinstance(again, dict)
        for section in SECTIONS:
            assert again[section] == exported[section]

    # -- ends

    @rule(is_killed=st.booleans())
    def restart(self, is_killed: bool) -> None:
        """The broker is stopped, or killed when all that was asked was answered; another one starts."""
        before = story(self.life.broker)
        if is_killed:
            self._go_on(self.life.kill(), before)
        else:
            self.life.end()
            self._go_on(self.life.directory, before)

    @rule(vhost=VHOSTS, steps=st.integers(0, 3), again=st.booleans())
    def delete_and_kill(self, vhost: str, steps: int, again: bool) -> None:
        """The broker is killed while what was in a virtual host is cleared; one of that name may be there already."""
        found = self.life.broker.vhosts.get(vhost)
        if found is None or found.protected:
            return
        self.perform(("clear_vhost_limits", {"vhost": vhost}))
        for number in range(MANY):
            found.make_queue(f"many {number}", True, 0, False, {})
        self.life.finish()
        self.life.broker.delete_vhost(vhost)
        if again:
            self.life.broker.add_vhost(vhost)
        after = story(self.life.broker)
        self.life.step()
        for _ in range(steps):
            self.life.step()
        self._go_on(self.life.kill(), after)
        assert not self.life.broker.leaving


TestStory = pytest.mark.timeout(600)(Story.TestCase)  # what is found is made smaller for up to 300 s
TestStory.settings = settings(stateful_step_count=50, derandomize=True, report_multiple_bugs=False)
