"""The methods of every class but basic: names, ids and arguments in wire order."""

from __future__ import annotations

from dataclasses import field

from tests.clients.method import U8, U16, U32, Bit, FieldTable, LongString, Method, Request, ShortString


class ConnectionStartOk(Method, index=(10, 11)):
    """connection.start-ok."""

    client_properties: FieldTable = field(default_factory=dict)
    mechanism: ShortString = ""
    response: LongString = b""
    locale: ShortString = ""


class ConnectionStart(Request[ConnectionStartOk], index=(10, 10)):
    """connection.start."""

    version_major: U8 = 0
    version_minor: U8 = 0
    server_properties: FieldTable = field(default_factory=dict)
    mechanisms: LongString = b""
    locales: LongString = b""


class ConnectionSecureOk(Method, index=(10, 21)):
    """connection.secure-ok."""

    response: LongString = b""


class ConnectionSecure(Request[ConnectionSecureOk], index=(10, 20)):
    """connection.secure."""

    challenge: LongString = b""


class ConnectionTuneOk(Method, index=(10, 31)):
    """connection.tune-ok."""

    channel_max: U16 = 0
    frame_max: U32 = 0
    heartbeat: U16 = 0


class ConnectionTune(Request[ConnectionTuneOk], index=(10, 30)):
    """connection.tune."""

    channel_max: U16 = 0
    frame_max: U32 = 0
    heartbeat: U16 = 0


class ConnectionOpenOk(Method, index=(10, 41)):
    """connection.open-ok."""

    known_hosts: ShortString = ""


class ConnectionOpen(Request[ConnectionOpenOk], index=(10, 40)):
    """connection.open."""

    virtual_host: ShortString = ""
    capabilities: ShortString = ""
    insist: Bit = False


class ConnectionCloseOk(Method, index=(10, 51)):
    """connection.close-ok."""


class ConnectionClose(Request[ConnectionCloseOk], index=(10, 50)):
    """connection.close."""

    reply_code: U16 = 0
    reply_text: ShortString = ""
    class_id: U16 = 0
    method_id: U16 = 0


class ConnectionBlocked(Method, index=(10, 60)):
    """connection.blocked."""

    reason: ShortString = ""


class ConnectionUnblocked(Method, index=(10, 61)):
    """connection.unblocked."""


class ConnectionUpdateSecretOk(Method, index=(10, 71)):
    """connection.update-secret-ok."""


class ConnectionUpdateSecret(Request[ConnectionUpdateSecretOk], index=(10, 70)):
    """connection.update-secret."""

    new_secret: LongString = b""
    reason: ShortString = ""


class ChannelOpenOk(Method, index=(20, 11)):
    """channel.open-ok."""

    channel_id: LongString = b""


class ChannelOpen(Request[ChannelOpenOk], index=(20, 10)):
    """channel.open."""

    out_of_band: ShortString = ""


class ChannelFlowOk(Method, index=(20, 21)):
    """channel.flow-ok."""

    active: Bit = False


class ChannelFlow(Request[ChannelFlowOk], index=(20, 20)):
    """channel.flow."""

    active: Bit = False


class ChannelCloseOk(Method, index=(20, 41)):
    """channel.close-ok."""


class ChannelClose(Request[ChannelCloseOk], index=(20, 40)):
    """channel.close."""

    reply_code: U16 = 0
    reply_text: ShortString = ""
    class_id: U16 = 0
    method_id: U16 = 0


class AccessRequestOk(Method, index=(30, 11)):
    """access.request-ok."""

    ticket: U16 = 0


class AccessRequest(Request[AccessRequestOk], index=(30, 10)):
    """access.request."""

    realm: ShortString = ""
    exclusive: Bit = False
    passive: Bit = False
    active: Bit = False
    write: Bit = False
    read: Bit = False


class ExchangeDeclareOk(Method, index=(40, 11)):
    """exchange.declare-ok."""


class ExchangeDeclare(Request[ExchangeDeclareOk], index=(40, 10)):
    """exchange.declare."""

    ticket: U16 = 0
    exchange: ShortString = ""
    type: ShortString = ""
    passive: Bit = False
    durable: Bit = False
    auto_delete: Bit = False
    internal: Bit = False
    nowait: Bit = False
    arguments: FieldTable = field(default_factory=dict)


class ExchangeDeleteOk(Method, index=(40, 21)):
    """exchange.delete-ok."""


class ExchangeDelete(Request[ExchangeDeleteOk], index=(40, 20)):
    """exchange.delete."""

    ticket: U16 = 0
    exchange: ShortString = ""
    if_unused: Bit = False
    nowait: Bit = False


class ExchangeBindOk(Method, index=(40, 31)):
    """exchange.bind-ok."""


class ExchangeBind(Request[ExchangeBindOk], index=(40, 30)):
    """exchange.bind."""

    ticket: U16 = 0
    destination: ShortString = ""
    source: ShortString = ""
    routing_key: ShortString = ""
    nowait: Bit = False
    arguments: FieldTable = field(default_factory=dict)


class ExchangeUnbindOk(Method, index=(40, 51)):
    """exchange.unbind-ok."""


class ExchangeUnbind(Request[ExchangeUnbindOk], index=(40, 40)):
    """exchange.unbind."""

    ticket: U16 = 0
    destination: ShortString = ""
    source: ShortString = ""
    routing_key: ShortString = ""
    nowait: Bit = False
    arguments: FieldTable = field(default_factory=dict)


class QueueDeclareOk(Method, index=(50, 11)):
    """queue.declare-ok."""

    queue: ShortString = ""
    message_count: U32 = 0
    consumer_count: U32 = 0


class QueueDeclare(Request[QueueDeclareOk], index=(50, 10)):
    """queue.declare."""

    ticket: U16 = 0
    queue: ShortString = ""
    passive: Bit = False
    durable: Bit = False
    exclusive: Bit = False
    auto_delete: Bit = False
    nowait: Bit = False
    arguments: FieldTable = field(default_factory=dict)


class QueueBindOk(Method, index=(50, 21)):
    """queue.bind-ok."""


class QueueBind(Request[QueueBindOk], index=(50, 20)):
    """queue.bind."""

    ticket: U16 = 0
    queue: ShortString = ""
    exchange: ShortString = ""
    routing_key: ShortString = ""
    nowait: Bit = False
    arguments: FieldTable = field(default_factory=dict)


class QueuePurgeOk(Method, index=(50, 31)):
    """queue.purge-ok."""

    message_count: U32 = 0


class QueuePurge(Request[QueuePurgeOk], index=(50, 30)):
    """queue.purge."""

    ticket: U16 = 0
    queue: ShortString = ""
    nowait: Bit = False


class QueueDeleteOk(Method, index=(50, 41)):
    """queue.delete-ok."""

    message_count: U32 = 0


class QueueDelete(Request[QueueDeleteOk], index=(50, 40)):
    """queue.delete."""

    ticket: U16 = 0
    queue: ShortString = ""
    if_unused: Bit = False
    if_empty: Bit = False
    nowait: Bit = False


class QueueUnbindOk(Method, index=(50, 51)):
    """queue.unbind-ok."""


class QueueUnbind(Request[QueueUnbindOk], index=(50, 50)):
    """queue.unbind."""

    ticket: U16 = 0
    queue: ShortString = ""
    exchange: ShortString = ""
    routing_key: ShortString = ""
    arguments: FieldTable = field(default_factory=dict)


class ConfirmSelectOk(Method, index=(85, 11)):
    """confirm.select-ok."""


class ConfirmSelect(Request[ConfirmSelectOk], index=(85, 10)):
    """confirm.select."""

    nowait: Bit = False


class TxSelectOk(Method, index=(90, 11)):
    """tx.select-ok."""


class TxSelect(Request[TxSelectOk], index=(90, 10)):
    """tx.select."""


class TxCommitOk(Method, index=(90, 21)):
    """tx.commit-ok."""


class TxCommit(Request[TxCommitOk], index=(90, 20)):
    """tx.commit."""


class TxRollbackOk(Method, index=(90, 31)):
    """tx.rollback-ok."""


class TxRollback(Request[TxRollbackOk], index=(90, 30)):
    """tx.rollback."""
