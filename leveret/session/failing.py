"""What an error does to a client: its channel is closed, or the whole connection, with a word or without.

Before the client is told, everything of it is out of the core. Source: rabbit_reader.erl handle_exception.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from leveret.core.errors.amqp import AmqpError
from leveret.session.channel import BASIC_PUBLISH, Channel
from leveret.session.ending import CLOSE, HANG_UP, RESET
from leveret.session.handshake import DONE, OPEN, TUNE
from leveret.wire.constants import NOT_ALLOWED
from leveret.wire.methods import ConnectionClose

if TYPE_CHECKING:
    from leveret.session.connection import Connection

SILENCE_MS: Final = 3_000  # before a socket is closed without a word
CLOSE_MS: Final = 30_000  # how long a client may take to answer connection.close

log = logging.getLogger("leveret.connection")


def answer(connection: Connection, error: AmqpError, number: int) -> None:
    """An error of the frame at hand, which came on this channel."""
    channel = connection.channels.get(number)
    if connection.handshake.state < OPEN and error.code != NOT_ALLOWED:
        fall_silent(connection, f"{error.reply_text}")
        return
    if channel is not None and not connection.deaf and channel.publishing.was_content:
        connection.method_id = BASIC_PUBLISH
    if error.is_soft and channel is not None:
        close_channel(connection, channel, error, int(connection.method_id))
    else:
        close(connection, error)


def close_channel(connection: Connection, channel: Channel, error: AmqpError, method_id: int) -> None:
    """Close a channel for a soft error. method_id: of the method that failed, 0 for none."""
    log.warning("connection %s, channel %d: %s", connection.name, channel.number, error.log_text)
    channel.fail(error, method_id)


def close(connection: Connection, error: AmqpError) -> None:
    """Close for a hard error."""
    if connection.closing:
        return
    log.warning("connection %s: closed with %d %s", connection.name, error.code, error.log_text)
    release(connection)
    connection.closing = True
    method_id = int(connection.method_id)
    class_id = method_id >> 16
    connection.writer.method(0, ConnectionClose(error.code, error.reply_text, class_id, method_id & 0xFFFF))
    connection.wake()
    patience_ms = SILENCE_MS if connection.deaf else CLOSE_MS
    if connection.handshake.state < TUNE:
        patience_ms = SILENCE_MS  # whoever it is
    elif connection.heartbeat_s and not connection.deaf:
        patience_ms = min(CLOSE_MS, connection.heartbeat_s * 1000)
    ending = HANG_UP if connection.deaf else RESET  # whom nobody listens to may have answered
    connection.deadline.set(patience_ms, "closed without an answer from the client", ending)


def fall_silent(connection: Connection, why: str) -> None:
    """Say nothing and close the socket after a while."""
    log.warning("connection %s: handshake failed: %s", connection.name, why)
    connection.deaf = True
    connection.deadline.set(SILENCE_MS, why, CLOSE)


def release(connection: Connection) -> None:
    """Take everything of this client out of the core: channels first, then its exclusive queues."""
    if connection.is_released:
        return
    connection.is_released = True
    faults = connection.broker.faults
    for channel in list(connection.channels.values()):
        try:
            channel.publishing.flush()
            channel.shut()
        except Exception as error:
            faults.tell(f"connection {connection.name}", f"end channel {channel.number}", error)
        channel.forget()
    connection.user.channels -= len(connection.channels)
    connection.channels.clear()
    connection.last_channel = None
    if connection.handshake.state == DONE:
        connection.broker.open_connections -= 1
        connection.user.connections -= 1
        connection.vhost.connections -= 1
    for queue in list(connection.exclusive_queues):
        if not queue.deleted:
            try:
                queue.vhost.remove_queue(queue)
            except Exception as error:
                faults.tell(f"connection {connection.name}", "delete an exclusive queue", error)
    connection.exclusive_queues.clear()
    connection.forget_routes()
    connection.pacing.stop()
    connection.blocking.stop()
