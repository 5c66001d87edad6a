"""Witnesses: several witnesses of one virtual host, as one. None notices the others, or what they do wrong."""

from __future__ import annotations

from leveret.core.errors.refusals import Refusal
from leveret.core.message.confirm import Confirm
from leveret.core.message.destination import Destination
from leveret.core.message.message import Message
from leveret.core.queue.client import HOLD, PASS, REFUSE, STRAY, WATCH, Client, Witness
from leveret.core.queue.entry import QueueEntry
from leveret.core.turn.faults import Faults


class Witnesses(Witness):
    """Shows everything to all of them. The first one that wants something to become of a publish gets its way; those
    behind it see what becomes of it.
    """

    def __init__(self, them: list[Witness], faults: Faults) -> None:
        self.needs_contents = any(each.needs_contents for each in them)
        self._them = them
        self._faults = faults
        self._holder: Witness | None = None  # who wants the confirm of the last publish

    def on_publish(self, client: Client, message: Message, queues: list[Destination], mandatory: bool) -> int:
        """See Witness. Raises: Refusal, which is what the first one wants."""
        verdict = PASS
        refusal: Refusal | None = None
        self._holder = None
        for witness in self._them:
            found = PASS
            try:
                found = witness.on_publish(client, message, queues, mandatory)
            except Refusal as wish:
                if verdict == PASS and refusal is None:
                    refusal = wish
                    queues = []
            except Exception as error:
                self._faults.own(WATCH, error)
            if found == PASS or verdict != PASS or refusal is not None:
                continue
            verdict = found
            if verdict == HOLD:
                self._holder = witness
            elif verdict == STRAY or verdict == REFUSE:
                queues = []
        if refusal is not None:
            raise refusal
        return verdict

    def on_held(self, confirm: Confirm) -> None:
        """See Witness."""
        witness = self._holder
        assert witness is not None
        witness.on_held(confirm)

    def on_delivery(self, client: Client, entry: QueueEntry, no_ack: bool) -> None:
        """See Witness."""
        for witness in self._them:
            try:
                witness.on_delivery(client, entry, no_ack)
            except Exception as error:
                self._faults.own(WATCH, error)

    def on_settle(self, entry: QueueEntry, how: int) -> None:
        """See Witness."""
        for witness in self._them:
            try:
                witness.on_settle(entry, how)
            except Exception as error:
                self._faults.own(WATCH, error)

    def on_death(self, entry: QueueEntry, reason: str) -> None:
        """See Witness."""
        for witness in self._them:
            try:
                witness.on_death(entry, reason)
            except Exception as error:
                self._faults.own(WATCH, error)
