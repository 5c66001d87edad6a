"""Channel: takes the frames of one channel apart and hands them to publishing, consuming and topology.

States: open -> closing (we sent channel.close; everything but close and close-ok is ignored) -> gone.
A soft error shuts the channel at once: what was unacknowledged is back in its queues before the close is sent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from librt.strings import read_i64_be
from mypy_extensions import i64

from leveret.core.errors import amqp as errors
from leveret.core.errors.amqp import AmqpError
from leveret.session import topology
from leveret.session.confirms import Confirms
from leveret.session.consuming import Consuming
from leveret.session.publishing import IDLE, Publishing
from leveret.session.transaction import Transaction
from leveret.wire.arguments import Method
from leveret.wire.constants import (
    CHANNEL_ERROR,
    COMMAND_INVALID,
    FRAME_BODY,
    FRAME_ERROR,
    FRAME_HEADER,
    FRAME_METHOD,
    NOT_IMPLEMENTED,
    PRECONDITION_FAILED,
)
from leveret.wire.fields import DecodeError
from leveret.wire.methods import (
    AccessRequest,
    AccessRequestOk,
    BasicCancel,
    BasicCancelOk,
    BasicConsume,
    BasicGet,
    BasicNack,
    BasicQos,
    BasicRecover,
    BasicRecoverAsync,
    BasicReject,
    ChannelClose,
    ChannelCloseOk,
    ChannelFlow,
    ChannelFlowOk,
    ChannelOpen,
    ConfirmSelect,
    ConfirmSelectOk,
    ExchangeBind,
    ExchangeDeclare,
    ExchangeDelete,
    ExchangeUnbind,
    QueueBind,
    QueueDeclare,
    QueueDelete,
    QueuePurge,
    QueueUnbind,
    TxCommit,
    TxCommitOk,
    TxRollback,
    TxRollbackOk,
    TxSelect,
    TxSelectOk,
    decode,
)
from leveret.wire.reader import FrameReader, binary

if TYPE_CHECKING:
    from leveret.session.connection import Connection

BASIC_PUBLISH: Final = 60 << 16 | 40
BASIC_ACK: Final = 60 << 16 | 80
CHANNEL_CLOSE: Final = 20 << 16 | 40
CHANNEL_CLOSE_OK: Final = 20 << 16 | 41
ACK_SIZE: Final = 13  # bytes of a basic.ack's payload


class Channel:
    """One channel. last_queue: what the empty queue name stands for."""

    __slots__ = ("connection", "consuming", "is_open", "last_queue", "number", "publishing")
    __deletable__ = ("publishing", "consuming")

    def __init__(self, connection: Connection, number: int) -> None:
        self.connection = connection
        self.number = number
        self.is_open = True
        self.last_queue = ""
        self.publishing = Publishing(self)
        self.consuming = Consuming(self)

    def send(self, method: Method) -> None:
        """Send a method on this channel."""
        self.connection.writer.method(self.number, method)
        self.connection.wake()

    def queue_name(self, name: str) -> str:
        """The name, or that of the queue last declared here. Raises: AmqpError 404 when there is none."""
        if name:
            return name
        if not self.last_queue:
            raise errors.no_previously_declared_queue()
        return self.last_queue

    def frame(self, reader: FrameReader) -> None:
        """Take the reader's current frame. Raises: AmqpError."""
        kind = reader.kind
        publishing = self.publishing
        if kind == FRAME_METHOD:
            method_id = self.connection.method_id
            if not self.is_open:
                self._while_closing(method_id)
                return
            if publishing.expects != IDLE:
                raise publishing.interrupted()
            transaction = publishing.transaction
            if transaction is not None and transaction.committing and method_id != CHANNEL_CLOSE:
                raise AmqpError(CHANNEL_ERROR, "unexpected command while processing 'tx.commit'")
            if method_id == BASIC_PUBLISH:
                publishing.method(reader)
            elif method_id == BASIC_ACK and reader.stop - reader.start == ACK_SIZE:
                tag: i64 = read_i64_be(reader.data, reader.start + 4)
                self.consuming.ack(tag, reader.data[reader.start + 12] & 1 != 0)
            else:
                self._request(reader.payload())
        elif self.is_open:
            if kind == FRAME_HEADER:
                publishing.header(reader)
            elif kind == FRAME_BODY:
                publishing.body(reader)

    def _request(self, payload: bytes) -> None:
        """A method that is neither a publish nor an ack."""
        long = self.connection.broker.matcher.long
        try:
            self._method(decode_method(self.connection, payload))
        finally:
            self.connection.count_searches(long)

    def shut(self) -> None:
        """The channel ends, whatever the reason: nothing of it is left in the core."""
        self.is_open = False
        self.publishing.forget()
        if self.publishing.transaction is not None:
            self.publishing.transaction.rollback()
        self.consuming.shut()

    def forget(self) -> None:
        """The channel is gone: let go of its halves, which hold on to it, so that no garbage waits for a collector."""
        del self.publishing
        del self.consuming

    def fail(self, error: AmqpError, method_id: int) -> None:
        """Close for a soft error."""
        self.publishing.flush()
        self.shut()
        self.send(ChannelClose(error.code, error.reply_text, method_id >> 16, method_id & 0xFFFF))

    def committed(self, failed: bool) -> None:
        """A tx.commit is through."""
        if not self.is_open:
            return
        if failed:
            self.fail(AmqpError(PRECONDITION_FAILED, "partial tx completion"), 90 << 16 | 20)
        else:
            self.send(TxCommitOk())

    # -- inside

    def _while_closing(self, method_id: i64) -> None:
        if method_id == CHANNEL_CLOSE:
            self.send(ChannelCloseOk())
        elif method_id == CHANNEL_CLOSE_OK:
            self.connection.forget_channel(self)

    def _method(self, method: Method) -> None:
        if isinstance(method, BasicNack):
            self.consuming.nack(method)
        elif isinstance(method, BasicReject):
            self.consuming.reject(method)
        elif isinstance(method, BasicGet):
            self.consuming.get(method)
        elif isinstance(method, BasicConsume):
            self.consuming.consume(method)
        elif isinstance(method, BasicCancel):
            self.consuming.cancel(method)
        elif isinstance(method, BasicCancelOk):
            pass  # the answer to a cancel of ours
        elif isinstance(method, BasicQos):
            self.consuming.qos(method)
        elif isinstance(method, BasicRecover):
            self.consuming.recover(method.requeue, True)
        elif isinstance(method, BasicRecoverAsync):
            self.consuming.recover(method.requeue, False)
        elif isinstance(method, QueueDeclare):
            topology.declare_queue(self, method)
        elif isinstance(method, QueueBind):
            topology.bind_queue(self, method)
        elif isinstance(method, QueueUnbind):
            topology.unbind_queue(self, method)
        elif isinstance(method, QueuePurge):
            topology.purge_queue(self, method)
        elif isinstance(method, QueueDelete):
            topology.delete_queue(self, method)
        elif isinstance(method, ExchangeDeclare):
            topology.declare_exchange(self, method)
        elif isinstance(method, ExchangeDelete):
            topology.delete_exchange(self, method)
        elif isinstance(method, ExchangeBind):
            topology.bind_exchange(self, method)
        elif isinstance(method, ExchangeUnbind):
            topology.unbind_exchange(self, method)
        else:
            self._mode_method(method)

    def _mode_method(self, method: Method) -> None:
        """confirm.*, tx.*, channel.* and access.*."""
        if isinstance(method, ConfirmSelect):
            self._select_confirms(method.nowait)
        elif isinstance(method, TxSelect):
            if self.publishing.confirms is not None:
                raise AmqpError(PRECONDITION_FAILED, "cannot switch from confirm to tx mode")
            if self.publishing.transaction is None:
                self.publishing.transaction = Transaction(self)
            self.send(TxSelectOk())
        elif isinstance(method, TxCommit):
            self._transaction().commit()
        elif isinstance(method, TxRollback):
            self._transaction().rollback()
            self.send(TxRollbackOk())
        elif isinstance(method, ChannelFlow):
            if not method.active:
                raise AmqpError(NOT_IMPLEMENTED, "active=false")
            self.send(ChannelFlowOk(True))
        elif isinstance(method, ChannelOpen):
            raise AmqpError(CHANNEL_ERROR, "second 'channel.open' seen")
        elif isinstance(method, ChannelClose):
            self.publishing.flush()
            self.shut()
            self.send(ChannelCloseOk())
            self.connection.forget_channel(self)
        elif isinstance(method, AccessRequest):
            self.send(AccessRequestOk(1))
        else:
            raise AmqpError(COMMAND_INVALID, "unimplemented method")

    def _select_confirms(self, nowait: bool) -> None:
        if self.publishing.transaction is not None:
            raise AmqpError(PRECONDITION_FAILED, "cannot switch from tx to confirm mode")
        if self.publishing.confirms is None:
            self.publishing.confirms = Confirms()
        if not nowait:
            self.send(ConfirmSelectOk())

    def _transaction(self) -> Transaction:
        if self.publishing.transaction is None:
            raise AmqpError(PRECONDITION_FAILED, "channel is not transactional")
        return self.publishing.transaction


def decode_method(connection: Connection, payload: bytes) -> Method:
    """Read a method, any but publishes and acks, and let it see what came before it.

    Raises: AmqpError 503 for one that does not exist, 501 for one that cannot be read.
    """
    connection.count_method()
    connection.broker.flow()
    try:
        method = decode(payload)
    except DecodeError as error:
        text = str(error)
        if text.startswith("Malformed"):
            connection.method_id = 0
            raise AmqpError(FRAME_ERROR, text) from None
        raise AmqpError(FRAME_ERROR, f"cannot decode {binary(payload[4:])}") from None
    if method is None:
        raise AmqpError(COMMAND_INVALID, "unimplemented method")
    return method
