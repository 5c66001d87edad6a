"""x-recent-history: a fanout that sends its last messages to each new binding.

The messages are in memory, so a restart begins a new history. One exchange may use only a part of the memory budget:
beyond that, or when memory is short, it drops the oldest messages. The header x-recent-history-no-store keeps a message
out of the history. Source: rabbit_exchange_type_recent_history.erl.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from mypy_extensions import i64

from leveret.core.errors.bounds import HISTORY
from leveret.core.errors.refusals import UNFIT, Refusal
from leveret.core.exchange.exchange import Binding, Exchange
from leveret.core.exchange.interceptor import Interceptor
from leveret.core.message.budget import COST, Holder
from leveret.core.message.cost import walking
from leveret.core.message.destination import Destination, hand_out
from leveret.core.message.message import Message
from leveret.core.turn.background import BackgroundJob
from leveret.core.turn.work import HANDING_OUT, LETTER, PIECE
from leveret.wire.fields import BOOLEAN, LONGSTR, Field, Table
from leveret.wire.properties import BasicProperties

DEFAULT_LENGTH: Final = 20


def history_length(arguments: Table) -> int:
    """How many messages to store. Raises: Refusal UNFIT."""
    field = arguments.get("x-recent-history-length")
    if field is None:
        return DEFAULT_LENGTH
    if not field.is_integer or field.integer < 1:
        text = f"Invalid argument {_term(field)}, 'x-recent-history-length' must be a positive integer"
        raise Refusal(UNFIT, text)
    return HISTORY.nearest(field.integer)


def _term(field: Field) -> str:
    if field.kind == LONGSTR:
        return f'<<"{field.text}">>'
    return str(field.value).lower()


class History(Interceptor, Holder):
    """The last messages of one exchange, oldest first."""

    def __init__(self, exchange: Exchange) -> None:
        self._broker = exchange.vhost.broker
        self._length = history_length(exchange.arguments)
        self._messages: deque[Message] = deque()
        self._size: i64 = 0  # approximate memory in bytes

    def admit(self, message: Message, properties: BasicProperties) -> list[Destination] | None:
        """Store a message, and let it pass."""
        headers = properties.headers if properties.headers is not None else {}
        field = headers.get("x-recent-history-no-store")
        if field is None or field.kind != BOOLEAN or field.value is not True:
            budget = self._broker.budget
            self._messages.append(message)
            self._size += COST + len(message.content)
            budget.hold(message)
            while len(self._messages) > self._length or self._size > budget.part():
                self._forget_oldest()
        return None

    def _forget_oldest(self) -> None:
        message = self._messages.popleft()
        self._size -= COST + len(message.content)
        self._broker.budget.release(message)

    def release(self, want: i64) -> None:
        """Drop the oldest messages to free memory."""
        target = self._broker.budget.used - want
        while self._messages and self._broker.budget.used > target:
            self._forget_oldest()

    def fail(self, doing: str, error: Exception) -> None:
        """Report a failure; the history stays."""
        self._broker.faults.own(doing, error)

    def open(self) -> None:
        """Register for memory requests."""
        self._broker.holders[self] = None

    def bound(self, binding: Binding) -> None:
        """Send the history to a new destination; new messages may overtake the rest of a long one."""
        if self._messages:
            binding.source.vhost.broker.background.begin(Handing(list(self._messages), binding))

    def close(self) -> None:
        """Drop the history."""
        self._broker.holders.pop(self, None)
        while self._messages:
            self._forget_oldest()


class Handing(BackgroundJob):
    """Sends a history to a new destination; an exchange routes each message as if it were new."""

    def __init__(self, messages: list[Message], binding: Binding) -> None:
        self._messages = messages
        self._binding = binding
        self._broker = binding.source.vhost.broker
        self._at: i64 = 0

    def work(self) -> bool:
        """Send some, unless the binding is gone. Returns: whether all are sent."""
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
        """Report that a message could not be sent; it is skipped."""
        self._broker.faults.own("send a history", error)
