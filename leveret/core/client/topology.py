"""Topology: exchanges, queues and bindings, as clients declare and delete them, whatever their protocol.

This module checks permissions; the virtual host does the work. Order of checks as rabbit_channel.erl.
"""

from __future__ import annotations

from leveret.core.access import user as access
from leveret.core.client.party import Party
from leveret.core.definition import form
from leveret.core.errors import refusals as errors
from leveret.core.errors.refusals import FORBIDDEN, UNKNOWN, Refusal
from leveret.core.exchange.exchange import Binding
from leveret.core.exchange_types.kinds import TOPIC, TYPES
from leveret.core.policy.arguments import check_server_named
from leveret.core.queue.queue import Queue
from leveret.core.queue.replies import REPLY_PREFIX
from leveret.wire.fields import LONGSTR, Table


def find_exchange(party: Party, name: str) -> None:
    """Check that an exchange exists. Raises: Refusal FORBIDDEN, UNKNOWN."""
    if not name:
        raise errors.default_exchange()
    party.user.check_any("exchange", name, party.vhost.name)
    party.vhost.exchange(name)


def declare_exchange(
    party: Party, name: str, kind: str, durable: bool, auto_delete: bool, internal: bool, arguments: Table
) -> None:
    """Find an exchange, or create it. Raises: Refusal FORBIDDEN, UNFIT."""
    vhost, user = party.vhost, party.user
    if kind not in TYPES:
        raise errors.unknown_exchange_type(kind)
    if not name:
        raise errors.default_exchange()
    user.check(access.CONFIGURE, "exchange", name, vhost.name)
    alternate = arguments.get("alternate-exchange")
    if alternate is not None and alternate.kind == LONGSTR and name not in vhost.exchanges:
        user.check(access.READ, "exchange", name, vhost.name)
        user.check(access.WRITE, "exchange", alternate.text, vhost.name)
    vhost.declare_exchange(name, kind, durable, auto_delete, internal, arguments, party.origin())


def undecided(party: Party, kind: str, name: str) -> int:
    """The revision with which it is known whether a new queue or exchange is this node's; 0 when it is known.

    Another node of the cluster may have been faster to declare it. Then this one has to be compared with it: see
    VirtualHost.check_declared_queue() and check_declared_exchange(). kind: form.QUEUE or form.EXCHANGE.
    """
    shared = party.broker.shared
    return 0 if shared is None else shared.creation(kind, form.key(party.vhost.name, name))


def delete_exchange(party: Party, name: str, if_unused: bool) -> None:
    """Delete an exchange; no error if it does not exist. Raises: Refusal FORBIDDEN, UNFIT."""
    vhost = party.vhost
    if not name:
        raise errors.default_exchange()
    if name.startswith("amq."):
        raise errors.system_exchange(name, vhost.name)
    party.user.check(access.CONFIGURE, "exchange", name, vhost.name)
    vhost.delete_exchange(name, if_unused)


def bind_exchange(party: Party, destination: str, source: str, key: str, arguments: Table) -> None:
    """Bind an exchange to a source exchange. Raises: Refusal FORBIDDEN, UNKNOWN, UNFIT."""
    party.vhost.bind(_exchange_binding(party, destination, source, key, arguments))


def unbind_exchange(party: Party, destination: str, source: str, key: str, arguments: Table) -> None:
    """Delete a binding between exchanges; no error if one of them does not exist. Raises: Refusal FORBIDDEN."""
    try:
        party.vhost.unbind(_exchange_binding(party, destination, source, key, arguments))
    except Refusal as refusal:
        if refusal.kind != UNKNOWN:
            raise


def _exchange_binding(party: Party, destination: str, source: str, key: str, arguments: Table) -> Binding:
    vhost, user = party.vhost, party.user
    user.check(access.WRITE, "exchange", destination, vhost.name)
    if not source or not destination:
        raise errors.default_exchange()
    user.check(access.READ, "exchange", source, vhost.name)
    _check_topic(party, source, key)
    exchange = vhost.exchange(source)
    return Binding(exchange, None, vhost.exchange(destination), key, arguments)


def find_queue(party: Party, name: str) -> Queue:
    """Find a queue and restart its idle time. Raises: Refusal FORBIDDEN, UNKNOWN, LOCKED, FAULTY."""
    party.user.check_any("queue", name, party.vhost.name)
    queue = party.vhost.queue(name, party.number)
    queue.used()
    return queue


def declare_queue(
    party: Party, name: str, durable: bool, exclusive: bool, auto_delete: bool, arguments: Table
) -> Queue:
    """Find a queue, or create it. name: empty for a generated one; see Queue.name.

    Raises: Refusal FORBIDDEN, LOCKED, UNFIT, FAULTY.
    """
    vhost, user = party.vhost, party.user
    if not name:
        check_server_named(arguments)
        name = f"amq.gen-{party.broker.random_name()}"
        user.check(access.CONFIGURE, "queue", name, vhost.name)
        _check_dead_letters(party, name, arguments)
        owner = party.number if exclusive else 0
        queue = vhost.make_queue(name, durable and not exclusive, owner, auto_delete, arguments, party.origin())
    else:
        if name.startswith("amq."):
            raise errors.reserved_name("queue", name)
        user.check(access.CONFIGURE, "queue", name, vhost.name)
        if name not in vhost.queues:
            _check_dead_letters(party, name, arguments)
        queue = vhost.declare_queue(name, durable, exclusive, auto_delete, arguments, party.number, party.origin())
    if queue.owner:
        party.exclusive_queues[queue] = None
    return queue


def _check_dead_letters(party: Party, name: str, arguments: Table) -> None:
    """Check that the declarer may publish to the dead letter exchange of a queue."""
    exchange = arguments.get("x-dead-letter-exchange")
    if exchange is None:
        return
    vhost, user = party.vhost, party.user
    if exchange.kind != LONGSTR:
        what = errors.resource("queue", name, vhost.name)
        raise errors.invalid_type(exchange.type_name, "x-dead-letter-exchange", what)
    user.check(access.READ, "queue", name, vhost.name)
    user.check(access.WRITE, "exchange", exchange.text, vhost.name)


def bind_queue(party: Party, name: str, source: str, key: str, arguments: Table) -> None:
    """Bind a queue to an exchange. Raises: Refusal FORBIDDEN, UNKNOWN, LOCKED, UNFIT."""
    binding = _queue_binding(party, name, source, key, arguments)
    binding.source.router.check(binding)  # before the owner, as rabbit_binding.erl
    _check_owner(party, binding)
    party.vhost.bind(binding)


def unbind_queue(party: Party, name: str, source: str, key: str, arguments: Table) -> None:
    """Delete a binding of a queue; no error if queue or exchange does not exist. Raises: Refusal FORBIDDEN, LOCKED."""
    try:
        binding = _queue_binding(party, name, source, key, arguments)
        if binding in binding.source.bindings:
            _check_owner(party, binding)
        party.vhost.unbind(binding)
    except Refusal as refusal:
        if refusal.kind != UNKNOWN:
            raise


def _queue_binding(party: Party, name: str, source: str, key: str, arguments: Table) -> Binding:
    vhost, user = party.vhost, party.user
    if name.startswith(REPLY_PREFIX):
        raise Refusal(FORBIDDEN, "cannot bind or unbind to a volatile (direct reply-to) queue")
    user.check(access.WRITE, "queue", name, vhost.name)
    if not source:
        raise errors.default_exchange()
    user.check(access.READ, "exchange", source, vhost.name)
    _check_topic(party, source, key)
    exchange = vhost.exchange(source)
    return Binding(exchange, vhost.any_queue(name), None, key, arguments)


def _check_topic(party: Party, source: str, key: str) -> None:
    """Check that the user may read this routing key, for a binding to a topic exchange."""
    exchange = party.vhost.exchanges.get(source)
    if exchange is not None and exchange.kind == TOPIC:
        party.user.check_topics(access.READ, source, [key], party.vhost.name)


def _check_owner(party: Party, binding: Binding) -> None:
    if binding.queue is not None:
        binding.queue.check_owner(party.number)


def purge_queue(party: Party, name: str) -> int:
    """Drop the ready messages. Returns: how many. Raises: Refusal FORBIDDEN, UNKNOWN, LOCKED, FAULTY."""
    party.user.check(access.READ, "queue", name, party.vhost.name)
    return party.vhost.queue(name, party.number).purge()


def delete_queue(party: Party, name: str, if_unused: bool, if_empty: bool) -> int:
    """Delete a queue; no error if it does not exist.

    Returns: how many messages were ready. Raises: Refusal FORBIDDEN, LOCKED, UNFIT, UNSUPPORTED.
    """
    party.user.check(access.CONFIGURE, "queue", name, party.vhost.name)
    return party.vhost.delete_queue(name, if_unused, if_empty, party.number)
