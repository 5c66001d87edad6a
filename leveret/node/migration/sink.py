"""Sink: the target broker, over one connection to one virtual host.

A message goes only to its queue: through the default exchange if it was published there, else through a temporary
exchange bound only to that queue, so that the message keeps its routing key. For Leveret, a batch is one transaction
that includes a marker: a message in a queue of the migration that contains the number of the last stored batch. So it
is always known whether the target has a batch, whatever process is killed. RabbitMQ confirms messages one by one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Final

from leveret.node.amqp import AmqpClient, AmqpError
from leveret.node.migration.letter import Letter
from leveret.node.migration.side import Side, SideError
from leveret.wire.constants import FRAME_MAX
from leveret.wire.content import make_content
from leveret.wire.fields import Table, long, longstr
from leveret.wire.methods import (
    BasicAck,
    BasicGet,
    BasicGetEmpty,
    BasicGetOk,
    BasicNack,
    BasicPublish,
    BasicReturn,
    ChannelClose,
    ChannelCloseOk,
    ChannelOpen,
    ChannelOpenOk,
    ConfirmSelect,
    ConfirmSelectOk,
    ExchangeDeclare,
    ExchangeDeclareOk,
    ExchangeDelete,
    ExchangeDeleteOk,
    QueueBind,
    QueueBindOk,
    QueueDeclare,
    QueueDeclareOk,
    QueueDelete,
    QueueDeleteOk,
    TxCommit,
    TxCommitOk,
    TxSelect,
    TxSelectOk,
)
from leveret.wire.properties import BasicProperties

PREFIX: Final = "leveret.migrate."  # of the migration's own queues and exchanges
EXACT_BYTES: Final = 8 << 20  # of messages in one transaction
LEAST_EXACT: Final = 64 << 10
COST: Final = 1 << 10  # approximate overhead of a message in a broker, in bytes
REJECTS: Final = ("reject-publish", "reject-publish-dlx")
BROKEN: Final = (0, 320)  # error codes of a lost connection
IMPERSONATOR: Final = "impersonator"
TOO_LARGE: Final = "transaction"  # in the error text for a transaction that is too large
PARTIAL: Final = "partial tx completion"


class Lost(Exception):
    """The connection is lost. stored: indexes of letters in the batch that are known to be safe."""

    def __init__(self, text: str, stored: frozenset[int] = frozenset()) -> None:
        super().__init__(text)
        self.stored = stored


class Refused(Exception):
    """The target refused a batch, or part of it. The text says why.

    is_unsure: part of it may be stored. is_over: the connection is closed too. is_too_large: for a transaction.
    """

    def __init__(self, text: str, is_unsure: bool, is_over: bool = False, is_too_large: bool = False) -> None:
        super().__init__(text)
        self.is_unsure = is_unsure
        self.is_over = is_over
        self.is_too_large = is_too_large


@dataclass
class Room:
    """The limits of a queue. rejects: it rejects messages when full. max_length: messages; None for no limit."""

    rejects: bool = False
    max_length: int | None = None
    counts_bytes: bool = False


@dataclass
class Sink:
    """A connection. marker: the last batch known to be in the target; None if unknown.

    name: of the migration. All methods raise Lost if the connection is lost.
    """

    client: AmqpClient
    side: Side
    vhost: str
    name: str
    tags: frozenset[str] = frozenset()  # of the user
    marker: int | None = None
    exact_bytes: int = EXACT_BYTES
    _mode: str = ""  # of the channel
    _sent: int = 0  # messages since confirm mode began
    _queue: str = ""
    _exchange: str = ""  # the temporary exchange of the queue, if declared
    _room: Room = field(default_factory=Room)

    @property
    def is_exact(self) -> bool:
        """Whether a batch can be stored with a marker."""
        return self.side.is_leveret and not self._room.rejects

    # -- the marker

    def begin(self) -> None:
        """Read the marker. Raises: SideError."""
        if not self.side.is_leveret:
            return
        client, queue = self.client, PREFIX + self.name
        arguments: Table = {
            "x-queue-type": longstr(b"classic"),
            "x-max-length": long(1),
            "x-dead-letter-exchange": longstr(b""),  # overrides any policy
            "x-dead-letter-routing-key": longstr(f"{PREFIX}nowhere".encode()),
        }
        try:
            client.call(QueueDeclare(queue, durable=True, arguments=arguments), QueueDeclareOk)
            client.send(BasicGet(queue))
            got = client.take(BasicGetOk, BasicGetEmpty)
            if isinstance(got.method, BasicGetOk):
                self.marker = int(got.body)
                client.put(BasicNack(got.method.delivery_tag, False, True))
        except AmqpError as error:
            raise self._explained(error) from None

    def check_marker(self, last: int) -> None:
        """Set the marker to the last batch if it is missing or higher. Raises: SideError."""
        if not self.side.is_leveret or (self.marker is not None and self.marker <= last):
            return
        try:
            self._select("tx")
            self._mark(last)
            self.client.call(TxCommit(), TxCommitOk)
        except AmqpError as error:
            raise self._explained(error) from None
        self.marker = last

    def _explained(self, error: AmqpError) -> Exception:
        if error.code in BROKEN:
            return Lost(str(error))
        return SideError(f"{self.side.shown} refused the marker of the migration: {error}")

    def end(self) -> None:
        """Delete the migration's own queues and exchanges."""
        self.leave()
        try:
            if self.side.is_leveret:
                self.client.call(QueueDelete(PREFIX + self.name), QueueDeleteOk)
        except AmqpError as error:
            raise Lost(str(error)) from None

    # -- a queue

    def enter(self, queue: str, room: Room) -> None:
        """Select the queue for the following messages."""
        if queue != self._queue:
            self.leave()
        self._queue, self._room = queue, room

    def leave(self) -> None:
        """Finish with the queue."""
        exchange, self._exchange = self._exchange, ""
        self._queue = ""
        if exchange:
            try:
                self.client.call(ExchangeDelete(exchange), ExchangeDeleteOk)
            except AmqpError as error:
                raise Lost(str(error)) from None

    def room(self) -> int | None:
        """How many more messages the queue accepts; None for no limit."""
        room = self._room
        if not room.rejects:
            return None
        try:
            there = self.client.call(QueueDeclare(self._queue, passive=True), QueueDeclareOk).message_count
        except AmqpError as error:
            raise Lost(str(error)) from None
        if room.counts_bytes or room.max_length is None:
            return 1
        return max(room.max_length - there, 0)

    # -- messages

    def portion(self, letters: list[Letter]) -> tuple[int, bool]:
        """How many of these letters to store at once, and whether with a marker."""
        if not self.is_exact:
            return len(letters), False
        size = 0
        for at, letter in enumerate(letters):
            size += letter.size + COST
            if size > self.exact_bytes:
                return (at, True) if at else (1, False)
        return len(letters), True

    def store(self, letters: list[Letter], number: int, is_exact: bool) -> frozenset[int]:
        """Store a portion. Returns: indexes of letters that the full queue rejected.

        Raises: Refused.
        """
        stored: set[int] = set()
        try:
            for letter in letters:
                self._check(letter)
            self._select("tx" if is_exact else "confirm")
            first = self._sent
            for letter in letters:
                self._put(letter)
            if is_exact:
                self._mark(number)
                self._commit()
                self.marker = number
                return frozenset()
            self.client.flush()
            return self._confirmed(first, len(letters), stored)
        except AmqpError as error:
            if error.code in BROKEN:
                raise Lost(str(error), frozenset(stored)) from None
            text = str(error)
            if error.is_channel:
                self._reopen()
            is_too_large = is_exact and TOO_LARGE in text and self.exact_bytes > LEAST_EXACT
            if is_too_large:
                self.exact_bytes //= 4
            raise Refused(text, not is_exact or PARTIAL in text, not error.is_channel, is_too_large) from None

    def _check(self, letter: Letter) -> None:
        """Refuse a wrong user_id here, as the target would close the channel for it. Raises: Refused."""
        user_id = letter.user_id()
        if user_id is not None and user_id != self.side.user and IMPERSONATOR not in self.tags:
            text = f"a message has the user_id '{user_id}', which user '{self.side.user}' may not"
            raise Refused(f"{text} use in the target; give that user the tag {IMPERSONATOR} there", False)

    def _put(self, letter: Letter) -> None:
        if not letter.exchange and letter.key == self._queue and not letter.names_queues:
            method = BasicPublish("", self._queue, mandatory=True)
        else:
            if not self._exchange:
                self._declare()
            method = BasicPublish(self._exchange, letter.key, mandatory=True)
        self.client.put(method, letter.content)
        self._sent += 1

    def _declare(self) -> None:
        digest = blake2b(self._queue.encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()
        exchange = f"{PREFIX}{self.name}.{digest}"
        declaration = ExchangeDeclare(exchange, "fanout", auto_delete=True)
        self.client.call(declaration, ExchangeDeclareOk)
        self.client.call(QueueBind(self._queue, exchange), QueueBindOk)
        self._exchange = exchange

    def _mark(self, number: int) -> None:
        properties = BasicProperties()
        properties.delivery_mode = 2
        content = make_content(properties.encode(), b"%d" % number, FRAME_MAX)
        self.client.put(BasicPublish("", PREFIX + self.name), content)

    def _commit(self) -> None:
        """Raises: AmqpError, Refused."""
        self.client.send(TxCommit())
        self.client.wait(TxCommitOk)
        self._look_for_returned()

    def _look_for_returned(self) -> None:
        got = self.client.next(0)
        while got is not None:
            if isinstance(got.method, BasicReturn):
                raise Refused(f"the queue no longer exists: {got.method.reply_text}", True)
            got = self.client.next(0)

    def _confirmed(self, first: int, count: int, stored: set[int]) -> frozenset[int]:
        """Wait for the confirms of `count` messages after `first`. Raises: Refused."""
        left = dict.fromkeys(range(first + 1, first + count + 1))
        refused: set[int] = set()
        while left:
            method = self.client.take(BasicReturn, BasicAck, BasicNack).method
            if isinstance(method, BasicReturn):
                raise Refused(f"the queue no longer exists: {method.reply_text}", True)
            if isinstance(method, BasicAck | BasicNack):
                tag = int(method.delivery_tag)
                tags = [each for each in left if each <= tag] if method.multiple else [tag]
                for each in tags:
                    if each in left:
                        del left[each]
                        (stored if isinstance(method, BasicAck) else refused).add(each - first - 1)
        return frozenset(refused)

    # -- the channel

    def _select(self, mode: str) -> None:
        """Set the mode of the channel; opens a new channel to change it."""
        if self._mode == mode:
            return
        client = self.client
        if self._mode:
            client.call(ChannelClose(200, "", 0, 0), ChannelCloseOk)
            client.call(ChannelOpen(), ChannelOpenOk)
        if mode == "tx":
            client.call(TxSelect(), TxSelectOk)
        else:
            client.call(ConfirmSelect(), ConfirmSelectOk)
        self._mode, self._sent = mode, 0

    def _reopen(self) -> None:
        self._mode = ""
        try:
            self.client.reopen()
        except AmqpError as error:
            raise Lost(str(error)) from None


def room_of(queue: dict[str, Any]) -> Room:
    """The limits of a queue, from the HTTP API."""
    arguments = queue.get("arguments") or {}
    policy = queue.get("effective_policy_definition") or {}
    if isinstance(policy, list):
        policy = {}
    overflow = arguments.get("x-overflow", policy.get("overflow"))
    lengths = [each for each in (arguments.get("x-max-length"), policy.get("max-length")) if isinstance(each, int)]
    sizes = [arguments.get("x-max-length-bytes"), policy.get("max-length-bytes")]
    return Room(overflow in REJECTS, min(lengths, default=None), any(isinstance(each, int) for each in sizes))
