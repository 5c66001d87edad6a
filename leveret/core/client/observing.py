"""Observing: calls the observer of a virtual host, and handles its errors. See core/queue/client.py."""

from __future__ import annotations

from mypy_extensions import i64

from leveret.core.client import tracing
from leveret.core.client.party import Party
from leveret.core.errors.refusals import Refusal
from leveret.core.message.confirm import Confirm, ConfirmListener
from leveret.core.message.destination import Destination, give_up
from leveret.core.message.message import Message
from leveret.core.queue.client import PASS, WATCH, Follower
from leveret.core.queue.entry import QueueEntry


def judge(party: Party, message: Message, queues: list[Destination], mandatory: bool) -> int:
    """The verdict of the observer on a published message: one of those of core/queue/client.py.

    Raises: Refusal that the observer wants the client to get.
    """
    observer = party.vhost.observer
    assert observer is not None
    try:
        return observer.on_publish(party, message, queues, mandatory)
    except Refusal:
        give_up(message, queues)
        raise
    except Exception as error:  # the message is published as usual
        party.broker.faults.own(WATCH, error)
        return PASS


def held(party: Party, confirm: Confirm) -> None:
    """Leave a confirm to the observer that wants to hold it; pay it if the observer fails."""
    observer = party.vhost.observer
    assert observer is not None
    try:
        observer.on_held(confirm)
    except Exception as error:
        party.broker.faults.own(WATCH, error)
        confirm.pay()


def follower(party: Party) -> Follower | None:
    """The follower of the last published message, if the observer returns one."""
    observer = party.vhost.observer
    assert observer is not None
    try:
        return observer.follower()
    except Exception as error:
        party.broker.faults.own(WATCH, error)
        return None


def published(party: Party, follower: Follower, is_confirmed: bool, how: int) -> None:
    """The publish of a followed message is over. is_confirmed, how: see Follower."""
    try:
        follower.on_published(is_confirmed, how)
    except Exception as error:
        party.broker.faults.own(WATCH, error)


class Following(ConfirmListener):
    """Passes the confirm of a followed message to its publisher and its follower."""

    def __init__(self, publisher: ConfirmListener, party: Party, follower: Follower) -> None:
        self._publisher = publisher
        self._party = party
        self._follower = follower

    def confirmed(self, tag: i64) -> None:
        """The message is safe."""
        published(self._party, self._follower, True, 0)
        self._publisher.confirmed(tag)

    def refused(self, tag: i64, how: int) -> None:
        """At least one queue did not take it."""
        published(self._party, self._follower, False, how)
        self._publisher.refused(tag, how)

    def fail(self, doing: str, error: Exception) -> None:
        """The publisher has failed."""
        self._publisher.fail(doing, error)


def delivered(party: Party, channel: int, entry: QueueEntry, tag: i64, no_ack: bool, is_get: bool) -> None:
    """A client got a message in a watched virtual host. tag, is_get: see Observer."""
    vhost = party.vhost
    if vhost.tracing:
        tracing.delivered(party, channel, entry)
    if vhost.observer is not None:
        try:
            vhost.observer.on_delivery(party, entry, tag, no_ack, is_get)
        except Exception as error:
            vhost.broker.faults.own(WATCH, error)


def settled(entry: QueueEntry, how: int) -> None:
    """A delivery is settled in a virtual host with an observer."""
    vhost = entry.queue.vhost
    if vhost.observer is not None:
        try:
            vhost.observer.on_settle(entry, how)
        except Exception as error:
            vhost.turn.faults.own(WATCH, error)
