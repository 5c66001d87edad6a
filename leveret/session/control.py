"""Frames that belong to no open channel: methods on channel 0, channel.open, heartbeats, and what is no frame at all.

Each function takes the reader's current frame for one connection, and raises AmqpError for what has no place there.
Source: rabbit_reader.erl handle_frame, handle_method0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from leveret.core.access.user import check_channel, check_vhost
from leveret.core.errors.amqp import AmqpError
from leveret.core.policy.matching import Patience
from leveret.session import failing
from leveret.session.channel import Channel, decode_method
from leveret.session.ending import HANG_UP, LEAVE
from leveret.session.handshake import DONE
from leveret.wire.constants import (
    CHANNEL_ERROR,
    FRAME_ERROR,
    FRAME_HEARTBEAT,
    FRAME_METHOD,
    NOT_ALLOWED,
    UNEXPECTED_FRAME,
)
from leveret.wire.methods import (
    ChannelOpen,
    ChannelOpenOk,
    ConnectionClose,
    ConnectionCloseOk,
    ConnectionUpdateSecret,
    ConnectionUpdateSecretOk,
)
from leveret.wire.reader import FrameReader, octets

if TYPE_CHECKING:
    from leveret.session.connection import Connection


def other_frame(connection: Connection, reader: FrameReader) -> None:
    """A heartbeat, or a frame of no known type."""
    if reader.kind != FRAME_HEARTBEAT:
        raise unknown_frame(connection, reader)
    if reader.start != reader.stop:
        raise unknown_frame(connection, reader)
    if reader.channel != 0:
        raise AmqpError(UNEXPECTED_FRAME, f"type {reader.kind}, {octets(reader.payload())}")


def unknown_frame(connection: Connection, reader: FrameReader) -> AmqpError:
    """What a frame that makes no sense is answered with; it is no part of a content either."""
    connection.method_id = 0
    channel = connection.channels.get(int(reader.channel))
    if channel is not None:
        channel.publishing.forget()
    return AmqpError(FRAME_ERROR, f"type {reader.kind}, {octets(reader.payload())}: unknown_frame")


def channel_zero(connection: Connection, reader: FrameReader) -> None:
    """A frame on channel 0."""
    if reader.kind != FRAME_METHOD:
        raise AmqpError(UNEXPECTED_FRAME, f"type {reader.kind}, {octets(reader.payload())}")
    method = decode_method(connection, reader.payload())
    if isinstance(method, ConnectionCloseOk) and connection.closing:
        connection.finish("closed by us", HANG_UP)
    elif isinstance(method, ConnectionClose) and connection.handshake.state == DONE:
        failing.release(connection)
        connection.writer.method(0, ConnectionCloseOk())
        connection.finish("closed by the client", LEAVE)
    elif connection.closing:
        pass
    elif connection.handshake.state != DONE:
        connection.handshake.method(method)
    elif isinstance(method, ConnectionUpdateSecret):
        check_vhost(connection.user, connection.vhost.name)
        connection.writer.method(0, ConnectionUpdateSecretOk())
        connection.wake()
        long, patience = connection.broker.matcher.long, Patience()
        for channel in list(connection.channels.values()):
            channel.consuming.cancel_refused(patience)
        connection.count_searches(long)
    else:
        raise AmqpError(CHANNEL_ERROR, "unexpected method in connection state running")


def open_channel(connection: Connection, number: int, reader: FrameReader) -> None:
    """A frame on a channel that is not open: only channel.open is right."""
    if connection.handshake.state != DONE:
        connection.method_id = 0
        raise AmqpError(UNEXPECTED_FRAME, f"type {reader.kind}, {octets(reader.payload())}")
    method = decode_method(connection, reader.payload()) if reader.kind == FRAME_METHOD else None
    if method is None:
        raise AmqpError(UNEXPECTED_FRAME, "expected method frame, got non method frame instead")
    if not isinstance(method, ChannelOpen):
        raise AmqpError(CHANNEL_ERROR, "expected 'channel.open'")
    connection.method_id = 0
    if len(connection.channels) >= connection.channel_max:
        text = f"number of channels opened ({len(connection.channels)}) has reached the negotiated channel_max"
        raise AmqpError(NOT_ALLOWED, f"{text} ({connection.channel_max})")
    check_channel(connection.user)
    connection.add_channel(Channel(connection, number))
    connection.writer.method(number, ChannelOpenOk())
    connection.wake()
