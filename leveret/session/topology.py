"""Topology: translates methods of exchange.* and queue.* into calls of core/client/topology.py, and replies."""

from __future__ import annotations

import logging
from typing import Final

from leveret.core.client import topology
from leveret.core.definition import form
from leveret.core.queue.queue import Queue
from leveret.core.queue.replies import REPLY_PREFIX, REPLY_TO
from leveret.session.base.lane import Lane
from leveret.session.declaring import DeclaringExchange, DeclaringQueue
from leveret.wire.fields import LONGSTR, Field
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

RETRY_TYPE: Final = "x-delayed-retry-type"

log = logging.getLogger("leveret.connection")


def clean(name: str) -> str:
    """A name without CR and LF."""
    return name.replace("\r", "").replace("\n", "")


def declare_exchange(channel: Lane, method: ExchangeDeclare) -> None:
    """exchange.declare, passive or not."""
    name, kind = clean(method.exchange), method.exchange_type
    if method.passive:
        topology.find_exchange(channel.connection, name)
    else:
        durable, auto_delete, internal = method.durable, method.auto_delete, method.internal
        topology.declare_exchange(channel.connection, name, kind, durable, auto_delete, internal, method.arguments)
        revision = topology.undecided(channel.connection, form.EXCHANGE, name) if durable else 0
        if revision:
            DeclaringExchange(channel, name, method).wait(revision)
            return
    if not method.nowait:
        channel.send(ExchangeDeclareOk())


def delete_exchange(channel: Lane, method: ExchangeDelete) -> None:
    """exchange.delete."""
    topology.delete_exchange(channel.connection, clean(method.exchange), method.if_unused)
    if not method.nowait:
        channel.send(ExchangeDeleteOk())


def bind_exchange(channel: Lane, method: ExchangeBind) -> None:
    """exchange.bind."""
    destination, source = clean(method.destination), clean(method.source)
    topology.bind_exchange(channel.connection, destination, source, method.routing_key, method.arguments)
    if not method.nowait:
        channel.send(ExchangeBindOk())


def unbind_exchange(channel: Lane, method: ExchangeUnbind) -> None:
    """exchange.unbind."""
    destination, source = clean(method.destination), clean(method.source)
    topology.unbind_exchange(channel.connection, destination, source, method.routing_key, method.arguments)
    if not method.nowait:
        channel.send(ExchangeUnbindOk())


def declare_queue(channel: Lane, method: QueueDeclare) -> None:
    """queue.declare, passive or not."""
    connection = channel.connection
    name = clean(method.queue)
    if name == REPLY_TO or (name.startswith(REPLY_PREFIX) and name in connection.vhost.replies):
        _answer_declare(channel, method, name, 0, 1)
        return
    if method.passive or name.startswith(REPLY_PREFIX):
        queue = topology.find_queue(connection, name)
    else:
        durable, exclusive, auto_delete = method.durable, method.exclusive, method.auto_delete
        queue = topology.declare_queue(connection, name, durable, exclusive, auto_delete, method.arguments)
    if RETRY_TYPE in method.arguments:
        _look_at_retries(connection.name, queue, method.arguments[RETRY_TYPE])
    channel.last_queue = queue.name
    if queue.durable and not method.passive:
        revision = topology.undecided(connection, form.QUEUE, queue.name)
        if revision:
            DeclaringQueue(channel, queue.name, method).wait(revision)
            return
    _answer_declare(channel, method, queue.name, len(queue.ready), len(queue.consumers))


def _look_at_retries(connection: str, queue: Queue, kind: Field) -> None:
    """Warn of a queue with delayed retries whose settings delay nothing; RabbitMQ logs nothing."""
    settings = queue.settings
    if not (settings.delays_failed or settings.delays_returned or (kind.kind == LONGSTR and kind.text == "disabled")):
        wanted = "'all', 'failed' or 'returned', and x-delayed-retry-min with it"
        log.warning("connection %s: %s delays nothing: %s takes %s", connection, queue, RETRY_TYPE, wanted)


def _answer_declare(channel: Lane, method: QueueDeclare, name: str, messages: int, consumers: int) -> None:
    if not method.nowait:
        channel.send(QueueDeclareOk(name, messages, consumers))


def bind_queue(channel: Lane, method: QueueBind) -> None:
    """queue.bind. An empty queue name means the last declared queue; then an empty key means the queue's name."""
    name = channel.queue_name(method.queue)
    key = method.routing_key if method.queue else method.routing_key or name
    topology.bind_queue(channel.connection, clean(name), clean(method.exchange), key, method.arguments)
    if not method.nowait:
        channel.send(QueueBindOk())


def unbind_queue(channel: Lane, method: QueueUnbind) -> None:
    """queue.unbind, with names as in queue.bind."""
    name = channel.queue_name(method.queue)
    key = method.routing_key if method.queue else method.routing_key or name
    topology.unbind_queue(channel.connection, clean(name), clean(method.exchange), key, method.arguments)
    channel.send(QueueUnbindOk())


def purge_queue(channel: Lane, method: QueuePurge) -> None:
    """queue.purge."""
    count = topology.purge_queue(channel.connection, channel.queue_name(method.queue))
    if not method.nowait:
        channel.send(QueuePurgeOk(count))


def delete_queue(channel: Lane, method: QueueDelete) -> None:
    """queue.delete."""
    name = channel.queue_name(clean(method.queue))
    count = topology.delete_queue(channel.connection, name, method.if_unused, method.if_empty)
    if not method.nowait:
        channel.send(QueueDeleteOk(count))
