"""All methods. Made by tools/gen_methods.py from spec/methods.toml; not for editing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from leveret.wire.arguments import ArgumentReader, Method
from leveret.wire.fields import DecodeError
from leveret.wire.methods.access import AccessRequest, AccessRequestOk
from leveret.wire.methods.basic import (
    BasicAck,
    BasicCancel,
    BasicCancelOk,
    BasicConsume,
    BasicConsumeOk,
    BasicDeliver,
    BasicGet,
    BasicGetEmpty,
    BasicGetOk,
    BasicNack,
    BasicPublish,
    BasicQos,
    BasicQosOk,
    BasicRecover,
    BasicRecoverAsync,
    BasicRecoverOk,
    BasicReject,
    BasicReturn,
)
from leveret.wire.methods.channel import (
    ChannelClose,
    ChannelCloseOk,
    ChannelFlow,
    ChannelFlowOk,
    ChannelOpen,
    ChannelOpenOk,
)
from leveret.wire.methods.confirm import ConfirmSelect, ConfirmSelectOk
from leveret.wire.methods.connection import (
    ConnectionBlocked,
    ConnectionClose,
    ConnectionCloseOk,
    ConnectionOpen,
    ConnectionOpenOk,
    ConnectionSecure,
    ConnectionSecureOk,
    ConnectionStart,
    ConnectionStartOk,
    ConnectionTune,
    ConnectionTuneOk,
    ConnectionUnblocked,
    ConnectionUpdateSecret,
    ConnectionUpdateSecretOk,
)
from leveret.wire.methods.exchange import (
    ExchangeBind,
    ExchangeBindOk,
    ExchangeDeclare,
    ExchangeDeclareOk,
    ExchangeDelete,
    ExchangeDeleteOk,
    ExchangeUnbind,
    ExchangeUnbindOk,
)
from leveret.wire.methods.queue import (
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
from leveret.wire.methods.tx import TxCommit, TxCommitOk, TxRollback, TxRollbackOk, TxSelect, TxSelectOk

__all__ = [
    "AccessRequest",
    "AccessRequestOk",
    "BasicAck",
    "BasicCancel",
    "BasicCancelOk",
    "BasicConsume",
    "BasicConsumeOk",
    "BasicDeliver",
    "BasicGet",
    "BasicGetEmpty",
    "BasicGetOk",
    "BasicNack",
    "BasicPublish",
    "BasicQos",
    "BasicQosOk",
    "BasicRecover",
    "BasicRecoverAsync",
    "BasicRecoverOk",
    "BasicReject",
    "BasicReturn",
    "ChannelClose",
    "ChannelCloseOk",
    "ChannelFlow",
    "ChannelFlowOk",
    "ChannelOpen",
    "ChannelOpenOk",
    "ConfirmSelect",
    "ConfirmSelectOk",
    "ConnectionBlocked",
    "ConnectionClose",
    "ConnectionCloseOk",
    "ConnectionOpen",
    "ConnectionOpenOk",
    "ConnectionSecure",
    "ConnectionSecureOk",
    "ConnectionStart",
    "ConnectionStartOk",
    "ConnectionTune",
    "ConnectionTuneOk",
    "ConnectionUnblocked",
    "ConnectionUpdateSecret",
    "ConnectionUpdateSecretOk",
    "ExchangeBind",
    "ExchangeBindOk",
    "ExchangeDeclare",
    "ExchangeDeclareOk",
    "ExchangeDelete",
    "ExchangeDeleteOk",
    "ExchangeUnbind",
    "ExchangeUnbindOk",
    "Method",
    "QueueBind",
    "QueueBindOk",
    "QueueDeclare",
    "QueueDeclareOk",
    "QueueDelete",
    "QueueDeleteOk",
    "QueuePurge",
    "QueuePurgeOk",
    "QueueUnbind",
    "QueueUnbindOk",
    "TxCommit",
    "TxCommitOk",
    "TxRollback",
    "TxRollbackOk",
    "TxSelect",
    "TxSelectOk",
    "decode",
]

_READERS: Final[dict[int, Callable[[ArgumentReader], Method]]] = {
    655370: ConnectionStart.parse,  # 10, 10
    655371: ConnectionStartOk.parse,  # 10, 11
    655380: ConnectionSecure.parse,  # 10, 20
    655381: ConnectionSecureOk.parse,  # 10, 21
    655390: ConnectionTune.parse,  # 10, 30
    655391: ConnectionTuneOk.parse,  # 10, 31
    655400: ConnectionOpen.parse,  # 10, 40
    655401: ConnectionOpenOk.parse,  # 10, 41
    655410: ConnectionClose.parse,  # 10, 50
    655411: ConnectionCloseOk.parse,  # 10, 51
    655420: ConnectionBlocked.parse,  # 10, 60
    655421: ConnectionUnblocked.parse,  # 10, 61
    655430: ConnectionUpdateSecret.parse,  # 10, 70
    655431: ConnectionUpdateSecretOk.parse,  # 10, 71
    1310730: ChannelOpen.parse,  # 20, 10
    1310731: ChannelOpenOk.parse,  # 20, 11
    1310740: ChannelFlow.parse,  # 20, 20
    1310741: ChannelFlowOk.parse,  # 20, 21
    1310760: ChannelClose.parse,  # 20, 40
    1310761: ChannelCloseOk.parse,  # 20, 41
    1966090: AccessRequest.parse,  # 30, 10
    1966091: AccessRequestOk.parse,  # 30, 11
    2621450: ExchangeDeclare.parse,  # 40, 10
    2621451: ExchangeDeclareOk.parse,  # 40, 11
    2621460: ExchangeDelete.parse,  # 40, 20
    2621461: ExchangeDeleteOk.parse,  # 40, 21
    2621470: ExchangeBind.parse,  # 40, 30
    2621471: ExchangeBindOk.parse,  # 40, 31
    2621480: ExchangeUnbind.parse,  # 40, 40
    2621491: ExchangeUnbindOk.parse,  # 40, 51
    3276810: QueueDeclare.parse,  # 50, 10
    3276811: QueueDeclareOk.parse,  # 50, 11
    3276820: QueueBind.parse,  # 50, 20
    3276821: QueueBindOk.parse,  # 50, 21
    3276830: QueuePurge.parse,  # 50, 30
    3276831: QueuePurgeOk.parse,  # 50, 31
    3276840: QueueDelete.parse,  # 50, 40
    3276841: QueueDeleteOk.parse,  # 50, 41
    3276850: QueueUnbind.parse,  # 50, 50
    3276851: QueueUnbindOk.parse,  # 50, 51
    3932170: BasicQos.parse,  # 60, 10
    3932171: BasicQosOk.parse,  # 60, 11
    3932180: BasicConsume.parse,  # 60, 20
    3932181: BasicConsumeOk.parse,  # 60, 21
    3932190: BasicCancel.parse,  # 60, 30
    3932191: BasicCancelOk.parse,  # 60, 31
    3932200: BasicPublish.parse,  # 60, 40
    3932210: BasicReturn.parse,  # 60, 50
    3932220: BasicDeliver.parse,  # 60, 60
    3932230: BasicGet.parse,  # 60, 70
    3932231: BasicGetOk.parse,  # 60, 71
    3932232: BasicGetEmpty.parse,  # 60, 72
    3932240: BasicAck.parse,  # 60, 80
    3932250: BasicReject.parse,  # 60, 90
    3932260: BasicRecoverAsync.parse,  # 60, 100
    3932270: BasicRecover.parse,  # 60, 110
    3932271: BasicRecoverOk.parse,  # 60, 111
    3932280: BasicNack.parse,  # 60, 120
    5570570: ConfirmSelect.parse,  # 85, 10
    5570571: ConfirmSelectOk.parse,  # 85, 11
    5898250: TxSelect.parse,  # 90, 10
    5898251: TxSelectOk.parse,  # 90, 11
    5898260: TxCommit.parse,  # 90, 20
    5898261: TxCommitOk.parse,  # 90, 21
    5898270: TxRollback.parse,  # 90, 30
    5898271: TxRollbackOk.parse,  # 90, 31
}


def decode(payload: bytes) -> Method | None:
    """Read the payload of a method frame.

    Returns: the method, or None when no such class or method exists.
    Raises: DecodeError when the arguments are not what the method takes.
    """
    read = _READERS.get(int.from_bytes(payload[:4], "big"))
    if read is None:
        return None
    try:
        reader = ArgumentReader(payload, 4)
        method = read(reader)
    except IndexError:
        raise DecodeError("arguments are cut short") from None
    if not reader.is_at_end():
        raise DecodeError("more than the arguments")
    return method
