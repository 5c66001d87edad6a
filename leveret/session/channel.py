"""Channel: decodes the frames of one channel and dispatches them to publishing, consuming and topology.

lane.py has its states and their table.
"""

from __future__ import annotations

from typing import Final

from librt.strings import read_i64_be
from mypy_extensions import i64

from leveret.core.client.transaction import Transaction
from leveret.session import topology
from leveret.session.base.carrier import Carrier
from leveret.session.base.errors import AmqpError
from leveret.session.base.lane import CLOSED, FAILED, FREED, LOST, OPEN, Lane
from leveret.session.consume.consuming import Consuming
from leveret.session.publish.publishing import IDLE, Publishing
from leveret.wire.arguments import Method
from leveret.wire.constants import (
    CHANNEL_ERROR,
    COMMAND_INVALID,
    FRAME_BODY,
    FRAME_HEADER,
    FRAME_METHOD,
    NOT_IMPLEMENTED,
    PRECONDITION_FAILED,
)
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
)
from leveret.wire.reader import FrameReader

BASIC_PUBLISH: Final = 60 << 16 | 40
BASIC_ACK: Final = 60 << 16 | 80
CHANNEL_CLOSE: Final = 20 << 16 | 40
CHANNEL_CLOSE_OK: Final = 20 << 16 | 41
ACK_SIZE: Final = 13  # bytes of a basic.ack's payload


class Channel(Lane):
    """One channel. publishing, consuming: its halves."""

    __slots__ = ("consuming", "publishing")
    __deletable__ = ("publishing", "consuming")

    def __init__(self, connection: Carrier, number: int) -> None:
        super().__init__(connection, number)
        self.consuming = Consuming(self)
        self.publishing = Publishing(self, self.consuming)

    def frame(self, reader: FrameReader) -> None:
        """Handle the reader's current frame. Raises: AmqpError."""
        kind = reader.kind
        publishing = self.publishing
        if kind == FRAME_METHOD:
            method_id = self.connection.method_id
            if self.state != OPEN:
                self._while_shut(method_id)
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
        elif self.state == OPEN:
            if kind == FRAME_HEADER:
                publishing.header(reader)
            elif kind == FRAME_BODY:
                publishing.body(reader)

    def _request(self, payload: bytes) -> None:
        """Handle a method other than a publish or ack."""
        long = self.connection.broker.matcher.long
        try:
            self._method(self.connection.decode(payload))
        finally:
            self.connection.count_searches(long)

    # -- closing

    def fail(self, error: AmqpError, method_id: int) -> None:
        """Close the channel for a soft error. method_id: of the method that failed, 0 for none."""
        self._shut(FAILED)
        self.send(ChannelClose(error.code, error.reply_text, method_id >> 16, method_id & 0xFFFF))

    def lose(self) -> None:
        """The connection ends: release what the channel holds."""
        self._shut(LOST)

    def forget(self) -> None:
        """The channel is gone: break its reference cycles, to keep work from the garbage collector."""
        self.publishing.transaction = self.consuming.transaction = None  # it refers to both
        del self.publishing
        del self.consuming

    def _shut(self, event: int) -> None:
        """Write due confirms, and remove everything of the channel from the core.

        If something fails on the way, the end of the connection repeats it.
        """
        self.publishing.flush()
        self.go(event)
        self.publishing.forget()
        if self.publishing.transaction is not None:
            self.publishing.transaction.rollback()
        self.consuming.shut()
        self.counters.end(self.publishing.last_tag)

    def _while_shut(self, method_id: i64) -> None:
        if method_id == CHANNEL_CLOSE:
            self.go(CLOSED)
            self.send(ChannelCloseOk())
        elif method_id == CHANNEL_CLOSE_OK:
            self._free()

    def _free(self) -> None:
        """Free its number."""
        self.go(FREED)
        self.connection.forget_channel(self.number)

    # -- other methods

    def committed(self, failed: bool) -> None:
        """A tx.commit is complete."""
        if self.state != OPEN:
            return
        if failed:
            self.fail(AmqpError(PRECONDITION_FAILED, "partial tx completion"), 90 << 16 | 20)
        else:
            self.send(TxCommitOk())

    def _method(self, method: Method) -> None:
        if isinstance(method, BasicNack):
            self.consuming.nack(method)
        elif isinstance(method, BasicReject):
            self.consuming.reject(method)
        elif isinstance(method, BasicGet):
            self.consuming.basic_get(method)
        elif isinstance(method, BasicConsume):
            self.consuming.basic_consume(method)
        elif isinstance(method, BasicCancel):
            self.consuming.basic_cancel(method)
        elif isinstance(method, BasicCancelOk):
            pass  # the answer to the broker's cancel
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
            self._delete_queue(method)
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
                transaction = Transaction(self.publishing, self.connection.broker, self.consuming.unacked)
                self.publishing.transaction = self.consuming.transaction = transaction
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
            self._shut(CLOSED)
            self.send(ChannelCloseOk())
            self._free()
        elif isinstance(method, AccessRequest):
            self.send(AccessRequestOk(1))
        else:
            raise AmqpError(COMMAND_INVALID, "unimplemented method")

    def _select_confirms(self, nowait: bool) -> None:
        if self.publishing.transaction is not None:
            raise AmqpError(PRECONDITION_FAILED, "cannot switch from tx to confirm mode")
        self.publishing.select_confirms()
        if not nowait:
            self.send(ConfirmSelectOk())

    def _transaction(self) -> Transaction:
        if self.publishing.transaction is None:
            raise AmqpError(PRECONDITION_FAILED, "channel is not transactional")
        return self.publishing.transaction

    def _delete_queue(self, method: QueueDelete) -> None:
        """Notify consumers of this channel after the reply, as rabbit_amqqueue.erl does."""
        self.consuming.hold_cancels()
        try:
            topology.delete_queue(self, method)
        finally:
            self.consuming.send_cancels()
