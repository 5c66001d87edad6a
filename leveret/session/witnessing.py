"""Witnessing: what a witness of a virtual host is told, and what becomes of what it objects to. See core/ports.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from leveret.core.errors.amqp import AmqpError
from leveret.core.message.confirm import Confirm
from leveret.core.message.destination import Destination, give_up, hand_out
from leveret.core.message.message import Message
from leveret.core.queue.client import HOLD, PASS, REFUSE, STRAY
from leveret.core.queue.entry import QueueEntry
from leveret.session import tracing
from leveret.wire.fields import LONGSTR

if TYPE_CHECKING:
    from leveret.session.channel import Channel
    from leveret.session.connection import Connection
    from leveret.session.publishing import Publishing

WATCH: Final = "show a witness what passes"


def publish(publishing: Publishing, message: Message, queues: list[Destination], mandatory: bool) -> None:
    """A message is published where there is a witness. Raises: AmqpError that the witness wants."""
    connection = publishing.connection
    witness = connection.vhost.witness
    assert witness is not None
    try:
        verdict = witness.on_publish(connection, message, queues, mandatory)
    except AmqpError:
        give_up(message, queues)
        raise
    except Exception as error:  # it has not seen this one, which goes its way
        connection.broker.faults.own(WATCH, error)
        verdict = PASS
    confirms = publishing.confirms
    if verdict == STRAY or verdict == REFUSE:
        give_up(message, queues)
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
        hand_out(message, queues, confirm)
        try:
            witness.on_held(confirm)
        except Exception as error:
            connection.broker.faults.own(WATCH, error)
            confirm.pay()
    else:
        publishing.send(message, queues, mandatory)


def delivered(channel: Channel, stored: QueueEntry, no_ack: bool) -> None:
    """A channel has got a message where somebody watches."""
    vhost = channel.connection.vhost
    if vhost.tracing:
        tracing.delivered(channel, stored)
    if vhost.witness is not None:
        try:
            vhost.witness.on_delivery(channel.connection, stored, no_ack)
        except Exception as error:
            vhost.broker.faults.own(WATCH, error)


def settled(stored: QueueEntry, how: int) -> None:
    """A delivery is settled where there is a witness."""
    vhost = stored.queue.vhost
    if vhost.witness is not None:
        try:
            vhost.witness.on_settle(stored, how)
        except Exception as error:
            vhost.turn.faults.own(WATCH, error)


def label(connection: Connection) -> str:
    """What a connection is called: as its client said (the property connection_name), or both addresses."""
    given = connection.client_properties.get("connection_name")
    return given.text if given is not None and given.kind == LONGSTR else connection.name
