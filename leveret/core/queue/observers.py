"""Observers: combines several observers of one virtual host, which do not affect one another, even if one fails."""

from __future__ import annotations

from mypy_extensions import i64

from leveret.core.errors.refusals import Refusal
from leveret.core.message.confirm import AGAIN, Confirm
from leveret.core.message.destination import Destination
from leveret.core.message.message import Message
from leveret.core.queue.client import FOLLOW, HOLD, PASS, REFUSE, STRAY, WATCH, Client, Follower, Observer
from leveret.core.queue.entry import QueueEntry
from leveret.core.turn.faults import Faults


class Observers(Observer):
    """Passes all events to all observers.

    The first observer that changes the outcome of a publish decides; later ones see that outcome. If none changes it,
    the first one that wants to follow the message does. The other followers are notified at once that the publish is
    over.
    """

    def __init__(self, them: list[Observer], faults: Faults) -> None:
        self.needs_contents = any(each.needs_contents for each in them)
        self._them = them
        self._faults = faults
        self._holder: Observer | None = None  # the observer that holds the confirm of the last publish
        self._follower: Follower | None = None  # the follower of its message

    def on_publish(self, client: Client, message: Message, queues: list[Destination], mandatory: bool) -> int:
        """See Observer. Raises: Refusal of the first observer that raised one."""
        verdict = PASS
        refusal: Refusal | None = None
        self._holder = None
        followers: list[Follower] = []
        for observer in self._them:
            found = PASS
            try:
                found = observer.on_publish(client, message, queues, mandatory)
                if found == FOLLOW:
                    follower = observer.follower()
                    if follower is not None:
                        followers.append(follower)
            except Refusal as wish:
                if verdict == PASS and refusal is None:
                    refusal = wish
                    queues = []
            except Exception as error:
                self._faults.own(WATCH, error)
            if found == PASS or found == FOLLOW or verdict != PASS or refusal is not None:
                continue
            verdict = found
            if verdict == HOLD:
                self._holder = observer
            elif verdict == STRAY or verdict == REFUSE:
                queues = []
        self._follower = None
        if followers and verdict == PASS and refusal is None:
            self._follower = followers.pop(0)
            verdict = FOLLOW
        for follower in followers:
            self._release(follower, AGAIN if verdict == REFUSE or refusal is not None else 0)
        if refusal is not None:
            raise refusal
        return verdict

    def _release(self, follower: Follower, how: int) -> None:
        """Notify a follower that cannot follow a message, since another one does, or the outcome was changed."""
        try:
            follower.on_published(False, how)
        except Exception as error:
            self._faults.own(WATCH, error)

    def on_held(self, confirm: Confirm) -> None:
        """See Observer."""
        observer = self._holder
        assert observer is not None
        observer.on_held(confirm)

    def follower(self) -> Follower | None:
        """See Observer."""
        found = self._follower
        self._follower = None
        return found

    def on_delivery(self, client: Client, entry: QueueEntry, tag: i64, no_ack: bool, is_get: bool) -> None:
        """See Observer."""
        for observer in self._them:
            try:
                observer.on_delivery(client, entry, tag, no_ack, is_get)
            except Exception as error:
                self._faults.own(WATCH, error)

    def on_settle(self, entry: QueueEntry, how: int) -> None:
        """See Observer."""
        for observer in self._them:
            try:
                observer.on_settle(entry, how)
            except Exception as error:
                self._faults.own(WATCH, error)

    def on_death(self, entry: QueueEntry, reason: str) -> None:
        """See Observer."""
        for observer in self._them:
            try:
                observer.on_death(entry, reason)
            except Exception as error:
                self._faults.own(WATCH, error)
