"""Lane: a channel, as its parts know it: publishing, consuming, transaction, topology.

    OPEN    its client uses it
    SHUT    one side has closed it; of what still comes only the client's close and close-ok count
    GONE    its number is free again, or its connection has ended

Whatever ends OPEN leaves nothing of it in the core: what was unacknowledged is back in its queues, or on its way there,
before a close or close-ok is sent.
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

FAILED: Final = 0  # a soft error: we close it
CLOSED: Final = 1  # the client closes it
LOST: Final = 2  # its connection ends
FREED: Final = 3  # the close is answered, or nobody waits for the answer

STATES: Final = StateTable(
    "a channel",
    ("open", "shut", "gone"),
    ("an error", "channel.close", "the end of its connection", "the end of its number"),
    {
        OPEN: {FAILED: SHUT, CLOSED: SHUT, LOST: GONE},
        SHUT: {CLOSED: SHUT, FREED: GONE, LOST: GONE},  # who closes it too still owes us the answer
        GONE: {},
    },
)


class Lane:
    """What the parts of a channel need of it.

    last_queue: what the empty queue name stands for. counters: see ChannelCounters.total().
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
        """Whether its client may use it."""
        return self.state == OPEN

    def go(self, event: int) -> None:
        """Change the state. Raises: RuntimeError when the event cannot happen now."""
        self.state = STATES.follow(int(self.state), event)

    def send(self, method: Method) -> None:
        """Send a method on this channel."""
        self.connection.writer.method(self.number, method)
        self.connection.wake()

    def send_back(self, message: Message) -> None:
        """Tell the publisher that nobody gets its message."""
        address = message.address
        writer = self.connection.writer
        writer.method(self.number, BasicReturn(NO_ROUTE, "NO_ROUTE", address.exchange, address.routing_key))
        writer.content(self.number, message.content)
        self.connection.wake()

    def queue_name(self, name: str) -> str:
        """The name, or that of the queue last declared here. Raises: AmqpError 404 when there is none."""
        if name:
            return name
        if not self.last_queue:
            raise errors.no_previously_declared_queue()
        return self.last_queue

    @abstractmethod
    def committed(self, failed: bool) -> None:
        """A tx.commit is through."""
