"""Lane: a channel, as its parts see it: publishing, consuming, transaction, topology.

    OPEN    in use
    SHUT    one side has closed it; of further frames only the client's close and close-ok count
    GONE    its number is free again, or its connection has ended

When OPEN ends, nothing of the channel stays in the core: its unacknowledged messages are back in their queues, or on
their way there, before a close or close-ok is sent.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Final

from mypy_extensions import i64

from leveret.core.counting.counters import ChannelCounters
from leveret.core.errors import refusals as errors
from leveret.core.message.message import Message
from leveret.core.turn.states import StateTable
from leveret.session.base.carrier import Carrier
from leveret.wire.arguments import Method
from leveret.wire.constants import NO_ROUTE
from leveret.wire.methods import BasicReturn

OPEN: Final = 0
SHUT: Final = 1
GONE: Final = 2

FAILED: Final = 0  # a soft error: the broker closes it
CLOSED: Final = 1  # the client closes it
LOST: Final = 2  # its connection ends
FREED: Final = 3  # the close is answered, or no answer is expected

STATES: Final = StateTable(
    "a channel",
    ("open", "shut", "gone"),
    ("an error", "channel.close", "the end of its connection", "the end of its number"),
    {
        OPEN: {FAILED: SHUT, CLOSED: SHUT, LOST: GONE},
        SHUT: {CLOSED: SHUT, FREED: GONE, LOST: GONE},  # on crossing closes the client's answer is still to come
        GONE: {},
    },
)


class Lane:
    """A channel, as its parts see it.

    last_queue: the queue that an empty queue name refers to. counters: see ChannelCounters.total().
    """

    __slots__ = ("connection", "counters", "last_queue", "number", "state")

    def __init__(self, connection: Carrier, number: int) -> None:
        self.connection = connection
        self.number = number
        self.counters = ChannelCounters(number, connection.counters)
        self.state: i64 = OPEN
        self.last_queue = ""

    @property
    def is_open(self) -> bool:
        """Whether the client may use it."""
        return self.state == OPEN

    def go(self, event: int) -> None:
        """Change the state. Raises: RuntimeError when the event cannot happen now."""
        self.state = STATES.follow(int(self.state), event)

    def send(self, method: Method) -> None:
        """Send a method on this channel."""
        self.connection.writer.method(self.number, method)
        self.connection.wake()

    def send_back(self, message: Message) -> None:
        """Return a message without a queue to its publisher (basic.return)."""
        address = message.address
        writer = self.connection.writer
        writer.method(self.number, BasicReturn(NO_ROUTE, "NO_ROUTE", address.exchange, address.routing_key))
        writer.content(self.number, message.content)
        self.connection.wake()

    def queue_name(self, name: str) -> str:
        """The name, or that of the queue last declared on this channel. Raises: AmqpError 404 when there is none."""
        if name:
            return name
        if not self.last_queue:
            raise errors.no_previously_declared_queue()
        return self.last_queue

    @abstractmethod
    def committed(self, failed: bool) -> None:
        """A tx.commit is complete."""
