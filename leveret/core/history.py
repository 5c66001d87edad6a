"""x-recent-history: a fanout that gives the last messages to everyone who comes later.

The messages are kept in memory, so a restart begins a new history. Header x-recent-history-no-store keeps a message
out of it. Source: rabbit_exchange_type_recent_history.erl.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from mypy_extensions import i64

from leveret.core.bounds import HISTORY
from leveret.core.chores import Chore
from leveret.core.errors import AmqpError
from leveret.core.gate import Gate
from leveret.core.hand_out import hand_out
from leveret.core.message import Message
from leveret.core.work import HANDING_OUT, LETTER, PIECE, walking
from leveret.wire.constants import PRECONDITION_FAILED
from leveret.wire.fields import BOOLEAN, LONGSTR, Field, Table
from leveret.wire.properties import BasicProperties

if TYPE_CHECKING:
    from leveret.core.exchange import Binding
    from leveret.core.queue import Queue

DEFAULT_LENGTH: Final = 20


def history_length(arguments: Table) -> int:
    """How many messages to keep. Raises: AmqpError 406."""
    field = arguments.get("x-recent-history-length")
    if field is None:
        return DEFAULT_LENGTH
    if not field.is_integer or field.integer < 1:
        text = f"Invalid argument {_term(field)}, 'x-recent-history-length' must be a positive integer"
        raise AmqpError(PRECONDITION_FAILED, text)
    return HISTORY.nearest(field.integer)


def _term(field: Field) -> str:
    if field.kind == LONGSTR:
        return f'<<"{field.text}">>'
    return str(field.value).lower()


class History(Gate):
    """The last messages of one exchange, oldest first."""

    def __init__(self, arguments: Table) -> None:
        self._messages: deque[Message] = deque(maxlen=history_length(arguments))

    def admit(self, message: Message, properties: BasicProperties) -> list[Queue] | None:
        """Remember a message, and let it pass."""
        headers = properties.headers if properties.headers is not None else {}
        field = headers.get("x-recent-history-no-store")
        if field is None or field.kind != BOOLEAN or field.value is not True:
            self._messages.append(message)
        return None

    def bound(self, binding: Binding) -> None:
        """Give the history to a new destination; what comes in meanwhile may overtake the rest of a long one."""
        if self._messages:
            binding.source.vhost.broker.chores.begin(Handing(list(self._messages), binding))

    def close(self) -> None:
        """Forget everything."""
        self._messages.clear()


class Handing(Chore):
    """A history on its way to a new destination; an exchange routes each message as if it had just come."""

    def __init__(self, messages: list[Message], binding: Binding) -> None:
        self._messages = messages
        self._binding = binding
        self._broker = binding.source.vhost.broker
        self._at: i64 = 0

    def work(self) -> bool:
        """Hand some over, unless the destination is not bound any more."""
        binding = self._binding
        left: i64 = PIECE
        while left > 0 and self._at < len(self._messages) and binding in binding.source.bindings:
            message = self._messages[self._at]
            self._at += 1
            left -= HANDING_OUT
            if binding.queue is not None:
                hand_out(message, [binding.queue], None)
            elif binding.exchange is not None:
                queues = binding.exchange.route(message.address.keys, None, message).queues
                left -= LETTER + walking(message) + HANDING_OUT * len(queues)
                hand_out(message, queues, None)
        self._broker.share.left -= PIECE - left
        return left > 0

    def fail(self, doing: str, error: Exception) -> None:
        """A message could not be handed over; it is left out."""
        self._broker.faults.own("hand over a history", error)
