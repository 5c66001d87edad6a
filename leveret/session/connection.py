"""Connection: one client, from bytes to bytes.

The driver calls receive() with what came in, takes data_to_send() when the connection is on the broker's `awake`
list, and looks at three attributes afterwards: `login_request` (somebody has to check it and call login() or
refuse()), `is_paused` (do not read for now), `finished` (send what is left and close the socket).

States: the handshake's, then running, then closing: connection.close was sent and everything but its answer is
ignored. Whatever the end is, release() leaves nothing of the client in the core.
Errors of the protocol are caught here and only here.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from librt.strings import read_i32_be
from mypy_extensions import i64

from leveret.core.access import Credential, User
from leveret.core.broker import Broker
from leveret.core.clock import Timed
from leveret.core.errors import AmqpError
from leveret.core.exchange import Route
from leveret.core.ports import Client, Sink
from leveret.core.queue import Queue
from leveret.session import control
from leveret.session.channel import BASIC_PUBLISH, Channel
from leveret.session.handshake import DONE, HEADER, LOGIN, OPEN, Handshake, LoginRequest
from leveret.session.heartbeat import Heartbeat
from leveret.session.pacing import Pacing
from leveret.wire.constants import (
    CONNECTION_FORCED,
    FRAME_BODY,
    FRAME_ERROR,
    FRAME_HEADER,
    FRAME_METHOD,
    INITIAL_FRAME_MAX,
    INTERNAL_ERROR,
    MAX_MESSAGE_SIZE,
    NOT_ALLOWED,
)
from leveret.wire.fields import Table
from leveret.wire.methods import (
    ConnectionClose,
)
from leveret.wire.reader import FrameError, FrameReader
from leveret.wire.writer import FrameWriter

if TYPE_CHECKING:
    from leveret.core.vhost import VirtualHost
    from leveret.session.publishing import Publishing

OUTPUT_LIMIT: Final = 256 * 1024  # bytes waiting to be sent, from which on consumers get no more
HANDSHAKE_MS: Final = 10_000
SILENCE_MS: Final = 3_000  # before a socket is closed without a word, as rabbit_reader.erl
CLOSE_MS: Final = 30_000  # how long a client may take to answer connection.close

HANDSHAKE_TIMER: Final = 1  # timer tokens
END_TIMER: Final = 2

log = logging.getLogger("leveret.connection")


class Connection(Timed, Sink, Client):
    """One client connection.

    name: both addresses, for the log. peer: address of the client. number: never 0, unique in this process.
    """

    def __init__(self, broker: Broker, name: str, peer: str, version: str) -> None:
        self.broker = broker
        self.name = name
        self.peer = peer
        self.version = version
        self.number = broker.connection_number()
        self.user = User("", Credential("", ""), ())
        self.vhost = broker.nowhere
        self.client_properties: Table = {}
        self.capabilities: frozenset[str] = frozenset()
        self.max_message_size: i64 = MAX_MESSAGE_SIZE
        self.channel_max = 0
        self.heartbeat_s = 0
        self.channels: dict[int, Channel] = {}
        self.exclusive_queues: dict[Queue, None] = {}
        self.routes: dict[bytes, Route] = {}
        self.writer = FrameWriter()
        self.unflushed: list[Publishing] = []  # channels with confirms to send
        self.published: i64 = 0  # messages, ever
        self.login_request: LoginRequest | None = None
        self.is_paused = False
        self.finished = False
        self._reader = FrameReader(INITIAL_FRAME_MAX)
        self.handshake = Handshake(self)
        self.method_id: i64 = 0  # of the frame at hand, for error replies
        self.closing = False
        self.deaf = False  # the stream cannot be read any further
        self._released = False
        self._awake = False
        self._held_revision = 0  # nothing is sent before the definitions are durable up to here
        self._choked = False  # a consumer found no room
        self._writable = True
        self._pacing = Pacing(self)
        self._heartbeat = Heartbeat(self)
        broker.connections[self.number] = self
        broker.timers.call_at(broker.clock.now_ms + HANDSHAKE_MS, self, HANDSHAKE_TIMER)

    # -- bytes in

    def receive(self, data: bytes) -> None:
        """Take bytes from the client; their whole consequence is computed before this returns."""
        if self.finished or self.deaf:
            return
        self._heartbeat.has_received = True
        reader = self._reader
        reader.feed(data)
        before = self.published
        revision = self.broker.revision
        try:
            if self.handshake.state == HEADER and not self._protocol_header():
                return
            while not self.finished and not self.deaf and self.handshake.state != LOGIN and reader.next():
                self._frame(reader)
        except FrameError as error:
            self.method_id = 0
            self.deaf = True
            if self.handshake.state < OPEN:
                self._silence(str(error))
            else:
                self._fail(AmqpError(FRAME_ERROR, str(error)))
        reader.rest()
        if self.published != before:
            self._pacing.spend(self.published - before)
        self.broker.settle()
        if self.broker.revision != revision:
            self._hold(self.broker.revision)

    def _protocol_header(self) -> bool:
        """Read the first eight bytes once they are there. Returns: whether frames may follow."""
        data = self._reader.skip(8)
        if data is None:
            self._reader.keep(8)
            return False
        return self.handshake.header(data)

    def _frame(self, reader: FrameReader) -> None:
        """Handle the reader's current frame, and turn what goes wrong into a reply."""
        self.method_id = 0
        number = int(reader.channel)
        try:
            if reader.kind == FRAME_METHOD:
                if reader.stop - reader.start < 4:
                    raise control.unknown_frame(self, reader)
                self.method_id = i64(read_i32_be(reader.data, reader.start))
            elif reader.kind != FRAME_HEADER and reader.kind != FRAME_BODY:
                control.other_frame(self, reader)
                return
            channel = self.channels.get(number)
            if channel is not None:
                if not self.closing:
                    channel.frame(reader)
            elif number == 0:
                control.channel_zero(self, reader)
            elif not self.closing:
                control.open_channel(self, number, reader)
        except AmqpError as error:
            self._error(error, number)
        except Exception:
            log.exception("connection %s: internal error", self.name)
            self.method_id = 0
            self._fail(AmqpError(INTERNAL_ERROR, ""))

    def _error(self, error: AmqpError, number: int) -> None:
        channel = self.channels.get(number)
        if self.handshake.state < OPEN and error.code != NOT_ALLOWED:
            self._silence(f"{error.reply_text}")
            return
        if channel is not None and not self.deaf and channel.publishing.was_content:
            self.method_id = BASIC_PUBLISH
        if error.is_soft and channel is not None:
            log.warning("connection %s, channel %d: %s", self.name, number, error.reply_text)
            channel.fail(error, int(self.method_id))
        else:
            self._fail(error)

    # -- bytes out

    def wake(self) -> None:
        """There is something to send, or an attribute that the driver looks at has changed."""
        if not self._awake:
            self._awake = True
            self.broker.awake.append(self)

    def can_take(self) -> bool:
        """Whether a consumer may have another message."""
        if self._writable and self.writer.size() < OUTPUT_LIMIT:
            return True
        self._choked = True
        return False

    def data_to_send(self) -> bytes:
        """All that has to be sent now. The connection is off the `awake` list afterwards."""
        self._awake = False
        for publishing in self.unflushed:
            publishing.flush()
        self.unflushed.clear()
        if self._held_revision and not self.finished:
            return b""
        if self.writer.size():
            self._heartbeat.sent_ms = self.broker.clock.now_ms
        return self.writer.take()

    def flushed(self) -> None:
        """The driver has sent it; unless it said pause_writing() meanwhile, consumers may go on."""
        if self._choked and self._writable and not self._held_revision:
            self._unchoke()

    def pause_writing(self) -> None:
        """The socket takes no more for now."""
        self._writable = False

    def resume_writing(self) -> None:
        """The socket takes more again."""
        self._writable = True
        self._unchoke()

    def _unchoke(self) -> None:
        self._choked = False
        for channel in self.channels.values():
            channel.consuming.resume()
        self.broker.settle()

    def _hold(self, revision: int) -> None:
        """Send nothing before the definitions are durable up to this revision."""
        if revision > self.broker.durable_revision:
            self._held_revision = revision
            self.broker.hold(self, revision)

    def on_definitions_durable(self, revision: int) -> None:
        """Replies that waited may go."""
        if revision >= self._held_revision:
            self._held_revision = 0
            self.wake()

    # -- the driver's verbs

    def login(self, user: User) -> None:
        """The login request was good; go on with what the client has sent meanwhile."""
        self.login_request = None
        if not self.finished:
            self.handshake.accepted(user)
            self.receive(b"")

    def refuse(self, reason: str) -> None:
        """The login request was not good. reason: for the log."""
        if self.finished:
            return
        log.warning("connection %s: login refused: %s", self.name, reason)
        self.login_request = None
        error = self.handshake.refused()
        if error is None:
            self._silence("login refused, nothing said")
        else:
            self.method_id = 0
            self._fail(error)

    def lost(self) -> None:
        """The socket is gone."""
        if not self.finished and self.handshake.state == DONE and not self.closing:
            log.warning("connection %s: client closed the socket without connection.close", self.name)
        self._end()
        self.broker.settle()

    def belongs_to(self, user: User | None, vhost: VirtualHost | None) -> bool:
        """Whether it is this user's and uses this virtual host; None for any."""
        return (user is None or self.user is user) and (vhost is None or self.vhost is vhost)

    def force_close(self, reason: str) -> None:
        """Close for an operator or at shutdown: connection.close 320."""
        if self.handshake.state != DONE:
            self.finish(reason)
        elif not self.closing and not self.finished:
            self.method_id = 0
            self._fail(AmqpError(CONNECTION_FORCED, reason))
            self.broker.settle()

    # -- life

    def tuned(self, channel_max: int, frame_max: int, heartbeat_s: int) -> None:
        """The client has answered connection.tune."""
        self.channel_max = channel_max
        self._reader.frame_max = frame_max
        self.writer.frame_max = frame_max
        self.heartbeat_s = heartbeat_s
        self._heartbeat.start(heartbeat_s)

    def opened(self) -> None:
        """The handshake is done."""
        self.user.connections += 1
        self.vhost.connections += 1
        self.wake()
        log.info("connection %s: user '%s' opened vhost '%s'", self.name, self.user.name, self.vhost.name)

    def add_channel(self, channel: Channel) -> None:
        """A channel begins."""
        self.channels[channel.number] = channel
        self.user.channels += 1

    def forget_channel(self, channel: Channel) -> None:
        """The channel's number is free again."""
        if self.channels.pop(channel.number, None) is not None:
            self.user.channels -= 1

    def finish(self, why: str) -> None:
        """Nothing more is read or written after what is already waiting."""
        log.info("connection %s: %s", self.name, why)
        self._end()
        self.wake()

    def set_paused(self, paused: bool) -> None:
        """Whether the driver should read from this client."""
        self.is_paused = paused
        self.wake()

    def on_timer(self, token: int) -> None:
        """A time limit of the handshake or of a close is reached."""
        if self.finished:
            return
        if token == HANDSHAKE_TIMER:
            if self.handshake.state != DONE:
                self.finish("handshake took too long")
        elif token == END_TIMER:
            self.finish("closed without an answer from the client")

    def _fail(self, error: AmqpError) -> None:
        """Close for a hard error: everything of the client is gone before it is told."""
        if self.closing:
            return
        log.warning("connection %s: closed with %d %s", self.name, error.code, error.reply_text)
        self.release()
        self.closing = True
        method_id = int(self.method_id)
        class_id = method_id >> 16
        self.writer.method(0, ConnectionClose(error.code, error.reply_text, class_id, method_id & 0xFFFF))
        self.wake()
        patience_ms = SILENCE_MS if self.deaf else CLOSE_MS
        if self.heartbeat_s and not self.deaf:
            patience_ms = min(CLOSE_MS, self.heartbeat_s * 1000)
        self.broker.timers.call_at(self.broker.clock.now_ms + patience_ms, self, END_TIMER)

    def _silence(self, why: str) -> None:
        """Say nothing and close the socket after a while."""
        log.warning("connection %s: %s", self.name, why)
        self.deaf = True
        self.broker.timers.call_at(self.broker.clock.now_ms + SILENCE_MS, self, END_TIMER)

    def _end(self) -> None:
        self.release()
        self.finished = True
        self.login_request = None
        self.broker.connections.pop(self.number, None)

    def release(self) -> None:
        """Take everything of this client out of the core: channels first, then its exclusive queues."""
        if self._released:
            return
        self._released = True
        for channel in list(self.channels.values()):
            channel.publishing.flush()
            channel.shut()
        self.user.channels -= len(self.channels)
        self.channels.clear()
        if self.handshake.state == DONE:
            self.user.connections -= 1
            self.vhost.connections -= 1
        for queue in self.exclusive_queues:
            if not queue.deleted:
                queue.vhost.remove_queue(queue)
        self.exclusive_queues.clear()
        self.routes.clear()
        self._pacing.stop()
