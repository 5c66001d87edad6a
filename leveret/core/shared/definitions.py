"""SharedDefinitions: brings into effect what other nodes have defined.

It changes the broker as if a client of this node had done it, with the same effects on clients, but nothing of it is
written (core/definition/sharing.py). What follows from the change is the business of the node that made it: an
auto-delete exchange, for instance, that lost its last binding there. What follows from two changes of different nodes
is found when the feed has caught up.

A definition that cannot be used is set aside and reported, as at a start. One whose owner does not exist waits for it,
unless this node has deleted the owner: then the other node did not know that yet, and the definition is deleted too.
"""

from __future__ import annotations

from typing import Final

from leveret.core.broker import Broker
from leveret.core.definition import form
from leveret.core.definition.aside import Entry, Identity, described, owners
from leveret.core.definition.sharing import Applier, Sharing
from leveret.core.exchange.exchange import Exchange
from leveret.core.recovery import mend, missing, reason, restore
from leveret.core.vhost import PREDECLARED, VirtualHost

PREDECLARED_NAMES: Final = frozenset([name for name, _, _ in PREDECLARED])


def share(broker: Broker) -> Sharing:
    """Let a broker share its definitions with other nodes, before it recovers them."""
    sharing = broker.share_definitions()
    sharing.applier = SharedDefinitions(broker, sharing)
    return sharing


class SharedDefinitions(Applier):
    """Of one broker."""

    def __init__(self, broker: Broker, sharing: Sharing) -> None:
        self._broker = broker
        self._sharing = sharing
        self._unbound: dict[Exchange, None] = {}  # auto-delete exchanges that lost bindings

    def follow(self, kind: str, key: str, value: bytes | None) -> None:
        """A definition has this value now; None when it is deleted."""
        broker = self._broker
        try:
            broker.aside.remove(kind, key)
            if value is None:
                self._drop(kind, key)
            else:
                self._use(Entry(kind, key, value))
        except Exception as error:
            broker.faults.own("apply a definition of another node", error)

    def caught_up(self) -> None:
        """Delete auto-delete exchanges whose last bindings several nodes have deleted."""
        unbound, self._unbound = self._unbound, {}
        for exchange in unbound:
            home = self._broker.vhosts.get(exchange.vhost.name)
            if home is None or home.exchanges.get(exchange.name) is not exchange or exchange.bindings:
                continue
            try:
                home.remove_exchange(exchange)
            except Exception as error:
                self._broker.faults.own("delete an auto-delete exchange", error)

    # -- a value

    def _use(self, entry: Entry) -> None:
        """Bring a value into effect, or set it aside."""
        broker = self._broker
        replay = broker.replay
        try:
            entry.read()
            entry.needs = self._missing(entry)
            if entry.needs is None:
                replay.begin()
                try:
                    self._set(entry.kind, entry.names, entry.value)
                finally:
                    replay.end()
        except Exception as error:  # its bytes may mean anything to another version
            self._set_aside(entry, reason(error))
            return
        if entry.needs is not None:
            if self._is_outdated(entry):
                broker.unkeep(entry.kind, entry.key)
            else:
                self._set_aside(entry, f"{described(entry.needs[0], list(entry.needs[1:]))} does not exist")
            return
        if self._is_outdated(entry):  # others may have deleted it with the former owner
            broker.keep(entry.kind, entry.key, entry.value)
        if len(broker.aside):
            replay.begin()
            try:
                mend(broker, entry.kind, entry.key)
            finally:
                replay.end()

    def _missing(self, entry: Entry) -> Identity | None:
        """The missing owner of a definition; a virtual host that is being deleted does not exist any more."""
        for owner in owners(entry.kind, entry.names):
            if owner[0] == form.VHOST and owner[1] not in self._broker.vhosts:
                return owner
        return missing(self._broker, entry.kind, entry.names)

    def _set_aside(self, entry: Entry, why: str) -> None:
        entry.why = why
        self._broker.aside.add(entry)
        self._broker.explain(entry.text)

    def _is_outdated(self, entry: Entry) -> bool:
        """Whether this node has deleted an owner of the definition, which may be older than that."""
        for owner in owners(entry.kind, entry.names):
            if self._sharing.was_deleted(owner[0], form.key(*owner[1:])):
                return True
        return False

    def _set(self, kind: str, names: list[str], value: bytes) -> None:
        """Change what is in effect. Raises: any exception."""
        broker = self._broker
        if kind == form.LEAVING:
            return  # the deletion of the virtual host has come before
        if kind == form.EXCHANGE:
            broker.vhosts[names[0]].follow_exchange(names[1], form.read_table(value))
        elif kind == form.QUEUE:
            broker.vhosts[names[0]].follow_queue(names[1], form.read_table(value))
        elif kind == form.BINDING:
            broker.vhosts[names[0]].follow_binding(names[1:])
        else:
            try:
                restore(broker, kind, names, value)
            finally:
                if kind in (form.PERMISSION, form.TOPIC_PERMISSION):
                    broker.permissions_changed(names[1])

    # -- a deletion

    def _drop(self, kind: str, key: str) -> None:
        """Take a definition out of effect, if it is in effect."""
        broker = self._broker
        try:
            entry = Entry(kind, key, b"")
            entry.read()
            names = entry.names
        except ValueError:
            return
        if kind == form.USER:
            self._drop_user(names[0])
        elif kind == form.VHOST:
            self._drop_vhost(names[0])
        else:
            broker.replay.begin()
            try:
                self._unset(kind, names)
            finally:
                broker.replay.end()

    def _drop_user(self, name: str) -> None:
        broker = self._broker
        if broker.users.get(name) is None:
            return
        broker.replay.begin()
        try:
            user = broker.users.drop(name)
        finally:
            broker.replay.end()
        broker.forget_user(user, f"user '{name}' is deleted")  # what its clients leave behind is this node's

    def _drop_vhost(self, name: str) -> None:
        broker = self._broker
        vhost = broker.vhosts.get(name)
        if vhost is None:
            return
        broker.close_connections(None, vhost, f"vhost '{name}' is deleted")
        broker.replay.begin()
        try:
            broker.drop_vhost(vhost)
        finally:
            broker.replay.end()

    def _unset(self, kind: str, names: list[str]) -> None:
        broker = self._broker
        if kind == form.LEAVING:
            clearing = broker.leaving.get(names[0])
            if clearing is not None:
                clearing.is_replayed = True
        elif kind == form.GLOBAL_PARAMETER:
            broker.parameters.delete_global(names[0])
        elif kind == form.USER_LIMIT:
            if broker.users.get(names[0]) is not None:
                broker.users.clear_limits(names[0], None)
        elif kind in (form.PERMISSION, form.TOPIC_PERMISSION):
            if broker.users.get(names[0]) is not None and names[1] in broker.vhosts:
                if kind == form.PERMISSION:
                    broker.users.clear_permission(names[0], names[1])
                else:
                    broker.users.clear_topic_permission(names[0], names[1], names[2])
        elif names[0] in broker.vhosts:
            self._unset_inside(broker.vhosts[names[0]], kind, names)

    def _unset_inside(self, vhost: VirtualHost, kind: str, names: list[str]) -> None:
        """Take a definition of a virtual host out of effect."""
        if kind == form.VHOST_LIMIT:
            vhost.limits = {}
        elif kind == form.PARAMETER:
            self._broker.parameters.delete(*names)
        elif kind == form.POLICY:
            vhost.delete_policy(names[1])
        elif kind == form.OPERATOR_POLICY:
            vhost.delete_operator_policy(names[1])
        elif kind == form.QUEUE:
            self._drop_queue(vhost, names[1])
        elif kind == form.EXCHANGE:
            self._drop_exchange(vhost, names[1])
        elif kind == form.BINDING:
            self._drop_binding(vhost, names[1:])

    def _drop_queue(self, vhost: VirtualHost, name: str) -> None:
        queue = vhost.queues.get(name)
        if queue is not None and queue.durable:
            for binding in vhost.bindings_to(queue):
                self._look_at(binding.source)
            vhost.remove_queue(queue)

    def _drop_exchange(self, vhost: VirtualHost, name: str) -> None:
        exchange = vhost.exchanges.get(name)
        if name in PREDECLARED_NAMES:  # they go with their virtual host, which may exist again
            return
        if exchange is not None and exchange.durable:
            for binding in exchange.incoming:
                self._look_at(binding.source)
            vhost.remove_exchange(exchange)

    def _drop_binding(self, vhost: VirtualHost, names: list[str]) -> None:
        if names[0] not in vhost.exchanges:
            return
        if names[2] not in (vhost.queues if names[1] == "queue" else vhost.exchanges):
            return
        binding = vhost.read_binding(names)
        if binding in binding.source.bindings and binding.durable:
            vhost.unbind(binding)
            self._look_at(binding.source)

    def _look_at(self, exchange: Exchange) -> None:
        """An exchange has lost a binding or is about to."""
        if exchange.auto_delete:
            self._unbound[exchange] = None
