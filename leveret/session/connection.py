"""Connection: one client, from bytes to bytes.

The driver calls receive() with what came in, takes data_to_send() when the connection is on the broker's `awake`
list, and looks at three attributes afterwards: `login_request` (somebody has to check it and call login() or
refuse()), `is_paused` (do not read for now), `finished` (send what is left, and end the socket as `ending` says).

States: the handshake's, then running, then closing: connection.close was sent and everything but its answer is
ignored. Whatever the end is, failing.release() leaves nothing of the client in the core.
Errors of the protocol are caught here and only here.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from librt.strings import read_i32_be
from mypy_extensions import i64

from leveret.core.access.user import Credential, User
from leveret.core.broker import Broker
from leveret.core.errors.amqp import AmqpError
from leveret.core.errors.hints import Origin
from leveret.core.exchange.exchange import Route
from leveret.core.queue.client import Client
from leveret.core.queue.entry import EntryOwner, Home
from leveret.core.turn.turn import Sink
from leveret.session import control, failing
from leveret.session.blocking import Blocking
from leveret.session.channel import Channel
from leveret.session.deadline import Deadline
from leveret.session.ending import CLOSE, HANG_UP, RESET
from leveret.session.handshake import DONE, HEADER, LOGIN, OPEN, Handshake, LoginRequest
from leveret.session.heartbeat import Heartbeat
from leveret.session.pacing import Pacing
from leveret.session.wait import Wait
from leveret.wire.constants import (
    CONNECTION_FORCED,
    FRAME_BODY,
    FRAME_ERROR,
    FRAME_HEADER,
    FRAME_METHOD,
    INITIAL_FRAME_MAX,
    INTERNAL_ERROR,
)
from leveret.wire.content import Piece
from leveret.wire.fields import Table
from leveret.wire.reader import HEADER_FIXED, FrameError, FrameReader
from leveret.wire.writer import FrameWriter

if TYPE_CHECKING:
    from leveret.session.publishing import Publishing

OUTPUT_LIMIT: Final = 256 * 1024  # bytes waiting to be sent, from which on consumers get no more
STALL_LIMIT: Final = 1024 * 1024  # the same, from which on nothing more is answered
TURN_METHODS: Final = 200  # methods, publishes and acks apart, after which others have their turn
LONG_METHODS: Final = 50  # as which a search counts that takes long: some hundred microseconds, milliseconds at worst
LITTLE_BYTES: Final = 4096  # in one read, with few messages: no reason to let a client wait
LITTLE_MESSAGES: Final = 20
INPUT_LIMIT: Final = 64 * 1024  # bytes of requests that wait, from which on the socket is not read either
HANDSHAKE_MS: Final = 10_000
ROUTE_BYTES: Final = 700  # of memory that a cached route needs, about, beside its key
MAX_ROUTE_BYTES: Final = 4 << 20  # of all of one connection
FEW_ROUTE_BYTES: Final = 16 << 10  # that are not worth forgetting

log = logging.getLogger("leveret.connection")


class Connection(Sink, Client):
    """One client connection.

    name: both addresses, for the log. peer: address of the client. number: never 0, unique in this process.
    routes_bytes: of memory that its cached routes need, about.
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
        self.max_message_size: i64 = broker.max_message_size
        self.channel_max = 0
        self.heartbeat_s = 0
        self.channels: dict[int, Channel] = {}
        self.exclusive_queues: dict[EntryOwner, None] = {}
        self._routes: dict[bytes, Route] = {}  # by the arguments of basic.publish
        self._routes_generation = 0  # of the virtual host, when they were found
        self.routes_bytes: i64 = 0
        self.writer = FrameWriter()
        self.urgent = b""  # frames of channel 0 that do not wait for the disk, as replies do
        self.unflushed: list[Publishing] = []  # channels with confirms to send
        self.published: i64 = 0  # messages, ever
        self.login_request: LoginRequest | None = None
        self.is_paced = False  # made to wait for its queues
        self.blocking = Blocking(self)
        self.sends_parts = False  # of a content, in this read
        self.finished = False
        self.ending = HANG_UP  # one of those of ending.py, once it is finished
        self.has_failed = False  # and is about to be closed with 541
        self.reader = FrameReader(INITIAL_FRAME_MAX)
        self.handshake = Handshake(self)
        self.method_id: i64 = 0  # of the frame at hand, for error replies
        self.closing = False
        self.deaf = False  # the stream cannot be read any further
        self.is_released = False
        self._awake = False
        self._held_revision = 0  # nothing is sent before the definitions are durable up to here
        self._choked = False  # a consumer found no room
        self.last_channel: Channel | None = None  # that a frame was for
        self._stalled = False  # requests wait: for answers to be taken, for the next turn, or for one of them
        self.waits: list[Wait] = []  # that go on
        self._turn_methods: i64 = 0  # looked at in this turn
        self._writable = True
        self.pacing = Pacing(self)
        self.heartbeat = Heartbeat(self)
        broker.connections[self.number] = self
        self.deadline = Deadline(self)
        self.deadline.set(HANDSHAKE_MS, "handshake took too long", CLOSE)

    # -- bytes in

    def receive(self, data: bytes) -> None:
        """Take bytes from the client; their whole consequence is computed before this returns."""
        if self.finished or self.deaf:
            return
        self.heartbeat.has_received = True
        reader = self.reader
        if self._stalled and not self.closing:
            reader.put_by(data)
            return
        self._turn_methods = 0
        self.sends_parts = False
        reader.feed(data)
        before = self.published
        revision = self.broker.revision
        try:
            if self.handshake.state == HEADER and not self.handshake.begin(reader):
                return
            is_open = self.handshake.state == DONE
            while (
                not self.finished
                and not self.deaf
                and (self.closing or not self._stalled)
                and (is_open or self.handshake.state != LOGIN)
                and reader.next()
            ):
                self._frame(reader)
        except FrameError as error:
            self.method_id = 0
            self.deaf = True
            if self.handshake.state < OPEN:
                failing.fall_silent(self, str(error))
            else:
                failing.close(self, AmqpError(FRAME_ERROR, str(error)))
        reader.rest()
        self.sends_parts = self.sends_parts or reader.run_due() > 0
        if self.published != before and not self.closing and not self.finished:
            self.pacing.spend(self.published - before)
        self.broker.settle()
        if self.broker.revision != revision:
            self._hold(self.broker.revision)
        if self.broker.alarms.raised and (self.published != before or self.sends_parts):
            self.blocking.block(len(data) <= LITTLE_BYTES and self.published - before <= LITTLE_MESSAGES)
        self.check_output()

    def _frame(self, reader: FrameReader) -> None:
        """Handle the reader's current frame, and turn what goes wrong into a reply."""
        self.method_id = 0
        number = int(reader.channel)
        try:
            if reader.kind == FRAME_METHOD:
                if reader.stop - reader.start < 4:
                    raise control.unknown_frame(self, reader)
                self.method_id = i64(read_i32_be(reader.data, reader.start))
            elif reader.kind == FRAME_HEADER:
                if reader.stop - reader.start < HEADER_FIXED:
                    raise control.unknown_frame(self, reader)
            elif reader.kind != FRAME_BODY:
                control.other_frame(self, reader)
                return
            channel = self.last_channel
            if channel is None or channel.number != number:
                channel = self.last_channel = self.channels.get(number)
            if channel is not None:
                if not self.closing:
                    channel.frame(reader)
            elif number == 0:
                control.channel_zero(self, reader)
            elif not self.closing:
                control.open_channel(self, number, reader)
        except AmqpError as error:
            failing.answer(self, error, number)
        except Exception as mistake:
            self.fail(f"handle a frame on channel {number}", mistake)

    def fail(self, doing: str, error: Exception) -> None:
        """Something that was done for this client has failed: it is closed with 541, and no request is looked at."""
        if not self.has_failed and not self.finished:
            self.has_failed = True
            self._stalled = True
            self.broker.faults.tell(f"connection {self.name}", doing, error)
            self.broker.faults.close(self)

    def close_failed(self) -> None:
        """Close it, and let nothing of it stay in the core, whatever else fails."""
        self.method_id = 0
        try:
            failing.close(self, AmqpError(INTERNAL_ERROR, ""))
        except Exception as error:
            self.broker.faults.tell(f"connection {self.name}", "close it", error)
            self.finish("closed after an internal error", HANG_UP)

    def fail_channel(self, channel: Channel, error: AmqpError) -> None:
        """Close a channel for a soft error that no method of it has caused."""
        failing.close_channel(self, channel, error, 0)

    # -- what can be let go

    def find_route(self, arguments: bytes) -> Route | None:
        """Where publishes with these arguments go, if that is known."""
        return self._routes.get(arguments)

    def keep_route(self, arguments: bytes, route: Route) -> None:
        """Remember where publishes with these arguments go."""
        generation = self.vhost.generation
        if self._routes_generation != generation or self.routes_bytes >= MAX_ROUTE_BYTES:
            self.forget_routes()
            self._routes_generation = generation
        size: i64 = ROUTE_BYTES + 3 * len(arguments)  # as they came, as text, as they are sent on
        self.routes_bytes += size
        self.broker.budget.used += size
        self._routes[arguments] = route

    def forget_routes(self) -> None:
        """Find out anew where publishes go."""
        self._routes.clear()
        self.broker.budget.used -= self.routes_bytes
        self.routes_bytes = 0

    def let_go(self, want: i64) -> None:
        """Leave contents of deliveries that wait for an ack to the log; forget routes if there are many."""
        budget = self.broker.budget
        target = budget.used - want
        if self.routes_bytes > FEW_ROUTE_BYTES:
            self.forget_routes()
        for channel in self.channels.values():
            if budget.used <= target:
                break
            channel.consuming.unacked.leave_contents(budget, target)

    def forget_queue(self, queue: EntryOwner) -> None:
        """A queue that is exclusive to this connection is deleted."""
        self.exclusive_queues.pop(queue, None)

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

    def check_output(self) -> None:
        """Look at no more requests while the client does not take the answers to those before."""
        if self.writer.size() >= STALL_LIMIT:
            self._stalled = True

    def count_method(self, methods: i64 = 1) -> None:
        """Something that takes its time: after much of it, the rest of this read waits for the next turn."""
        self._turn_methods += methods
        if self._turn_methods >= TURN_METHODS:
            self._stalled = True
            self.wake()

    def count_searches(self, before: int) -> None:
        """Count the searches of patterns that took long. before: how many had."""
        long = self.broker.matcher.long - before
        if long:
            self.count_method(long * LONG_METHODS)

    def stall(self) -> None:
        """Look at no more requests for now."""
        self._stalled = True

    def _go_on(self) -> None:
        """Look at the requests that waited, if the client has taken enough, or if only the answer to a close counts."""
        if self._stalled and (self.closing or (not self.waits and self.writer.size() < STALL_LIMIT)):
            self._stalled = False
            self.receive(b"")

    def data_to_send(self) -> list[Piece]:
        """All that has to be sent now, in pieces. The connection is off the `awake` list afterwards."""
        self._awake = False
        for publishing in self.unflushed:
            publishing.flush()
        self.unflushed.clear()
        if not self._writable and not self.finished:
            return []
        data: list[Piece] = []
        if self.urgent:
            data.append(self.urgent)
            self.urgent = b""
        if not self._held_revision or self.finished:
            data += self.writer.take_pieces()
        if data:
            self.heartbeat.sent_ms = self.broker.clock.now_ms
        return data

    def not_flushed(self) -> None:
        """The driver failed to send something: it may be asked again."""
        self._awake = False

    def flushed(self) -> None:
        """The driver has sent it; unless it said pause_writing() meanwhile, consumers may go on."""
        if not self._writable or self._held_revision:
            return
        if self._choked:
            self._unchoke()
        self._go_on()

    def pause_writing(self) -> None:
        """The socket takes no more for now."""
        self._writable = False

    def resume_writing(self) -> None:
        """The socket takes more again."""
        self._writable = True
        self._unchoke()
        self.wake()

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
            failing.fall_silent(self, "login refused, nothing said")
        else:
            self.method_id = 0
            failing.close(self, error)

    def has_waited(self, spent_ms: int) -> None:
        """The client has used up some of the time for its handshake, for TLS."""
        self.deadline.set(max(HANDSHAKE_MS - spent_ms, 0), "handshake took too long", CLOSE)

    def lost(self) -> None:
        """The socket is gone; what came before its end still counts."""
        try:
            while self._stalled and not self.finished and self.writer.size() < STALL_LIMIT and self.reader.waiting:
                for wait in list(self.waits):
                    wait.finish()
                self._go_on()
        except Exception as error:
            self.fail("handle what it sent last", error)
        if not self.finished and self.handshake.state == DONE and not self.closing:
            log.warning("connection %s: client closed the socket without connection.close", self.name)
        self._end()
        self.broker.settle()

    def belongs_to(self, user: User | None, vhost: Home | None) -> bool:
        """Whether it is this user's and uses this virtual host; None for any."""
        return (user is None or self.user is user) and (vhost is None or self.vhost is vhost)

    def force_close(self, reason: str) -> None:
        """Close for an operator or at shutdown: connection.close 320."""
        if self.handshake.state != DONE:
            self.finish(reason, CLOSE)
        elif not self.closing and not self.finished:
            self.method_id = 0
            failing.close(self, AmqpError(CONNECTION_FORCED, reason))
            self.broker.settle()

    # -- life

    def tuned(self, channel_max: int, frame_max: int, heartbeat_s: int) -> None:
        """The client has answered connection.tune."""
        self.channel_max = channel_max
        self.reader.frame_max = frame_max
        self.writer.frame_max = frame_max
        self.heartbeat_s = heartbeat_s
        self.heartbeat.start(heartbeat_s)

    def opened(self) -> None:
        """The handshake is done."""
        self.broker.open_connections += 1
        self.user.connections += 1
        self.vhost.connections += 1
        self.deadline.lift()
        self.wake()
        log.info("connection %s: user '%s' opened vhost '%s'", self.name, self.user.name, self.vhost.name)

    def origin(self) -> Origin:
        """What a queue or exchange declared now remembers of its declaration."""
        return Origin(self.name, self.user.name, self.broker.clock.today_ms)

    def add_channel(self, channel: Channel) -> None:
        """A channel begins."""
        self.channels[channel.number] = channel
        self.user.channels += 1

    def forget_channel(self, channel: Channel) -> None:
        """The channel's number is free again."""
        self.last_channel = None
        if self.channels.pop(channel.number, None) is not None:
            self.user.channels -= 1
        channel.forget()

    def finish(self, why: str, ending: int) -> None:
        """Nothing more is looked at, or written after what is already waiting. ending: one of those of ending.py."""
        log.log(logging.WARNING if ending == RESET else logging.INFO, "connection %s: %s", self.name, why)
        self.ending = ending
        self._end()
        self.wake()

    def set_paced(self, paced: bool) -> None:
        """Make a publisher wait for its queues, or let it go on."""
        self.is_paced = paced
        self.wake()

    @property
    def is_paused(self) -> bool:
        """Whether the driver should not read from this client now."""
        if self.finished or self.closing:
            return False  # it is read to the end, for the answer to a close, or for nothing
        waits = self.is_paced or self.blocking.is_blocked
        return waits or (self._stalled and self.reader.waiting >= INPUT_LIMIT)

    def _end(self) -> None:
        if self.finished:
            return
        failing.release(self)
        self.finished = True
        self.login_request = None
        self.broker.connections.pop(self.number, None)
        self.deadline.stop()
        self.heartbeat.stop()
        self.pacing.forget()
        self.blocking.forget()
        self.handshake.forget()
