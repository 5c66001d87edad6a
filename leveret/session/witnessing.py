"""Witnessing: what a witness of a virtual host is told, and what becomes of what it objects to. See core/ports.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

from leveret.core.message import Message, Stored
from leveret.core.ports import HOLD, REFUSE, STRAY, Confirm
from leveret.core.queue import Queue
from leveret.session import tracing
from leveret.wire.fields import LONGSTR

if TYPE_CHECKING:
    from leveret.session.channel import Channel
    from leveret.session.connection import Connection
    from leveret.session.publishing import Publishing


def publish(publishing: Publishing, message: Message, queues: list[Queue], mandatory: bool) -> None:
    """A message is published where there is a witness. Raises: AmqpError that the witness wants."""
    witness = publishing.connection.vhost.witness
    assert witness is not None
    verdict = witness.on_publish(publishing.connection, message, queues, mandatory)
    confirms = publishing.confirms
    if verdict == STRAY:
        queues = []
    if publishing.transaction is not None:
        if verdict != REFUSE:
            publishing.transaction.publish(message, queues, mandatory)
    elif verdict == REFUSE:
        if confirms is not None:
            publishing.refused(confirms.next())
    elif verdict == HOLD and confirms is not None:
        confirm = Confirm(publishing, confirms.next(), len(queues) + 1)
        if not queues and mandatory:
            publishing.send_back(message)
        for queue in queues:
            queue.publish(message, confirm)
        witness.on_held(confirm)
    else:
        publishing.send(message, queues, mandatory)


def delivered(channel: Channel, stored: Stored, no_ack: bool) -> None:
    """A channel has got a message where somebody watches."""
    vhost = channel.connection.vhost
    if vhost.tracing:
        tracing.delivered(channel, stored)
    if vhost.witness is not None:
        vhost.witness.on_delivery(channel.connection, stored, no_ack)


def label(connection: Connection) -> str:
    """What a connection is called: as its client said (the property connection_name), or both addresses."""
    given = connection.client_properties.get("connection_name")
    return given.text if given is not None and given.kind == LONGSTR else connection.name
