"""Witnessing: what a witness of a virtual host is told, and asked. See core/queue/client.py."""

from __future__ import annotations

from leveret.core.client import tracing
from leveret.core.client.party import Party
from leveret.core.errors.refusals import Refusal
from leveret.core.message.confirm import Confirm
from leveret.core.message.destination import Destination, give_up
from leveret.core.message.message import Message
from leveret.core.queue.client import PASS, WATCH
from leveret.core.queue.entry import QueueEntry


def judge(party: Party, message: Message, queues: list[Destination], mandatory: bool) -> int:
    """What a witness wants to become of a message that is published: one of the verdicts of core/queue/client.py.

    Raises: Refusal that it wants the client to get.
    """
    witness = party.vhost.witness
    assert witness is not None
    try:
        return witness.on_publish(party, message, queues, mandatory)
    except Refusal:
        give_up(message, queues)
        raise
    except Exception as error:  # it has not seen this one, which goes its way
        party.broker.faults.own(WATCH, error)
        return PASS


def held(party: Party, confirm: Confirm) -> None:
    """The confirm that a witness wanted to be held is left to it; it is paid if the witness fails."""
    witness = party.vhost.witness
    assert witness is not None
    try:
        witness.on_held(confirm)
    except Exception as error:
        party.broker.faults.own(WATCH, error)
        confirm.pay()


def delivered(party: Party, channel: int, entry: QueueEntry, no_ack: bool) -> None:
    """A client has got a message where somebody watches."""
    vhost = party.vhost
    if vhost.tracing:
        tracing.delivered(party, channel, entry)
    if vhost.witness is not None:
        try:
            vhost.witness.on_delivery(party, entry, no_ack)
        except Exception as error:
            vhost.broker.faults.own(WATCH, error)


def settled(entry: QueueEntry, how: int) -> None:
    """A delivery is settled where there is a witness."""
    vhost = entry.queue.vhost
    if vhost.witness is not None:
        try:
            vhost.witness.on_settle(entry, how)
        except Exception as error:
            vhost.turn.faults.own(WATCH, error)
