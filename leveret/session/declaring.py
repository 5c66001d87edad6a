"""Declaring: a declaration that waits until it is known whether another node of the cluster was faster.

The client gets its reply, or the error that one node would have given: the existing one differs. Its later requests
wait meanwhile, as the reply of the declaration would anyway.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Final

from leveret.core.errors.refusals import Refusal
from leveret.core.turn.turn import Sink
from leveret.session.base.carrier import Wait
from leveret.session.base.lane import OPEN, Lane
from leveret.wire.methods import ExchangeDeclare, ExchangeDeclareOk, QueueDeclare, QueueDeclareOk

EXCHANGE_DECLARE: Final = 40 << 16 | 10
QUEUE_DECLARE: Final = 50 << 16 | 10


class Declaring(Wait, Sink):
    """One declaration."""

    def __init__(self, channel: Lane, name: str, method_id: int) -> None:
        self.channel = channel
        self.name = name
        self._method_id = method_id
        self._is_over = False

    def wait(self, revision: int) -> None:
        """Wait until this revision is durable."""
        connection = self.channel.connection
        self.hold(connection)
        connection.broker.hold(self, revision)

    @abstractmethod
    def answer(self) -> None:
        """Compare it with what exists now, and reply. Raises: Refusal."""

    def on_definitions_durable(self, revision: int) -> None:
        """It is known now."""
        channel = self.channel
        if not self._is_over and channel.state == OPEN:
            try:
                self.answer()
            except Refusal as refusal:
                channel.connection.fail_channel(channel.number, refusal, self._method_id)
        self.finish()

    def work(self) -> bool:
        """Do nothing: the reply needs no work."""
        return True

    def finish(self) -> None:
        """End it: the client has its answer, or is gone."""
        self._is_over = True
        self.end(self.channel.connection)

    def fail(self, doing: str, error: Exception) -> None:
        """Close the connection with an internal error."""
        self.channel.connection.fail(doing, error)


class DeclaringExchange(Declaring):
    """exchange.declare. name: cleaned."""

    def __init__(self, channel: Lane, name: str, method: ExchangeDeclare) -> None:
        super().__init__(channel, name, EXCHANGE_DECLARE)
        self._method = method

    def answer(self) -> None:
        """Compare it with what exists now, and reply. Raises: Refusal."""
        method, channel = self._method, self.channel
        kind, auto_delete, internal = method.exchange_type, method.auto_delete, method.internal
        channel.connection.vhost.check_declared_exchange(self.name, kind, auto_delete, internal, method.arguments)
        if not method.nowait:
            channel.send(ExchangeDeclareOk())


class DeclaringQueue(Declaring):
    """queue.declare. name: cleaned, or generated."""

    def __init__(self, channel: Lane, name: str, method: QueueDeclare) -> None:
        super().__init__(channel, name, QUEUE_DECLARE)
        self._method = method

    def answer(self) -> None:
        """Compare it with what exists now, and reply. Raises: Refusal."""
        method, channel = self._method, self.channel
        vhost = channel.connection.vhost
        vhost.check_declared_queue(self.name, method.auto_delete, method.arguments)
        if method.nowait:
            return
        queue = vhost.queues.get(self.name)
        messages, consumers = (0, 0) if queue is None else (len(queue.ready), len(queue.consumers))
        channel.send(QueueDeclareOk(self.name, messages, consumers))
