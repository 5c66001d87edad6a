"""Connection: one client, from bytes to bytes.

The driver calls receive() with input, takes data_to_send() when the connection is on the broker's `awake` list, and
then reads three attributes: `login_request` (the driver must check it and call login() or refuse()), `is_paused` (do
not read for now), `finished` (send the rest, and end the socket as `ending` says).

life.py has its states and their table. Everything of the client is removed from the core before an error or close is
sent to it. Protocol errors are caught only here.
Source: rabbit_reader.erl handle_frame, handle_method0, handle_exception.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from librt.strings import read_i32_be
from mypy_extensions import i64

from leveret.core.access.user import User, check_channel, check_vhost
from leveret.core.broker import Broker
from leveret.core.client.conversation import CLOSE, HANG_UP, LEAVE, RESET
from leveret.core.errors.refusals import Refusal, node_channel_limit
from leveret.core.policy.matching import Patience
from leveret.core.queue.client import Held
from leveret.core.queue.entry import EntryOwner
from leveret.session.base.carrier import FEW_ROUTE_BYTES, STALL_LIMIT
from leveret.session.base.errors import AmqpError, as_reply
from leveret.session.channel import BASIC_PUBLISH, Channel
from leveret.session.connection.blocking import Blocking
from leveret.session.connection.deadline import Deadline
from leveret.session.connection.handshake import DONE, HEADER, LOGIN, OPEN, TUNE, Handshake
from leveret.session.connection.heartbeat import Heartbeat
from leveret.session.connection.life import (
    CLOSE_CAME,
    CLOSE_SENT,
    CLOSING,
    DEAF,
    ENDED,
    GARBLED,
    OPENED,
    OVER,
    RUNNING,
    SHAKING,
    SILENT,
    Life,
)
from leveret.session.connection.publisher_flow import PublisherFlow
from leveret.wire.constants import (
    CHANNEL_ERROR,
    CONNECTION_FORCED,
    FRAME_BODY,
    FRAME_ERROR,
    FRAME_HEADER,
    FRAME_HEARTBEAT,
    FRAME_METHOD,
    INITIAL_FRAME_MAX,
    INTERNAL_ERROR,
    NOT_ALLOWED,
    UNEXPECTED_FRAME,
)
from leveret.wire.content import Piece
from leveret.wire.methods import (
    ChannelOpen,
    ChannelOpenOk,
    ConnectionClose,
    ConnectionCloseOk,
    ConnectionUpdateSecret,
    ConnectionUpdateSecretOk,
)
from leveret.wire.reader import HEADER_FIXED, FrameError, FrameReader, octets

if TYPE_CHECKING:
    pass

LITTLE_BYTES: Final = 4096  # in one read, with few messages: little content, see Blocking.block()
LITTLE_MESSAGES: Final = 20
INPUT_LIMIT: Final = 64 * 1024  # bytes of waiting requests; above that the socket is not read
HANDSHAKE_MS: Final = 10_000
SILENCE_MS: Final = 3_000  # before a socket is closed without a reply
CLOSE_MS: Final = 30_000  # how long a client may take to answer connection.close

log = logging.getLogger("leveret.connection")


class Connection(Life):
    """One client connection."""

    def __init__(self, broker: Broker, name: str, peer: str, version: str) -> None:
        super().__init__(broker, name, peer, version)
        self.channel_max = 0
        self.channels: dict[int, Channel] = {}
        self.last_channel: Channel | None = None  # the channel of the last frame
        self.reader = FrameReader(INITIAL_FRAME_MAX)
        self._held_revision = 0  # hold output until the definitions are durable up to here
        self.handshake = Handshake(self)
        self.blocking = Blocking(self)
        self.publisher_flow = PublisherFlow(self)
        self.heartbeat = Heartbeat(self)
        self.deadline = Deadline(self)
        broker.connections[self.number] = self
        self.deadline.set(HANDSHAKE_MS, "handshake took too long", CLOSE)

    # -- bytes in

    def receive(self, data: bytes) -> None:
        """Handle bytes from the client; all their effects are computed before this returns."""
        if self.state >= SILENT and self.state != CLOSING:
            return
        if data:
            self.heartbeat.has_received = True
            self.counters.bytes_in += len(data)
            self.counters.reads += 1
        reader = self.reader
        if self.is_stalled and self.state != CLOSING:
            reader.put_by(data)
            return
        self.turn_methods = 0
        self.sends_parts = False
        reader.feed(data)
        before = self.published
        revision = self.broker.revision
        try:
            if self.state == SHAKING and self.handshake.state == HEADER and not self.handshake.begin(reader):
                return
            is_open = self.state != SHAKING
            while (
                ((self.state < SILENT and not self.is_stalled) or self.state == CLOSING)
                and (is_open or self.handshake.state != LOGIN)
                and reader.next()
            ):
                self._frame(reader)
        except FrameError as error:
            self.method_id = 0
            if self.handshake.state < OPEN:
                self._fall_silent(str(error))
            else:
                self.go(GARBLED)
                self.close(AmqpError(FRAME_ERROR, str(error)))
        reader.rest()
        self.sends_parts = self.sends_parts or reader.run_due() > 0
        if self.published != before and self.state < CLOSING:
            self.publisher_flow.spend(self.published - before)
        self.broker.settle()
        if self.broker.revision != revision:
            self._hold(self.broker.revision)
        if self.broker.alarms.raised and (self.published != before or self.sends_parts):
            self.blocking.block(len(data) <= LITTLE_BYTES and self.published - before <= LITTLE_MESSAGES)
        self.check_output()

    def _frame(self, reader: FrameReader) -> None:
        """Handle the reader's current frame, and turn errors into replies."""
        self.method_id = 0
        number = int(reader.channel)
        try:
            if reader.kind == FRAME_METHOD:
                if reader.stop - reader.start < 4:
                    raise self._unknown_frame(reader)
                self.method_id = i64(read_i32_be(reader.data, reader.start))
            elif reader.kind == FRAME_HEADER:
                if reader.stop - reader.start < HEADER_FIXED:
                    raise self._unknown_frame(reader)
            elif reader.kind != FRAME_BODY:
                self._other_frame(reader)
                return
            channel = self.last_channel
            if channel is None or channel.number != number:
                channel = self.last_channel = self.channels.get(number)
            if channel is not None:
                channel.frame(reader)
            elif number == 0:
                self._channel_zero(reader)
            elif self.state < CLOSING:
                self._open_channel(number, reader)
        except Refusal as refusal:
            self._answer(as_reply(refusal), number)
        except Exception as mistake:
            self.fail(f"handle a frame on channel {number}", mistake)

    # -- frames that belong to no open channel

    def _other_frame(self, reader: FrameReader) -> None:
        """Handle a heartbeat or a frame of unknown type. Raises: AmqpError."""
        if reader.kind != FRAME_HEARTBEAT:
            raise self._unknown_frame(reader)
        if reader.start != reader.stop:
            raise self._unknown_frame(reader)
        if reader.channel != 0:
            raise AmqpError(UNEXPECTED_FRAME, f"type {reader.kind}, {octets(reader.payload())}")

    def _unknown_frame(self, reader: FrameReader) -> AmqpError:
        """The error for an invalid frame, which also ends an incomplete content."""
        self.method_id = 0
        channel = self.channels.get(int(reader.channel))
        if channel is not None:
            channel.publishing.forget()
        return AmqpError(FRAME_ERROR, f"type {reader.kind}, {octets(reader.payload())}: unknown_frame")

    def _channel_zero(self, reader: FrameReader) -> None:
        """Handle a frame on channel 0. Raises: AmqpError."""
        if reader.kind != FRAME_METHOD:
            raise AmqpError(UNEXPECTED_FRAME, f"type {reader.kind}, {octets(reader.payload())}")
        method = self.decode(reader.payload())
        if isinstance(method, ConnectionCloseOk) and self.state == CLOSING:
            self.finish("closed by us", HANG_UP)
        elif isinstance(method, ConnectionClose) and self.handshake.state == DONE:
            self._leave(CLOSE_CAME)
            self.writer.method(0, ConnectionCloseOk())
            self.finish("closed by the client", LEAVE)
        elif self.state == CLOSING:
            pass
        elif self.state == SHAKING:
            self.handshake.method(method)
        elif isinstance(method, ConnectionUpdateSecret):
            self._update_secret()
        else:
            raise AmqpError(CHANNEL_ERROR, "unexpected method in connection state running")

    def _update_secret(self) -> None:
        """The client has a new token: cancel consumers that are no longer permitted."""
        check_vhost(self.user, self.vhost.name)
        self.writer.method(0, ConnectionUpdateSecretOk())
        self.wake()
        long, patience = self.broker.matcher.long, Patience()
        for channel in list(self.channels.values()):
            channel.consuming.cancel_refused(patience)
        self.count_searches(long)

    def _open_channel(self, number: int, reader: FrameReader) -> None:
        """Handle a frame on a channel that is not open: only channel.open is valid. Raises: AmqpError."""
        if self.state == SHAKING:
            self.method_id = 0
            raise AmqpError(UNEXPECTED_FRAME, f"type {reader.kind}, {octets(reader.payload())}")
        method = self.decode(reader.payload()) if reader.kind == FRAME_METHOD else None
        if method is None:
            raise AmqpError(UNEXPECTED_FRAME, "expected method frame, got non method frame instead")
        if not isinstance(method, ChannelOpen):
            raise AmqpError(CHANNEL_ERROR, "expected 'channel.open'")
        self.method_id = 0
        if len(self.channels) >= self.channel_max:
            text = f"number of channels opened ({len(self.channels)}) has reached the negotiated channel_max"
            raise AmqpError(NOT_ALLOWED, f"{text} ({self.channel_max})")
        check_channel(self.user)
        broker = self.broker
        if 0 < broker.max_channels <= broker.open_channels:
            raise node_channel_limit(broker.node, broker.max_channels)
        self.channels[number] = Channel(self, number)
        self.user.channels += 1
        broker.open_channels += 1
        broker.churn.channels_opened += 1
        self.writer.method(number, ChannelOpenOk())
        self.wake()

    # -- errors

    def _answer(self, error: AmqpError, number: int) -> None:
        """Reply to an error of the current frame. number: its channel."""
        if self.handshake.state < OPEN and error.code != NOT_ALLOWED:
            self._fall_silent(error.reply_text)
            return
        channel = self.channels.get(number)
        if channel is not None and channel.publishing.was_content:
            self.method_id = BASIC_PUBLISH
        if error.is_soft and channel is not None:
            self._close_channel(channel, error, int(self.method_id))
        else:
            self.close(error)

    def _close_channel(self, channel: Channel, error: AmqpError, method_id: int) -> None:
        """Close a channel for a soft error. method_id: of the method that failed, 0 for none."""
        log.warning("connection %s, channel %d: %s", self.name, channel.number, error.log_text)
        channel.fail(error, method_id)

    def fail_channel(self, number: int, refusal: Refusal, method_id: int = 0) -> None:
        """Close an open channel for a soft error. method_id: of an earlier method that caused it; 0 for none."""
        self._close_channel(self.channels[number], as_reply(refusal), method_id)

    def close(self, error: AmqpError) -> None:
        """Close the connection for a hard error with connection.close, unless it is closing already."""
        if self.state >= CLOSING:
            return
        log.warning("connection %s: closed with %d %s", self.name, error.code, error.log_text)
        self._leave(CLOSE_SENT)
        method_id = int(self.method_id)
        self.writer.method(0, ConnectionClose(error.code, error.reply_text, method_id >> 16, method_id & 0xFFFF))
        self.wake()
        is_deaf = self.state == DEAF
        patience_ms = SILENCE_MS if is_deaf else CLOSE_MS
        if self.handshake.state < TUNE:
            patience_ms = SILENCE_MS  # not authenticated yet
        elif self.heartbeat_s and not is_deaf:
            patience_ms = min(CLOSE_MS, self.heartbeat_s * 1000)
        ending = HANG_UP if is_deaf else RESET  # in DEAF, the client may have answered unread
        self.deadline.set(patience_ms, "closed without an answer from the client", ending)

    def _fall_silent(self, why: str) -> None:
        """The handshake has failed: send nothing, and close the socket after SILENCE_MS."""
        log.warning("connection %s: handshake failed: %s", self.name, why)
        self.go(GARBLED)
        self.deadline.set(SILENCE_MS, why, CLOSE)

    def fail(self, doing: str, error: Exception) -> None:
        """Work for this client has failed: close it with 541, and handle no more requests."""
        if not self.has_failed and self.state != ENDED:
            self.has_failed = True
            self.is_stalled = True
            self.broker.faults.tell(f"connection {self.name}", doing, error)
            self.broker.faults.close(self)

    def close_failed(self) -> None:
        """Close it after a failure, and remove it from the core even if closing fails too."""
        self.method_id = 0
        try:
            self.close(AmqpError(INTERNAL_ERROR, ""))
        except Exception as error:
            self.broker.faults.tell(f"connection {self.name}", "close it", error)
            self.finish("closed after an internal error", HANG_UP)

    def due(self) -> int:
        """How many bytes of a large body are still to come."""
        return self.reader.run_due()

    def take_back(self) -> int:
        """Drop an incomplete frame at the end of the input. Returns: its bytes, which the driver passes again."""
        return self.reader.take_back()

    # -- memory

    def release(self, want: i64) -> None:
        """Page out contents of unacknowledged deliveries; drop cached routes if there are many."""
        budget = self.broker.budget
        target = budget.used - want
        if self.routes_bytes > FEW_ROUTE_BYTES:
            self.forget_routes()
        for channel in self.channels.values():
            if budget.used <= target:
                break
            channel.consuming.unacked.leave_contents(budget, target)

    def held(self, queue: EntryOwner | None) -> list[Held]:
        """The client's unacknowledged deliveries of a queue, or of all for None. Cost: linear in their number."""
        return [
            held
            for channel in self.channels.values()
            for held in channel.consuming.held(queue, channel.consuming.transaction)
        ]

    def note_oldest(self, sent_ms: dict[int, int]) -> None:
        """Note the time of the oldest unacknowledged delivery, by queue id."""
        for channel in self.channels.values():
            channel.consuming.unacked.note_oldest(sent_ms)

    # -- bytes out

    def _go_on(self) -> None:
        """Handle waiting requests if the client has read enough replies, or if only the answer to a close counts."""
        if self.is_stalled and (self.state >= CLOSING or (not self.waits and self.writer.size() < STALL_LIMIT)):
            self.is_stalled = False
            self.receive(b"")

    def data_to_send(self) -> list[Piece]:
        """The output to send now, in pieces. Takes the connection off the `awake` list."""
        self.is_awake = False
        for publishing in self.unflushed:
            publishing.flush()
        self.unflushed.clear()
        if not self.is_writable and self.state != ENDED:
            return []
        data: list[Piece] = []
        if self.urgent:
            data.append(self.urgent)
            self.urgent = b""
        if not self._held_revision or self.state == ENDED:
            data += self.writer.take_pieces()
        if data:
            self.counters.writes += 1
            for piece in data:
                self.counters.bytes_out += len(piece)
            self.heartbeat.sent_ms = self.broker.clock.now_ms
        return data

    def not_flushed(self) -> None:
        """The driver failed to send; allow another wake()."""
        self.is_awake = False

    def flushed(self) -> None:
        """The driver has sent the output; consumers continue unless it called pause_writing() meanwhile."""
        if not self.is_writable or self._held_revision:
            return
        if self.is_choked:
            self._unchoke()
        self._go_on()

    def pause_writing(self) -> None:
        """The socket buffer is full."""
        self.is_writable = False

    def resume_writing(self) -> None:
        """The socket accepts data again."""
        self.is_writable = True
        self._unchoke()
        self.wake()

    def _unchoke(self) -> None:
        self.is_choked = False
        for channel in self.channels.values():
            channel.consuming.resume()
        self.broker.settle()

    def _hold(self, revision: int) -> None:
        """Hold output until the definitions are durable up to this revision."""
        if revision > self.broker.durable_revision:
            self._held_revision = revision
            self.broker.hold(self, revision)

    def on_definitions_durable(self, revision: int) -> None:
        """Release the replies that waited for this revision."""
        if revision >= self._held_revision:
            self._held_revision = 0
            self.wake()

    # -- called by the driver

    def login(self, user: User) -> None:
        """Accept the login, and handle what the client has sent meanwhile."""
        self.login_request = None
        if self.state == SHAKING:
            self.handshake.accepted(user)
            self.receive(b"")

    def refuse(self, reason: str) -> None:
        """Refuse the login. reason: for the log."""
        if self.state != SHAKING:
            return
        log.warning("connection %s: login refused: %s", self.name, reason)
        self.login_request = None
        error = self.handshake.refused()
        if error is None:
            self._fall_silent("login refused, no reply sent")
        else:
            self.method_id = 0
            self.close(error)

    def lost(self) -> None:
        """The socket is gone; handle what was received before."""
        try:
            while self.is_stalled and self.state != ENDED and self.writer.size() < STALL_LIMIT and self.reader.waiting:
                for wait in list(self.waits):
                    wait.finish()
                self._go_on()
        except Exception as error:
            self.fail("handle its last requests", error)
        if self.state == RUNNING:
            log.warning("connection %s: client closed the socket without connection.close", self.name)
        self._end()
        self.broker.settle()

    def force_close(self, reason: str) -> None:
        """Close for an operator or at shutdown, with connection.close 320."""
        if self.handshake.state != DONE:
            self.finish(reason, CLOSE)
        elif self.state < CLOSING:
            self.method_id = 0
            self.close(AmqpError(CONNECTION_FORCED, reason))
            self.broker.settle()

    # -- life

    def has_waited(self, spent_ms: int) -> None:
        """Shorten the handshake deadline by the time that TLS took."""
        self.deadline.set(max(HANDSHAKE_MS - spent_ms, 0), "handshake took too long", CLOSE)

    def seems_alive(self, now_ms: int) -> None:
        """Count heartbeats as received and sent at this time."""
        self.heartbeat.has_received = True
        self.heartbeat.sent_ms = now_ms

    def tuned(self, channel_max: int, frame_max: int, heartbeat_s: int) -> None:
        """The client has answered connection.tune."""
        self.channel_max = channel_max
        self.reader.frame_max = frame_max
        self.writer.frame_max = frame_max
        self.heartbeat_s = heartbeat_s
        self.heartbeat.start(heartbeat_s)

    def opened(self) -> None:
        """The handshake is complete."""
        self.go(OPENED)
        self.broker.open_connections += 1
        self.broker.churn.connections_opened += 1
        self.user.connections += 1
        self.vhost.connections += 1
        self.deadline.lift()
        self.wake()
        log.info("connection %s: user '%s' opened vhost '%s'", self.name, self.user.name, self.vhost.name)

    def forget_channel(self, number: int) -> None:
        """The channel has ended: free its number."""
        self.last_channel = None
        channel = self.channels.pop(number)
        self._count_closed(1)
        channel.forget()

    def _count_closed(self, channels: int) -> None:
        self.user.channels -= channels
        self.broker.open_channels -= channels
        self.broker.churn.channels_closed += channels

    def finish(self, why: str, ending: int) -> None:
        """End the connection: handle no more input, write only pending output. why: for the log."""
        log.log(logging.WARNING if ending == RESET else logging.INFO, "connection %s: %s", self.name, why)
        self.ending = ending
        self._end()
        self.wake()

    @property
    def is_paused(self) -> bool:
        """Whether the driver should not read from this client now."""
        if self.state >= CLOSING:
            return False  # read on: for the answer to a close, or to discard
        return self.is_in_flow or self.is_blocked or (self.is_stalled and self.reader.waiting >= INPUT_LIMIT)

    def _end(self) -> None:
        if self.state == ENDED:
            return
        self._leave(OVER)
        self.end_counters()
        self.login_request = None
        self.broker.connections.pop(self.number, None)
        self.deadline.stop()
        self.heartbeat.stop()
        self.publisher_flow.forget()
        self.blocking.forget()
        self.handshake.forget()

    def _leave(self, event: int) -> None:
        """Remove the client from the core, and change the state."""
        if self.state < CLOSING:
            self._release()
        self.go(event)

    def _release(self) -> None:
        """Remove everything of the client from the core: channels first, then exclusive queues."""
        faults = self.broker.faults
        for channel in list(self.channels.values()):
            try:
                channel.lose()
            except Exception as error:
                faults.tell(f"connection {self.name}", f"end channel {channel.number}", error)
            channel.forget()
        self._count_closed(len(self.channels))
        self.channels.clear()
        self.last_channel = None
        if self.handshake.state == DONE:
            self.broker.open_connections -= 1
            self.broker.churn.connections_closed += 1
            self.user.connections -= 1
            self.vhost.connections -= 1
        for queue in list(self.exclusive_queues):
            if not queue.deleted:
                try:
                    queue.vhost.remove_queue(queue)
                except Exception as error:
                    faults.tell(f"connection {self.name}", "delete an exclusive queue", error)
        self.exclusive_queues.clear()
        self.forget_routes()
        self.publisher_flow.stop()
        self.blocking.stop()
