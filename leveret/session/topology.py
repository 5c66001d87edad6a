"""exchange.* and queue.*: permission checks and defaults around the verbs of the virtual host.

Each function handles one method of one channel. CR and LF are taken out of names, and the empty queue name stands
for the one last declared on the channel. Order of checks as rabbit_channel.erl handle_method.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from leveret.core.access import user as access
from leveret.core.errors import refusals as errors
from leveret.core.errors.refusals import FORBIDDEN, UNKNOWN, Refusal
from leveret.core.exchange.exchange import Binding, Exchange
from leveret.core.exchange_types.kinds import TOPIC, TYPES
from leveret.core.policy.arguments import check_server_named
from leveret.core.queue.replies import REPLY_PREFIX, REPLY_TO
from leveret.session.base.lane import Lane
from leveret.wire.fields import LONGSTR, Field, Table
from leveret.wire.methods import (
    ExchangeBind,
    ExchangeBindOk,
    ExchangeDeclare,
    ExchangeDeclareOk,
    ExchangeDelete,
    ExchangeDeleteOk,
    ExchangeUnbind,
    ExchangeUnbindOk,
    QueueBind,
    QueueBindOk,
    QueueDeclare,
    QueueDeclareOk,
    QueueDelete,
    QueueDeleteOk,
    QueuePurge,
    QueuePurgeOk,
    QueueUnbind,
    QueueUnbindOk,
)

if TYPE_CHECKING:
    from leveret.core.queue.queue import Queue

RETRY_TYPE: Final = "x-delayed-retry-type"

log = logging.getLogger("leveret.connection")


def clean(name: str) -> str:
    """A name without line ends."""
    return name.replace("\r", "").replace("\n", "")


def declare_exchange(channel: Lane, method: ExchangeDeclare) -> None:
    """exchange.declare, passive or not."""
    connection = channel.connection
    vhost, user = connection.vhost, connection.user
    name = clean(method.exchange)
    if method.passive:
        if not name:
            raise errors.default_exchange()
        user.check_any("exchange", name, vhost.name)
        vhost.exchange(name)
    else:
        if method.exchange_type not in TYPES:
            raise errors.unknown_exchange_type(method.exchange_type)
        if not name:
            raise errors.default_exchange()
        user.check(access.CONFIGURE, "exchange", name, vhost.name)
        alternate = method.arguments.get("alternate-exchange")
        if alternate is not None and alternate.kind == LONGSTR and name not in vhost.exchanges:
            user.check(access.READ, "exchange", name, vhost.name)
            user.check(access.WRITE, "exchange", alternate.text, vhost.name)
        vhost.declare_exchange(
            name,
            method.exchange_type,
            method.durable,
            method.auto_delete,
            method.internal,
            method.arguments,
            connection.origin(),
        )
    if not method.nowait:
        channel.send(ExchangeDeclareOk())


def delete_exchange(channel: Lane, method: ExchangeDelete) -> None:
    """exchange.delete."""
    connection = channel.connection
    name = clean(method.exchange)
    if not name:
        raise errors.default_exchange()
    if name.startswith("amq."):
        raise errors.system_exchange(name, connection.vhost.name)
    connection.user.check(access.CONFIGURE, "exchange", name, connection.vhost.name)
    connection.vhost.delete_exchange(name, method.if_unused)
    if not method.nowait:
        channel.send(ExchangeDeleteOk())


def _exchange_binding(channel: Lane, destination: str, source: str, key: str, arguments: Table) -> Binding:
    """The binding that is asked for, permissions checked. Raises: Refusal FORBIDDEN, UNKNOWN."""
    connection = channel.connection
    vhost, user = connection.vhost, connection.user
    source, destination = clean(source), clean(destination)
    user.check(access.WRITE, "exchange", destination, vhost.name)
    if not source or not destination:
        raise errors.default_exchange()
    user.check(access.READ, "exchange", source, vhost.name)
    _check_topic(channel, source, key)
    from_exchange = vhost.exchange(source)
    return Binding(from_exchange, None, vhost.exchange(destination), key, arguments)


def bind_exchange(channel: Lane, method: ExchangeBind) -> None:
    """exchange.bind."""
    binding = _exchange_binding(channel, method.destination, method.source, method.routing_key, method.arguments)
    channel.connection.vhost.bind(binding)
    if not method.nowait:
        channel.send(ExchangeBindOk())


def unbind_exchange(channel: Lane, method: ExchangeUnbind) -> None:
    """exchange.unbind; ends that do not exist have no binding."""
    try:
        binding = _exchange_binding(channel, method.destination, method.source, method.routing_key, method.arguments)
        channel.connection.vhost.unbind(binding)
    except Refusal as refusal:
        if refusal.kind != UNKNOWN:
            raise
    if not method.nowait:
        channel.send(ExchangeUnbindOk())


def declare_queue(channel: Lane, method: QueueDeclare) -> None:
    """queue.declare, passive or not."""
    connection = channel.connection
    vhost, user = connection.vhost, connection.user
    name = clean(method.queue)
    if name == REPLY_TO or (name.startswith(REPLY_PREFIX) and name in vhost.replies):
        _answer_declare(channel, method, name, 0, 1)
        return
    if method.passive or name.startswith(REPLY_PREFIX):
        user.check_any("queue", name, vhost.name)
        queue = vhost.queue(name, connection.number)
        queue.used()
    elif not name:
        check_server_named(method.arguments)
        name = f"amq.gen-{connection.broker.random_name()}"
        user.check(access.CONFIGURE, "queue", name, vhost.name)
        _check_dead_letters(channel, name, method.arguments)
        owner = connection.number if method.exclusive else 0
        queue = vhost.make_queue(
            name,
            method.durable and not method.exclusive,
            owner,
            method.auto_delete,
            method.arguments,
            connection.origin(),
        )
    else:
        if name.startswith("amq."):
            raise errors.reserved_name("queue", name)
        user.check(access.CONFIGURE, "queue", name, vhost.name)
        if name not in vhost.queues:
            _check_dead_letters(channel, name, method.arguments)
        queue = vhost.declare_queue(
            name,
            method.durable,
            method.exclusive,
            method.auto_delete,
            method.arguments,
            connection.number,
            connection.origin(),
        )
    if queue.owner:
        connection.exclusive_queues[queue] = None
    if RETRY_TYPE in method.arguments:
        _look_at_retries(connection.name, queue, method.arguments[RETRY_TYPE])
    channel.last_queue = name
    _answer_declare(channel, method, name, len(queue.ready), len(queue.consumers))


def _look_at_retries(connection: str, queue: Queue, kind: Field) -> None:
    """Tell the operator when a queue is declared with delayed retries, and delays nothing: RabbitMQ says nothing."""
    settings = queue.settings
    if not (settings.delays_failed or settings.delays_returned or (kind.kind == LONGSTR and kind.text == "disabled")):
        wanted = "'all', 'failed' or 'returned', and x-delayed-retry-min with it"
        log.warning("connection %s: %s delays nothing: %s takes %s", connection, queue, RETRY_TYPE, wanted)


def _check_dead_letters(channel: Lane, name: str, arguments: Table) -> None:
    """A queue may send its dead letters only where its declarer may publish."""
    exchange = arguments.get("x-dead-letter-exchange")
    if exchange is None:
        return
    vhost, user = channel.connection.vhost, channel.connection.user
    if exchange.kind != LONGSTR:
        what = errors.resource("queue", name, vhost.name)
        raise errors.invalid_type(exchange.type_name, "x-dead-letter-exchange", what)
    user.check(access.READ, "queue", name, vhost.name)
    user.check(access.WRITE, "exchange", exchange.text, vhost.name)


def _answer_declare(channel: Lane, method: QueueDeclare, name: str, messages: int, consumers: int) -> None:
    if not method.nowait:
        channel.send(QueueDeclareOk(name, messages, consumers))


def _check_topic(channel: Lane, source: str, key: str) -> None:
    """The key of a binding to a topic exchange has to be one that its user may read."""
    vhost = channel.connection.vhost
    exchange = vhost.exchanges.get(source)
    if exchange is not None and exchange.kind == TOPIC:
        channel.connection.user.check_topics(access.READ, source, [key], vhost.name)


def _queue_binding(channel: Lane, name: str, source: str, key: str, arguments: Table) -> Binding:
    connection = channel.connection
    vhost, user = connection.vhost, connection.user
    if not name:
        name = channel.queue_name(name)
        key = key or name
    name, source = clean(name), clean(source)
    if name.startswith(REPLY_PREFIX):
        text = "cannot bind or unbind to a volatile (direct reply-to) queue"
        raise Refusal(FORBIDDEN, text)
    user.check(access.WRITE, "queue", name, vhost.name)
    if not source:
        raise errors.default_exchange()
    user.check(access.READ, "exchange", source, vhost.name)
    _check_topic(channel, source, key)
    exchange: Exchange = vhost.exchange(source)
    return Binding(exchange, vhost.any_queue(name), None, key, arguments)


def _check_owner(channel: Lane, binding: Binding) -> None:
    if binding.queue is not None:
        binding.queue.check_owner(channel.connection.number)


def bind_queue(channel: Lane, method: QueueBind) -> None:
    """queue.bind."""
    binding = _queue_binding(channel, method.queue, method.exchange, method.routing_key, method.arguments)
    binding.source.router.check(binding)  # before the owner, as rabbit_binding.erl
    _check_owner(channel, binding)
    channel.connection.vhost.bind(binding)
    if not method.nowait:
        channel.send(QueueBindOk())


def unbind_queue(channel: Lane, method: QueueUnbind) -> None:
    """queue.unbind; ends that do not exist have no binding."""
    name = channel.queue_name(method.queue)
    try:
        key = method.routing_key if method.queue else method.routing_key or name
        binding = _queue_binding(channel, name, method.exchange, key, method.arguments)
        if binding in binding.source.bindings:
            _check_owner(channel, binding)
        channel.connection.vhost.unbind(binding)
    except Refusal as refusal:
        if refusal.kind != UNKNOWN:
            raise
    channel.send(QueueUnbindOk())


def purge_queue(channel: Lane, method: QueuePurge) -> None:
    """queue.purge."""
    connection = channel.connection
    name = channel.queue_name(method.queue)
    connection.user.check(access.READ, "queue", name, connection.vhost.name)
    count = connection.vhost.queue(name, connection.number).purge()
    if not method.nowait:
        channel.send(QueuePurgeOk(count))


def delete_queue(channel: Lane, method: QueueDelete) -> None:
    """queue.delete."""
    connection = channel.connection
    name = channel.queue_name(clean(method.queue))
    connection.user.check(access.CONFIGURE, "queue", name, connection.vhost.name)
    count = connection.vhost.delete_queue(name, method.if_unused, method.if_empty, connection.number)
    if not method.nowait:
        channel.send(QueueDeleteOk(count))
