"""VirtualHost: its exchanges, queues and bindings, and every operation that changes them.

Channels and the management API call the same methods here. Every change of routing raises `generation`, which
invalidates all cached Routes. Checks are in RabbitMQ's order, except permissions, which the caller checks.
Source: rabbit_exchange.erl, rabbit_amqqueue.erl, rabbit_binding.erl, rabbit_channel.erl.
"""

from __future__ import annotations

from typing import Final

from leveret.core import definitions, policy_application
from leveret.core.access.user import MAX_BINDINGS, MAX_CONSUMERS, MAX_EXCHANGES, MAX_QUEUES, reached
from leveret.core.definition import form
from leveret.core.definition.aside import Entry
from leveret.core.equivalence import check_same_exchange, check_same_queue
from leveret.core.errors import diagnostics
from leveret.core.errors import refusals as errors
from leveret.core.errors.diagnostics import Origin
from leveret.core.exchange.exchange import Binding, Exchange, NameSpace
from leveret.core.exchange_types.deduplication import Deduplication
from leveret.core.exchange_types.delayed import Delay
from leveret.core.exchange_types.kinds import new_exchange
from leveret.core.message.destination import Destination
from leveret.core.message.message import Message
from leveret.core.policy.arguments import (
    CLASSIC,
    QUORUM,
    Definition,
    check_arguments,
    check_properties,
    queue_type,
)
from leveret.core.policy.policy import Policies, Policy
from leveret.core.queue.client import Observer
from leveret.core.queue.entry import EntryOwner
from leveret.core.queue.kinds import new_queue
from leveret.core.queue.observers import Observers
from leveret.core.queue.queue import Queue
from leveret.core.queue.replies import REPLY_PREFIX, ReplyQueue
from leveret.core.queue.surroundings import Surroundings
from leveret.core.turn.faults import sentence
from leveret.wire.fields import LONGSTR, Field, Table, longstr, table_bytes

PREDECLARED: Final = (
    ("", "direct", False),
    ("amq.direct", "direct", False),
    ("amq.fanout", "fanout", False),
    ("amq.topic", "topic", False),
    ("amq.headers", "headers", False),
    ("amq.match", "headers", False),
    ("amq.rabbitmq.trace", "topic", True),
)
NOBODY: Final = Origin("", "", 0)
ELSEWHERE: Final = "another node has it"


class VirtualHost(NameSpace):
    """One virtual host.

    generation: changes whenever routing or permission to publish may change.
    default_queue_type: of queues that are declared without a type; empty for classic. protected: from deletion.
    tracing: whether copies of all messages go to amq.rabbitmq.trace; off after a restart, as in RabbitMQ.
    is_watched: whether tracing is on or there is an observer. observer: all observers combined.
    limits: by name; negative for none. A lower limit removes nothing that exists, and does not apply to recovery.
    connections: how many are open now. bindings: how many exist.
    policies, operator_policies: change them with the methods below only.
    """

    def __init__(self, broker: Surroundings, name: str) -> None:
        super().__init__(broker, name)
        self.description = ""
        self.tags: tuple[str, ...] = ()
        self.default_queue_type = ""
        self.protected = False
        self.tracing = False
        self.is_watched = self.observer is not None
        self._first_observer = self.observer  # the one of the whole broker
        self._more_observers: list[Observer] = []
        self.limits: dict[str, int] = {}
        self.connections = 0
        self.bindings = 0
        self.generation = 1
        self.queues: dict[str, Queue] = {}
        self._bound: dict[Queue, dict[Binding, None]] = {}  # by destination
        self.replies: dict[str, ReplyQueue] = {}
        self.policies = Policies(False, broker.matcher)
        self.operator_policies = Policies(True, broker.matcher)
        self.policy_application: policy_application.PolicyApplication | None = None  # while it runs
        for exchange, kind, internal in PREDECLARED:
            self.exchanges[exchange] = new_exchange(self, exchange, kind, True, False, internal, {}, NOBODY)

    # -- exchanges

    def exchange(self, name: str) -> Exchange:
        """The exchange. Raises: Refusal UNKNOWN."""
        exchange = self.exchanges.get(name)
        if exchange is None:
            elsewhere = self.broker.vhosts_with("exchange", name)
            raise errors.no_exchange(name, self.name, diagnostics.not_found(name, self.exchanges, elsewhere))
        return exchange

    def declare_exchange(
        self,
        name: str,
        kind: str,
        durable: bool,
        auto_delete: bool,
        internal: bool,
        arguments: Table,
        origin: Origin = NOBODY,
    ) -> Exchange:
        """Return the exchange, or create it. origin: the declaring client.

        Raises: Refusal UNFIT when the existing one differs, an argument is invalid, or the exchange limit is reached;
        FORBIDDEN for a reserved name.
        """
        existing = self.exchanges.get(name)
        if existing is not None:
            check_same_exchange(existing, kind, durable, auto_delete, internal, arguments)
            return existing
        if name.startswith("amq."):
            raise errors.reserved_name("exchange", name)
        what = errors.resource("exchange", name, self.name)
        alternate = arguments.get("alternate-exchange")
        if alternate is not None and alternate.kind != LONGSTR:
            raise errors.invalid_type(alternate.type_name, "alternate-exchange", what)
        count = len(self.exchanges) - len(PREDECLARED)
        if reached(self.limits, MAX_EXCHANGES, count):
            raise self._too_many(MAX_EXCHANGES, "exchange", f"declare exchange '{name}'")
        exchange = new_exchange(self, name, kind, durable, auto_delete, internal, arguments, origin)
        self._add_exchange(exchange, durable)
        return exchange

    def _add_exchange(self, exchange: Exchange, remembers: bool) -> None:
        """Add an exchange, durably if wanted. If this raises, the exchange does not exist."""
        value = definitions.exchange_value(exchange) if remembers else b""
        policy_application.apply_to_exchange(self, exchange)
        self.exchanges[exchange.name] = exchange
        self.generation += 1
        self._open(exchange)
        if remembers:
            self.broker.remember(form.EXCHANGE, definitions.exchange_key(exchange), value, True)

    def _open(self, exchange: Exchange) -> None:
        """Let an exchange begin. Messages that it stores are lost here if another node has them."""
        for interceptor in exchange.interceptors:
            interceptor.open()
        if exchange.log_id and exchange.durable:
            self._lose_elsewhere(exchange.log_id)

    def _lose_elsewhere(self, queue_id: int) -> None:
        ownership = self.broker.ownership
        if not ownership.owns(queue_id):
            self.broker.logged[queue_id].on_lost(ELSEWHERE)

    def check_declared_exchange(
        self, name: str, kind: str, auto_delete: bool, internal: bool, arguments: Table
    ) -> None:
        """Check a durable exchange that was declared here, now that it is known which node was faster.

        Raises: Refusal UNFIT when another node was, and has declared it differently.
        """
        exchange = self.exchanges.get(name)
        if exchange is not None:
            check_same_exchange(exchange, kind, True, auto_delete, internal, arguments)

    def delete_exchange(self, name: str, if_unused: bool) -> None:
        """Delete the exchange with its bindings, if it exists.

        Raises: Refusal FORBIDDEN for a predeclared one, UNFIT when if_unused is set and it is in use.
        """
        if name.startswith("amq."):
            raise errors.system_exchange(name, self.name)
        exchange = self.exchanges.get(name)
        if exchange is None:
            self.broker.drop_aside(form.EXCHANGE, self.name, name)
            return
        if if_unused and exchange.bindings:
            raise errors.in_use("exchange", name, self.name)
        self.remove_exchange(exchange)

    def remove_exchange(self, exchange: Exchange) -> None:
        """Delete an exchange, and recursively the auto-delete exchanges that lose their last binding with it.

        If another node has deleted it, that node deletes all that follows from it.
        """
        pending = [exchange]
        while pending:
            exchange = pending.pop()
            if self.exchanges.get(exchange.name) is not exchange:
                continue
            del self.exchanges[exchange.name]
            exchange.counters.end(self.past.exchanges)
            self.generation += 1
            follows = self.broker.replay.is_on
            if not follows:
                self.broker.forget_permissions(self.name, exchange.name)
            for binding in list(exchange.bindings):
                self._detach(binding)
            for binding in list(exchange.incoming):
                self._detach(binding)
                if binding.source.auto_delete and not binding.source.bindings and not follows:
                    pending.append(binding.source)
            for interceptor in exchange.interceptors:
                interceptor.close()
            exchange.interceptors = []  # break the reference cycle
            if exchange.durable:
                self.broker.forget(form.EXCHANGE, definitions.exchange_key(exchange))
                self.broker.drop_aside(form.EXCHANGE, self.name, exchange.name)

    def _source_may_go(self, source: Exchange) -> None:
        """Delete an auto-delete exchange that has lost its last binding here."""
        if source.auto_delete and not source.bindings and not self.broker.replay.is_on:
            self.remove_exchange(source)

    # -- queues

    def find_queue(self, name: str) -> Destination | None:
        """The queue, or the reply queue of a direct reply-to."""
        queue = self.queues.get(name)
        if queue is None and name.startswith(REPLY_PREFIX):
            return self.replies.get(name)
        return queue

    def queue(self, name: str, owner: int) -> Queue:
        """The queue, for use by the connection owner.

        Raises: Refusal UNKNOWN when it does not exist or is lost, LOCKED when it is exclusive to another connection,
        FAULTY.
        """
        queue = self.any_queue(name)
        queue.check_owner(owner)
        queue.check_fault()
        return queue

    def any_queue(self, name: str) -> Queue:
        """The queue, without a check of its owner. Raises: Refusal UNKNOWN when it does not exist."""
        queue = self.queues.get(name)
        if queue is None:
            elsewhere = self.broker.vhosts_with("queue", name)
            raise errors.no_queue(name, self.name, diagnostics.not_found(name, self.queues, elsewhere))
        return queue

    def declare_queue(
        self,
        name: str,
        durable: bool,
        exclusive: bool,
        auto_delete: bool,
        arguments: Table,
        owner: int,
        origin: Origin = NOBODY,
    ) -> Queue:
        """Return the queue, or create it. An exclusive queue is never durable.

        owner: number of the declaring connection. origin: the declaring client.
        Raises: Refusal LOCKED when exclusiveness differs, UNFIT when another property differs, FORBIDDEN for a reserved
        name, UNKNOWN when it is lost, FAULTY.
        """
        self.broker.churn.queues_declared += 1
        existing = self.queues.get(name)
        kept = durable and not exclusive
        if existing is not None:
            if existing.owner != (owner if exclusive else 0):
                raise errors.locked_queue(name, self.name, diagnostics.locked(existing.origin, existing.owner != 0))
            check_same_queue(existing, kept, auto_delete, self._with_type(arguments, kept, auto_delete))
            existing.check_fault()
            existing.used()
            existing.flow()
            return existing
        if name.startswith("amq."):
            raise errors.reserved_name("queue", name)
        return self.make_queue(name, kept, owner if exclusive else 0, auto_delete, arguments, origin)

    def check_declared_queue(self, name: str, auto_delete: bool, arguments: Table) -> None:
        """Check a durable queue that was declared here, now that it is known which node was faster.

        Raises: Refusal UNFIT when another node was, and has declared it differently.
        """
        queue = self.queues.get(name)
        if queue is not None:
            check_same_queue(queue, True, auto_delete, self._with_type(arguments, True, auto_delete))

    def make_queue(
        self, name: str, durable: bool, owner: int, auto_delete: bool, arguments: Table, origin: Origin = NOBODY
    ) -> Queue:
        """Create a queue; reserved names are allowed.

        Raises: Refusal UNFIT when an argument is invalid, or the queue limit is reached.
        """
        what = errors.resource("queue", name, self.name)
        arguments = self._with_type(arguments, durable, auto_delete)
        check_arguments(arguments, what)
        check_properties(queue_type(arguments), durable, owner != 0, auto_delete, what)
        if reached(self.limits, MAX_QUEUES, len(self.queues)):
            raise self._too_many(MAX_QUEUES, "queue", f"declare queue '{name}'")
        queue = new_queue(self, self.broker, name, self.broker.new_id(), durable, owner, auto_delete, arguments, origin)
        self._add_queue(queue, durable)
        return queue

    def _with_type(self, arguments: Table, durable: bool, auto_delete: bool) -> Table:
        """Add the default type to the arguments, if the queue can have it. Source: rabbit_amqqueue.erl."""
        kind = self.default_queue_type
        if not kind or kind == "classic" or not durable or auto_delete or "x-queue-type" in arguments:
            return arguments
        return {**arguments, "x-queue-type": longstr(kind)}

    def _add_queue(self, queue: Queue, remembers: bool) -> None:
        """Add a queue, durably if wanted. If this raises, the queue does not exist."""
        try:
            value = definitions.queue_value(queue) if remembers else b""
            policy_application.apply_to_queue(self, queue)
        except Exception:
            queue.stop()
            raise
        self.queues[queue.name] = queue
        self.broker.churn.queues_created += 1
        self.broker.logged[queue.queue_id] = queue
        self.generation += 1
        if remembers:
            self.broker.remember(form.QUEUE, definitions.queue_key(queue), value, True)
        if queue.durable:
            self._lose_elsewhere(queue.queue_id)

    def delete_queue(self, name: str, if_unused: bool, if_empty: bool, owner: int) -> int:
        """Delete the queue, if it exists.

        Returns: how many messages were ready.
        Raises: Refusal LOCKED when it is exclusive to another connection, UNFIT when it does not meet the condition,
        UNSUPPORTED for a condition on a quorum queue.
        """
        if name not in self.queues:
            self.broker.drop_aside(form.QUEUE, self.name, name)
            return 0
        queue = self.any_queue(name)
        queue.check_owner(owner)
        if queue.settings.queue_type == QUORUM and (if_unused or if_empty):
            flag = "if-unused" if if_unused else "if-empty"
            raise errors.unconditional_delete_only(name, self.name, flag)
        queue.flow()
        if if_unused or if_empty:
            queue.check_fault()
        if if_empty and (len(queue.ready) or len(queue.retries) or queue.detours.held()):
            raise errors.not_empty(name, self.name)
        if if_unused and len(queue.consumers):
            raise errors.in_use("queue", name, self.name)
        return self._remove_queue(queue)

    def remove_queue(self, queue: EntryOwner) -> int:
        """Delete a queue with its bindings, unless it is not in place. Returns: how many messages were ready."""
        found = self.queues.get(queue.name)
        return self._remove_queue(found) if found is not None and found is queue else 0

    def _remove_queue(self, queue: Queue) -> int:
        del self.queues[queue.name]
        self.broker.churn.queues_deleted += 1
        del self.broker.logged[queue.queue_id]
        self.generation += 1
        owner = self.broker.connections.get(queue.owner)
        if owner is not None:
            owner.forget_queue(queue)
        count = queue.remove()
        for binding in self.bindings_to(queue):
            self._detach(binding)
            self._source_may_go(binding.source)
        self._bound.pop(queue, None)
        if queue.durable:
            self.broker.forget(form.QUEUE, definitions.queue_key(queue))
            self.broker.drop_aside(form.QUEUE, self.name, queue.name)
        return count

    def route_letter(self, exchange: str, message: Message, again: bool) -> list[Destination] | None:
        """The destinations of a dead letter published to this exchange; None if the exchange does not exist."""
        found = self.exchanges.get(exchange)
        if found is None:
            return None
        passed = len(found.interceptors) if again else 0
        return found.route(message.address.keys, None, message, passed).queues

    def open_replies(self, owner: int) -> ReplyQueue:
        """Create the reply queue of a channel that consumes from amq.rabbitmq.reply-to."""
        queue = ReplyQueue(self, self.broker, REPLY_PREFIX + self.broker.random_name(), owner)
        self.replies[queue.name] = queue
        self.generation += 1
        return queue

    def close_replies(self, queue: ReplyQueue) -> None:
        """Delete the reply queue of a channel."""
        del self.replies[queue.name]
        queue.close()
        self.generation += 1

    # -- bindings

    def bind(self, binding: Binding) -> None:
        """Add a binding, unless it exists.

        Raises: Refusal UNFIT when its exchange cannot have it, or the binding limit is reached.
        """
        binding.source.router.check(binding)
        if binding in binding.source.bindings:
            return
        if reached(self.limits, MAX_BINDINGS, self.bindings):
            wish = f"bind {binding.kind} '{binding.destination}' to exchange '{binding.source.name}'"
            raise self._too_many(MAX_BINDINGS, "binding", wish)
        key = definitions.binding_key(binding) if binding.durable else ""
        self._attach(binding)
        if binding.durable:
            self.broker.remember(form.BINDING, key, b"")
        for interceptor in binding.source.interceptors:
            interceptor.bound(binding)

    def unbind(self, binding: Binding) -> None:
        """Remove a binding, if it exists. An auto-delete exchange is deleted with its last one."""
        if binding not in binding.source.bindings:
            if len(self.broker.aside):
                names = form.names(definitions.binding_key(binding))
                self.broker.drop_aside(form.BINDING, *names)
            return
        self._detach(binding)
        self._source_may_go(binding.source)

    def bindings_to(self, queue: Queue) -> list[Binding]:
        """The bindings to a queue. Cost: a copy."""
        return list(self._bound.get(queue, ()))

    def _attach(self, binding: Binding) -> None:
        binding.source.router.add(binding)
        binding.source.bindings[binding] = None
        self.bindings += 1
        if binding.queue is not None:
            self._bound.setdefault(binding.queue, {})[binding] = None
        elif binding.exchange is not None:
            binding.exchange.incoming[binding] = None
        self.generation += 1

    def _detach(self, binding: Binding) -> None:
        del binding.source.bindings[binding]
        self.bindings -= 1
        binding.source.router.remove(binding)
        if binding.queue is not None:
            del self._bound[binding.queue][binding]
        elif binding.exchange is not None:
            del binding.exchange.incoming[binding]
        self.generation += 1
        if binding.durable:
            self.broker.forget(form.BINDING, definitions.binding_key(binding))

    def watch(self, tracing: bool, observer: Observer | None) -> None:
        """Set who sees all messages from now on: amq.rabbitmq.trace, which receives copies, and an observer.

        Observers that have joined stay.
        """
        self._first_observer = observer
        self.trace(tracing)

    def trace(self, tracing: bool) -> None:
        """Set whether amq.rabbitmq.trace receives copies of all messages from now on."""
        self.tracing = tracing
        self._let_see()

    def join(self, observer: Observer) -> None:
        """Add an observer of all messages, until leave()."""
        self._more_observers.append(observer)
        self._let_see()

    def leave(self, observer: Observer) -> None:
        """Remove an observer that has joined."""
        self._more_observers.remove(observer)
        self._let_see()

    def _let_see(self) -> None:
        """Combine the observers."""
        them = list(self._more_observers)
        if self._first_observer is not None:
            them.insert(0, self._first_observer)
        if len(them) > 1:
            self.observer = Observers(them, self.broker.faults)
        else:
            self.observer = them[0] if them else None
        self.is_watched = self.tracing or self.observer is not None
        self.generation += 1  # cached routes contain whether messages are observed

    # -- limits

    def check_consumers(self, queue: str) -> None:
        """Check the consumer limit before one more consumer. queue: its name. Raises: Refusal UNFIT."""
        if reached(self.limits, MAX_CONSUMERS, self.consumers):
            raise self._too_many(MAX_CONSUMERS, "consumer", f"consume from queue '{queue}'")

    def _too_many(self, limit: str, kind: str, wish: str) -> errors.Refusal:
        return errors.vhost_limit(wish, kind, self.name, self.limits[limit])

    # -- policies: changes take effect at once

    def set_policy(self, policy: Policy) -> None:
        """Add or change a policy. Raises: PolicyError."""
        policy_application.put(self, self.policies, policy)

    def delete_policy(self, name: str) -> bool:
        """Delete a policy. Returns: whether it existed."""
        return policy_application.delete(self, self.policies, name)

    def set_operator_policy(self, policy: Policy) -> None:
        """Add or change an operator policy. Raises: PolicyError."""
        policy_application.put(self, self.operator_policies, policy)

    def delete_operator_policy(self, name: str) -> bool:
        """Delete an operator policy. Returns: whether it existed."""
        return policy_application.delete(self, self.operator_policies, name)

    def override(self, queue: Queue, overrides: Definition) -> None:
        """Replace the overrides of a queue. overrides: as core/policy/overrides.py checks them."""
        policy_application.override(self, queue, overrides)

    def forget_policies(self) -> None:
        """Delete all policies and operator policies, before the virtual host is deleted."""
        policy_application.forget(self, self.policies)
        policy_application.forget(self, self.operator_policies)

    # -- start-up

    def restore(self, kind: str, names: list[str], value: Table) -> None:
        """Restore a definition from the DefinitionLog. names: without the virtual host. Raises: any exception."""
        if kind == form.POLICY:
            self.policies.put(definitions.read_policy(names[0], value))
            policy_application.apply_to_all(self)
        elif kind == form.OPERATOR_POLICY:
            self.operator_policies.put(definitions.read_policy(names[0], value))
            policy_application.apply_to_all(self)
        elif kind == form.EXCHANGE:
            if names[0] in self.exchanges:
                raise ValueError("its name is in use")
            self._add_exchange(self._read_exchange(names[0], value), False)
        elif kind == form.QUEUE:
            if names[0] in self.queues:
                raise ValueError("its name is in use")
            self._add_queue(self._read_queue(names[0], value), False)
        elif kind == form.BINDING:
            binding = self.read_binding(names)
            binding.source.router.check(binding)
            if binding not in binding.source.bindings:
                self._attach(binding)

    def _read_exchange(self, name: str, value: Table) -> Exchange:
        """The exchange with this definition, which is not there yet. Raises: any exception."""
        arguments = _arguments(value)
        auto_delete = value["auto_delete"].value is True
        internal = value["internal"].value is True
        log_id = self._free_id(value["id"]) if "id" in value else 0
        origin = definitions.read_origin(value)
        return new_exchange(self, name, value["type"].text, True, auto_delete, internal, arguments, origin, log_id)

    def _read_queue(self, name: str, value: Table) -> Queue:
        """The queue with this definition, which is not there yet. Raises: any exception."""
        arguments = _arguments(value)
        auto_delete = value["auto_delete"].value is True
        origin = definitions.read_origin(value)
        queue_id = self._free_id(value["id"])
        if queue_type(arguments) not in (CLASSIC, QUORUM):
            raise ValueError(f"'{queue_type(arguments)}' is not a queue type")
        overrides = definitions.read_overrides(value)
        queue = new_queue(self, self.broker, name, queue_id, True, 0, auto_delete, arguments, origin)
        if overrides:
            policy_application.override_again(queue, overrides)
        return queue

    def read_binding(self, names: list[str]) -> Binding:
        """The binding with these names, as its key has them behind the virtual host. Raises: any exception."""
        source, target_kind, target, key, arguments_hex = names
        bound = self.queues[target] if target_kind == "queue" else None
        destination = self.exchanges[target] if target_kind == "exchange" else None
        arguments = form.read_table(bytes.fromhex(arguments_hex))
        return Binding(self.exchanges[source], bound, destination, key, arguments)

    # -- definitions of other nodes

    def follow_exchange(self, name: str, value: Table) -> None:
        """Another node has declared an exchange: it takes the place of one that differs. Raises: any exception."""
        old = self.exchanges.get(name)
        if old is None:
            self.restore(form.EXCHANGE, [name], value)
            return
        if old.durable and _is_same_exchange(old, value):
            old.origin = definitions.read_origin(value)
            return
        new = self._read_exchange(name, value)
        if not old.durable:  # nor are its bindings
            self.remove_exchange(old)
            self._add_exchange(new, False)
            return
        policy_application.apply_to_exchange(self, new)
        self.exchanges[name] = new
        self.generation += 1
        old.counters.end(self.past.exchanges)
        for binding in list(old.bindings):
            self._rebind(binding, new)
        for binding in list(old.incoming):
            binding.exchange = new
            new.incoming[binding] = None
        old.incoming.clear()
        for interceptor in old.interceptors:
            if isinstance(interceptor, Delay):
                interceptor.delayed.refuse_unsafe()
            interceptor.close()
        old.interceptors = []
        self._open(new)

    def _rebind(self, binding: Binding, source: Exchange) -> None:
        """Give a binding to the exchange that takes the place of its own; one that this cannot have is set aside."""
        try:
            source.router.check(binding)
        except Exception as error:
            entry = Entry(form.BINDING, definitions.binding_key(binding), b"")
            self._detach(binding)
            entry.read()
            entry.why = sentence(error)
            self.broker.aside.add(entry)
            self.broker.explain(entry.text)
            return
        old = binding.source
        old.router.remove(binding)
        del old.bindings[binding]
        binding.source = source
        source.router.add(binding)
        source.bindings[binding] = None

    def follow_queue(self, name: str, value: Table) -> None:
        """Another node has declared or changed a queue: it takes the place of a different one. Raises: any exception.

        Bindings are definitions of their own, so they stay.
        """
        old = self.queues.get(name)
        if old is None:
            self.restore(form.QUEUE, [name], value)
        elif old.durable and old.queue_id == form.read_id(value["id"]):
            policy_application.override_again(old, definitions.read_overrides(value))
        else:
            new = self._read_queue(name, value)
            try:
                policy_application.apply_to_queue(self, new)
            except Exception:
                new.stop()
                raise
            owner = self.broker.connections.get(old.owner)
            if owner is not None:
                owner.forget_queue(old)
            if not old.durable:  # nor are its bindings
                for binding in self.bindings_to(old):
                    self._detach(binding)
            self._put_in_place(old, new)
            old.displace()
            self._lose_elsewhere(new.queue_id)

    def renew_queue(self, queue: Queue) -> Queue:
        """A queue like this one, which is lost: it takes messages from the log, until take_place() puts it in place."""
        new = new_queue(
            *(self, self.broker, queue.name, queue.queue_id, True, 0, queue.auto_delete, queue.arguments, queue.origin)
        )
        new.log = queue.log
        new.pause()
        try:
            if queue.overrides:
                policy_application.override_again(new, queue.overrides)
            policy_application.apply_to_queue(self, new)
        except Exception:
            new.stop()
            raise
        return new

    def take_place(self, old: Queue, new: Queue) -> None:
        """Put a renewed queue in the place of the lost one, with what has changed since renew_queue()."""
        if new.overrides != old.overrides:
            policy_application.override_again(new, old.overrides)
        policy_application.apply_to_queue(self, new)
        self._put_in_place(old, new)
        old.end_counters()
        self.broker.renewed(new)
        new.resume()

    def _put_in_place(self, old: Queue, new: Queue) -> None:
        """Put a queue in the place of another one, with its bindings."""
        bindings = self._bound.pop(old, None)
        if bindings is not None:
            self._bound[new] = bindings
            for binding in bindings:
                binding.queue = new
        del self.broker.logged[old.queue_id]
        self.queues[new.name] = new
        self.broker.logged[new.queue_id] = new
        self.generation += 1

    def follow_binding(self, names: list[str]) -> None:
        """Another node has bound something. Raises: any exception."""
        binding = self.read_binding(names)
        if binding in binding.source.bindings:
            return
        binding.source.router.check(binding)
        self._attach(binding)
        if binding.queue is None or not binding.queue.deleted:  # else the node that has it gives it what it gets
            for interceptor in binding.source.interceptors:
                interceptor.bound(binding)

    def restore_window(self, exchange: str, first: int, value: bytes) -> None:
        """Restore the deduplication window of an exchange from the DefinitionLog. Raises: ValueError."""
        windows = [
            interceptor.window
            for interceptor in self.exchanges[exchange].interceptors
            if isinstance(interceptor, Deduplication)
        ]
        if not windows:
            raise ValueError("the exchange has no deduplication window")
        windows[0].restore(first, value)

    def _free_id(self, field: Field) -> int:
        """The id of a queue in the message log. Raises: ValueError if another queue has it, so the owner is unclear."""
        queue_id = form.read_id(field)
        if queue_id in self.broker.logged:
            raise ValueError(f"its messages belong to {self.broker.logged[queue_id]}")
        return queue_id


def _is_same_exchange(exchange: Exchange, value: Table) -> bool:
    """Whether an exchange has this definition, apart from its origin."""
    return (
        exchange.kind == value["type"].text
        and exchange.auto_delete == (value["auto_delete"].value is True)
        and exchange.internal == (value["internal"].value is True)
        and table_bytes(exchange.arguments) == table_bytes(_arguments(value))
        and exchange.log_id == (value["id"].integer if "id" in value else 0)
    )


def _arguments(value: Table) -> Table:
    arguments = value["arguments"].value
    assert isinstance(arguments, dict)
    return arguments
