"""basic.publish: from frames to queues.

The common case is one step: the whole content is in the buffer, and its arguments have been seen before, so that a
dictionary knows where it goes. What comes in pieces is put together frame by frame, never looked at twice.
Checks come in the order of rabbit_channel.erl handle_method(basic.publish).
"""

from __future__ import annotations

from typing import Final

from librt.strings import read_i16_be, read_i64_be
from mypy_extensions import i64

from leveret.core.access import user as access
from leveret.core.counting.counters import Inflow
from leveret.core.errors import amqp as errors
from leveret.core.errors.amqp import AmqpError
from leveret.core.exchange.exchange import Route, Routing
from leveret.core.exchange_types.kinds import TOPIC
from leveret.core.message.confirm import Confirm
from leveret.core.message.destination import Destination, give_up, hand_out, not_taken
from leveret.core.message.message import Address, Message, address
from leveret.core.policy.checks import expiration_error
from leveret.core.policy.matching import Patience
from leveret.core.queue.client import HOLD, REFUSE, STRAY
from leveret.core.queue.replies import REPLY_TO
from leveret.session.base.carrier import Confirming
from leveret.session.base.lane import OPEN, Lane
from leveret.session.publish.confirms import Confirms
from leveret.session.settle.transaction import Transaction
from leveret.session.watch import tracing, witnessing
from leveret.wire import content as frames
from leveret.wire.arguments import ArgumentReader
from leveret.wire.constants import (
    CLASS_BASIC,
    FRAME_ERROR,
    FRAME_MIN_SIZE,
    FRAME_OVERHEAD,
    MAX_CONTENT_SIZE,
    NOT_IMPLEMENTED,
    PRECONDITION_FAILED,
    SMALL_BODY_FRAME,
    UNEXPECTED_FRAME,
)
from leveret.wire.fields import ARRAY, LONGSTR, DecodeError, Table
from leveret.wire.reader import FrameReader, octets

IDLE: Final = 0  # what the next frame of a content has to be
COPIES: Final = 20  # of a message that goes to many queues, which take as long as a method
HEADER: Final = 1
BODY: Final = 2
IMMEDIATE: Final = 2  # in the last octet of basic.publish, beside mandatory
LARGE: Final = 256 << 10  # bytes of a body that are still to come, from which on its frames are not cut apart
INSPECTED: Final = frames.HEADERS_FLAG | frames.REPLY_TO_FLAG | frames.EXPIRATION_FLAG | frames.USER_ID_FLAG


class Publishing(Confirming):
    """The publishing half of a channel. confirms, transaction: None outside of these modes, never both."""

    __slots__ = (
        "_arguments",
        "_frames",
        "_in_content",
        "_inflow",
        "_last_arguments",
        "_last_route",
        "_left",
        "_loose",
        "_loose_size",
        "_size",
        "_unflushed",
        "channel",
        "confirms",
        "connection",
        "expects",
        "transaction",
    )

    def __init__(self, channel: Lane) -> None:
        self.channel = channel
        self.connection = channel.connection
        self.confirms: Confirms | None = None
        self.transaction: Transaction | None = None
        self.expects: i64 = IDLE
        self._arguments = b""
        self._frames: list[bytes] = []
        self._loose: list[bytes] = []  # payloads of small body frames, to be put into one
        self._loose_size: i64 = 0
        self._size: i64 = 0
        self._left: i64 = 0
        self._unflushed = False
        self._in_content = False
        self._last_arguments = b""
        self._last_route: Route | None = None  # with these arguments
        self._inflow: Inflow | None = None  # to its exchange

    # -- content, whole or in pieces

    def method(self, reader: FrameReader) -> None:
        """The frame of a basic.publish."""
        arguments = reader.data[reader.start + 4 : reader.stop]
        content = reader.whole_content()
        if content is not None:
            self.publish(arguments, content)
        else:
            self._arguments = arguments
            self.expects = HEADER

    def header(self, reader: FrameReader) -> None:
        """A content header. Raises: AmqpError 505, 501."""
        if self.expects == IDLE:
            raise AmqpError(UNEXPECTED_FRAME, "expected method frame, got non method frame instead")
        if self.expects == BODY:
            raise AmqpError(UNEXPECTED_FRAME, "expected content body, got non content body frame instead")
        class_id = int(read_i16_be(reader.data, reader.start)) & 0xFFFF
        if read_i16_be(reader.data, reader.start + 2) != 0:
            raise self.no_header()
        if class_id != CLASS_BASIC:
            text = f"expected content header for class 60, got one for class {class_id} instead"
            raise AmqpError(UNEXPECTED_FRAME, text)
        size = int(read_i64_be(reader.data, reader.start + 4)) & 0xFFFFFFFFFFFFFFFF
        if size > MAX_CONTENT_SIZE:
            text = f"content body size {size} exceeds maximum allowed size {MAX_CONTENT_SIZE}"
            raise AmqpError(FRAME_ERROR, text)
        self.connection.sends_parts = True
        self._frames = [reader.frame()]
        self._size = self._left = size
        self.expects = BODY
        if size == 0:
            self._complete()
        else:
            self._expect_run(reader)

    def body(self, reader: FrameReader) -> None:
        """A content body frame, or several. Raises: AmqpError 505, 501."""
        if self.expects == IDLE:
            raise AmqpError(UNEXPECTED_FRAME, "expected method frame, got non method frame instead")
        if self.expects == HEADER:
            raise self.no_header()
        size = reader.run_size() if reader.is_run() else reader.stop - reader.start
        if size > self._left:
            raise AmqpError(FRAME_ERROR, "content body frame exceeds remaining content size")
        self._left -= size
        self.connection.sends_parts = True
        if reader.is_run():
            if len(self._frames) == 1:
                self._frames.clear()  # the header is in the run
            self._frames.append(reader.take_run())
        elif size and self._size <= self.connection.max_message_size:
            if size < SMALL_BODY_FRAME and self._left:
                if self._loose_size + size > FRAME_MIN_SIZE - FRAME_OVERHEAD:
                    self._join_loose()
                self._loose.append(reader.payload())
                self._loose_size += size
            else:
                self._join_loose()
                self._frames.append(reader.frame())
        if self._left == 0:
            self._complete()
        else:
            self._expect_run(reader)

    def _expect_run(self, reader: FrameReader) -> None:
        """Take the rest of a large body as it comes."""
        if self._left >= LARGE and self._size <= self.connection.max_message_size and not self._loose:
            reader.expect_run(self._left, self._frames[0] if len(self._frames) == 1 else b"")

    def _join_loose(self) -> None:
        """Make one frame of many small ones: a body in frames of one byte must not cost more than any other."""
        if self._loose:
            self._frames.append(frames.body_frame(b"".join(self._loose)))
            self._loose = []
            self._loose_size = 0

    @staticmethod
    def no_header() -> AmqpError:
        """Something else came where a content header had to come."""
        text = "expected content header for class 60, got non content header frame instead"
        return AmqpError(UNEXPECTED_FRAME, text)

    def interrupted(self) -> AmqpError:
        """A method came where a header or a body had to come."""
        if self.expects == HEADER:
            return self.no_header()
        return AmqpError(UNEXPECTED_FRAME, "expected content body, got non content body frame instead")

    @property
    def was_content(self) -> bool:
        """Whether the frame at hand belongs to a basic.publish, as an error reply has to say."""
        return self._in_content or self.expects != IDLE

    def forget(self) -> None:
        """Drop a content that is not complete."""
        self.expects = IDLE
        self._frames = []
        self._loose = []
        self._loose_size = 0

    def _complete(self) -> None:
        content = self._frames[0] if len(self._frames) == 1 else b"".join(self._frames)
        size = self._size
        self.forget()
        self._in_content = True
        if size > self.connection.max_message_size:
            if self._arguments and self._arguments[-1] & IMMEDIATE:
                raise AmqpError(NOT_IMPLEMENTED, "immediate=true")
            raise self._too_large(size)
        self.publish(self._arguments, content)
        self._in_content = False

    def _too_large(self, size: i64) -> AmqpError:
        limit = self.connection.max_message_size
        text = f"message size {size} is larger than configured max size {limit}"
        return AmqpError(PRECONDITION_FAILED, text)

    # -- to the queues

    def publish(self, arguments: bytes, content: bytes) -> None:
        """Route one message. arguments: those of basic.publish as received. Raises: AmqpError."""
        connection = self.connection
        route = self._last_route
        inflow = self._inflow
        generation = connection.vhost.generation
        if route is None or inflow is None or route.generation != generation or arguments != self._last_arguments:
            route = connection.find_route(arguments)
            if route is None or route.generation != generation:
                route = self._find(arguments)
            self._last_arguments = arguments
            self._last_route = route
            if inflow is None or inflow.exchange is not route.exchange.counters:
                inflow = self._inflow = self.channel.counters.inflow(route.exchange.counters)
        size = frames.body_size(content)
        if size > connection.max_message_size:
            raise self._too_large(size)
        try:
            persistent = frames.check_properties(content)
        except DecodeError:
            raise AmqpError(FRAME_ERROR, f"cannot decode {octets(frames.properties(content))}") from None
        queues = route.queues
        message = Message(route.address, content, persistent)
        if route.varies or frames.property_flags(content) & INSPECTED:
            message, queues = self._inspect(route, message)
        connection.published += 1
        if route.varies and connection.vhost.witness is not None:
            self._publish_watched(message, queues, route)
        elif self.transaction is not None:
            self.transaction.publish(message, queues, route)
        else:
            inflow.published += 1
            if queues is route.queues:
                if not route.published:
                    connection.used_routes.append(route)
                route.published += 1
            else:
                route.exchange.count(queues, 1)
            self._send(message, queues, route)

    def _send(self, message: Message, queues: list[Destination], route: Route) -> None:
        """Put a message into its queues; return or confirm it as its publisher wants."""
        confirms = self.confirms
        if len(queues) == 1:  # as hand_out() does it, without the detour
            queue = queues[0]
            confirm = Confirm(self, confirms.next(), 1) if confirms is not None else None
            try:
                queue.publish(message, confirm)
            except Exception as error:
                not_taken(queue, confirm, error)
        elif queues:
            confirm = Confirm(self, confirms.next(), len(queues)) if confirms is not None else None
            hand_out(message, queues, confirm)
            if len(queues) >= COPIES:
                self.connection.count_method(len(queues) // COPIES)
        else:
            self.channel.stranded(message, route.exchange.counters, route.mandatory)
            if confirms is not None:
                self.confirmed(confirms.next())

    def _publish_watched(self, message: Message, queues: list[Destination], route: Route) -> None:
        """A message is published where there is a witness. Raises: AmqpError that the witness wants."""
        mandatory = route.mandatory
        verdict = witnessing.judge(self.connection, message, queues, mandatory)
        confirms = self.confirms
        if verdict == STRAY or verdict == REFUSE:
            give_up(message, queues)
            queues = []
        if self.transaction is not None:
            if verdict != REFUSE:
                self.transaction.publish(message, queues, route)
            return
        self.channel.counters.inflow(route.exchange.counters).published += 1
        route.exchange.count(queues, 1)
        if verdict == REFUSE:
            if confirms is not None:
                self.refused(confirms.next())
        elif verdict == HOLD and confirms is not None:
            confirm = Confirm(self, confirms.next(), len(queues) + 1)
            if not queues:
                self.channel.stranded(message, route.exchange.counters, mandatory)
            hand_out(message, queues, confirm)
            witnessing.held(self.connection, confirm)
        else:
            self._send(message, queues, route)

    def _find(self, arguments: bytes) -> Route:
        long = self.connection.broker.matcher.long
        try:
            return self._resolve(arguments)
        finally:
            self.connection.count_searches(long)

    def _resolve(self, arguments: bytes) -> Route:
        """Find out where publishes with these arguments go, and whether they are allowed."""
        connection = self.connection
        reader = ArgumentReader(arguments, 2)
        try:
            name, key, bits = reader.shortbytes(), reader.shortbytes(), reader.u8()
        except (IndexError, DecodeError):
            raise AmqpError(FRAME_ERROR, f"cannot decode {octets(arguments)}") from None
        if bits & IMMEDIATE:
            raise AmqpError(NOT_IMPLEMENTED, "immediate=true")
        vhost = connection.vhost
        connection.user.check(access.WRITE, "exchange", name, vhost.name)
        exchange = vhost.exchange(name)
        if exchange.internal:
            raise errors.internal_exchange(name, vhost.name)
        routing: Routing = exchange.route([key])
        address = Address(name, key, arguments[2:-1])
        route = Route(exchange, address, routing, vhost.generation, bits & 1 != 0)
        if exchange.kind == TOPIC and not connection.user.may_topic(access.WRITE, name, key, vhost.name, Patience()):
            route.varies = True  # refused when its properties are known to be right
        if vhost.is_watched:
            route.varies = True
        connection.keep_route(arguments, route)
        return route

    def _check_topics(self, route: Route, keys: list[str]) -> None:
        """All routing keys of a message to a topic exchange have to be allowed. Raises: AmqpError 403."""
        exchange = route.exchange
        if exchange.kind == TOPIC:
            long = self.connection.broker.matcher.long
            try:
                self.connection.user.check_topics(access.WRITE, exchange.name, keys, exchange.vhost.name)
            finally:
                self.connection.count_searches(long)

    def _inspect(self, route: Route, message: Message) -> tuple[Message, list[Destination]]:
        """Look into the properties that concern the broker."""
        content = message.content
        flags = frames.property_flags(content)
        raw = frames.properties(content)
        names_keys = flags & frames.HEADERS_FLAG and (b"\x02CC" in raw or b"\x03BCC" in raw)
        wants_reply = flags & frames.REPLY_TO_FLAG and REPLY_TO.encode() in raw
        others = flags & (frames.EXPIRATION_FLAG | frames.USER_ID_FLAG)
        if not (names_keys or wants_reply or others or route.varies):
            return message, route.queues
        try:
            properties = message.properties()
        except DecodeError:
            raise AmqpError(FRAME_ERROR, f"cannot decode {octets(raw)}") from None
        headers = properties.headers if properties.headers is not None else {}
        changed = False
        if properties.reply_to == REPLY_TO:
            replies = self.channel.replies
            if replies is None:
                raise AmqpError(PRECONDITION_FAILED, "fast reply consumer does not exist")
            properties.reply_to = replies.name
            changed = True
        if properties.expiration is not None:
            reason = expiration_error(properties.expiration)
            if reason:
                raise AmqpError(PRECONDITION_FAILED, f"invalid expiration '{properties.expiration}': {reason}")
        where = route.address
        copies, hidden = _more_keys(headers, "CC"), _more_keys(headers, "BCC")
        if copies or hidden:
            where = address(where.exchange, where.routing_key, tuple(copies), tuple(hidden))
        self._check_topics(route, where.keys)
        user = self.connection.user
        if properties.user_id is not None and properties.user_id != user.name and "impersonator" not in user.tags:
            text = f"user_id property set to '{properties.user_id}' but authenticated user was '{user.name}'"
            raise AmqpError(PRECONDITION_FAILED, text)
        if "BCC" in headers:
            del headers["BCC"]
            changed = True
        if changed:
            content = frames.make_content(properties.encode(), message.body())
        if changed or where is not route.address:
            message = Message(where, content, message.persistent)
        queues = route.queues
        if route.varies or where is not route.address:
            queues = route.exchange.route(where.keys, properties, message).queues
        if self.connection.vhost.tracing:
            tracing.published(self.channel, message, queues)
        return message, queues

    # -- confirms

    def confirmed(self, tag: i64) -> None:
        """Ack this publish, at the next flush and together with others."""
        if self.confirms is not None:
            self.confirms.confirmed(tag)
            self._settled()

    def refused(self, tag: i64) -> None:
        """Nack this publish at the next flush."""
        if self.confirms is not None:
            self.confirms.refused(tag)
            self._settled()

    def fail(self, doing: str, error: Exception) -> None:
        """The connection has failed."""
        self.connection.fail(doing, error)

    def flush(self) -> None:
        """Write what was settled since the last flush."""
        self._unflushed = False
        if self.confirms is not None and self.channel.state == OPEN:
            self.confirms.flush(self.connection.writer, self.channel.number, self.channel.counters)

    def _settled(self) -> None:
        if not self._unflushed:
            self._unflushed = True
            self.connection.unflushed.append(self)
            self.connection.wake()


def _more_keys(headers: Table, name: str) -> list[str]:
    """Routing keys from a CC or BCC header. Raises: AmqpError 406 when it is no array."""
    field = headers.get(name)
    if field is None:
        return []
    if field.kind != ARRAY:
        reason = f'{{unacceptable_type_in_header,"{name}",{field.type_name}}}'
        raise AmqpError(PRECONDITION_FAILED, f"invalid message: {reason}")
    assert isinstance(field.value, list)
    return [item.text for item in field.value if item.kind == LONGSTR]
