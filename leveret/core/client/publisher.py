"""Publisher: publishing, whatever the protocol.

A protocol names the destination of a message by a *target*: bytes as its client sent them; equal targets always mean
the same exchange, routing key and flags. So the common case is one step: a known target is found in a dictionary, and
not parsed again. The content passed to publish() is complete, in the frames in which messages are kept
(leveret/wire/content.py); only properties that concern the broker are decoded.
Checks come in the order of rabbit_channel.erl handle_method(basic.publish).
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Final

from mypy_extensions import i64

from leveret.core.access import user as access
from leveret.core.client import observing, tracing
from leveret.core.client.party import Party
from leveret.core.client.receiver import Receiver
from leveret.core.client.transaction import PublishListener, Transaction
from leveret.core.counting.counters import ChannelCounters, ExchangeCounters, Inflow
from leveret.core.counting.intake import SMALL
from leveret.core.errors import refusals as errors
from leveret.core.errors.refusals import UNFIT, UNREADABLE, Refusal
from leveret.core.exchange.exchange import Route
from leveret.core.exchange_types.kinds import TOPIC
from leveret.core.message import refused
from leveret.core.message.confirm import AGAIN, Confirm
from leveret.core.message.destination import Destination, give_up, hand_out, not_taken
from leveret.core.message.message import Address, Followed, Message, address
from leveret.core.policy.checks import expiration_error
from leveret.core.policy.matching import Patience
from leveret.core.queue.client import FOLLOW, HOLD, REFUSE, STRAY, Follower
from leveret.core.queue.replies import REPLY_TO
from leveret.wire import content as frames
from leveret.wire.fields import ARRAY, LONGSTR, DecodeError, Table
from leveret.wire.properties import BasicProperties
from leveret.wire.reader import octets

NOWHERE: Final = ExchangeCounters("")  # before the first publish
COPIES: Final = 20  # copies of a message to many queues that cost as much as a method
INSPECTED: Final = frames.HEADERS_FLAG | frames.REPLY_TO_FLAG | frames.EXPIRATION_FLAG | frames.USER_ID_FLAG


class Publisher(PublishListener):
    """The publishing half of a channel, or of its equivalent in another protocol.

    A subclass knows the protocol: it parses targets, handles the results of publishes, and counts the confirms that it
    sends.

    counters: those of the receiver, if any. number: of the channel, for traces. receiver: the other half, which gets
    the replies to requests published with direct reply-to; None without one. wants_confirms: each publish is confirmed
    or refused, under a tag. last_tag: the latest one; the first is 1. transaction: collects publishes; None outside of
    one. Never used with confirms.
    """

    __slots__ = (
        "_inflow",
        "_is_strayed",
        "_last_route",
        "_last_target",
        "last_tag",
        "number",
        "party",
        "receiver",
        "transaction",
        "wants_confirms",
    )

    def __init__(self, party: Party, counters: ChannelCounters, receiver: Receiver | None) -> None:
        super().__init__(counters)
        self.party = party
        self.number = counters.number
        self.receiver = receiver
        self.wants_confirms = False
        self.last_tag: i64 = 0
        self.transaction: Transaction | None = None
        self._last_target = b""
        self._last_route: Route | None = None  # of that target
        self._inflow = Inflow(counters, NOWHERE)  # for the exchange of that route
        self._is_strayed = False  # an observer wanted the last observed message not to be routed

    @abstractmethod
    def resolve(self, target: bytes) -> Route:
        """Parse an unknown target, and find the route with route_to(). Raises: Refusal."""

    def publish(self, target: bytes, content: bytes) -> None:
        """Route one message, and enqueue, return or confirm it.

        Raises: Refusal UNKNOWN and FORBIDDEN for the exchange, FORBIDDEN for a routing key, UNFIT for an invalid
        property or a body that is too large, UNREADABLE for properties, and the refusals of an observer.
        """
        try:
            party = self.party
            route = self._last_route
            generation = party.vhost.generation
            if route is None or route.generation != generation or target != self._last_target:
                route = party.routes.get(target)
                if route is None or route.generation != generation:
                    route = self._find(target)
                self._last_target = target
                self._last_route = route
                if self._inflow.exchange is not route.exchange.counters:
                    self._inflow = self.counters.inflow(route.exchange.counters)
            size = frames.body_size(content)
            if size > party.small:
                self._note_larger(size)
            party.published += 1
            party.published_bytes += size
            try:
                persistent = frames.check_properties(content)
            except DecodeError:
                raise Refusal(UNREADABLE, f"cannot decode {octets(frames.properties(content))}") from None
            queues = route.queues
            message = Message(route.address, content, persistent)
            is_inspected = route.varies or frames.property_flags(content) & INSPECTED != 0
            if is_inspected:
                message, queues = self._inspect(route, message)
            if route.watched:
                self._publish_watched(message, queues, route)
            elif self.transaction is not None:
                self.transaction.publish(message, queues, route)
            else:
                self._inflow.published += 1
                if not is_inspected or queues is route.queues:
                    if not route.published:
                        party.used_routes.append(route)
                    route.published += 1
                else:
                    route.exchange.count(queues, 1)
                self._send(message, queues, route)
        except Refusal as refusal:
            self.note_refusal(target, content, frames.body_size(content), refusal)
            raise

    def publish_parts(self, target: bytes, properties: BasicProperties, body: bytes) -> None:
        """As publish(), for a protocol without frames: they are built once, and kept with the message.

        Message.properties() and Message.body() return the parts again. Raises: as publish().
        """
        self.publish(target, frames.make_content(properties.encode(), body))

    def route_to(self, where: Address, mandatory: bool) -> Route:
        """Find the route of publishes to this address, and check the permissions.

        where: not shared with another publisher. mandatory: unroutable messages are returned.
        Raises: Refusal FORBIDDEN, UNKNOWN.
        """
        party = self.party
        vhost, user = party.vhost, party.user
        where.user = user.name
        where.connection = party.name
        name, key = where.exchange, where.routing_key
        user.check(access.WRITE, "exchange", name, vhost.name)
        exchange = vhost.exchange(name)
        if exchange.internal:
            raise errors.internal_exchange(name, vhost.name)
        route = Route(exchange, where, exchange.route([key]), vhost.generation, mandatory)
        if exchange.kind == TOPIC and not user.may_topic(access.WRITE, name, key, vhost.name, Patience()):
            route.varies = True  # refused after the check of its properties
        if vhost.tracing:
            route.varies = True
        route.watched = vhost.observer is not None
        return route

    def _note_larger(self, size: i64) -> None:
        """Check and count a body that is not small. Raises: Refusal UNFIT."""
        party = self.party
        if size > party.max_message_size:
            raise self.too_large(size)
        if size > SMALL:
            party.broker.intake.note_larger(size)

    def too_large(self, size: i64) -> Refusal:
        """The refusal of a body above the size limit."""
        limit = self.party.max_message_size
        return Refusal(UNFIT, f"message size {size} is larger than configured max size {limit}")

    def _find(self, target: bytes) -> Route:
        party = self.party
        long = party.broker.matcher.long
        try:
            route = self.resolve(target)
            party.keep_route(target, route)
            party.broker.intake.misses += 1
        finally:
            party.count_searches(long)
        return route

    # -- to the queues

    def _send(self, message: Message, queues: list[Destination], route: Route) -> None:
        """Put a message into its queues; return or confirm it as requested."""
        if len(queues) == 1:  # hand_out(), inlined
            queue = queues[0]
            confirm = self._confirm(1) if self.wants_confirms else None
            try:
                queue.publish(message, confirm)
            except Exception as error:
                not_taken(queue, confirm, error)
        elif queues:
            hand_out(message, queues, self._confirm(len(queues)) if self.wants_confirms else None)
            if len(queues) >= COPIES:
                self.party.count_method(len(queues) // COPIES)
        else:
            self.stranded(message, route)
            if self.wants_confirms:
                self.last_tag += 1
                self.confirmed(self.last_tag)

    def _publish_watched(self, message: Message, queues: list[Destination], route: Route) -> None:
        """Publish a message in a virtual host with an observer. Raises: Refusal that the observer wants."""
        verdict = observing.judge(self.party, message, queues, route.mandatory)
        if verdict == FOLLOW:
            follower = observing.follower(self.party)
            if follower is not None:
                self._publish_followed(message, queues, route, follower)
                return
        self._is_strayed = verdict == STRAY or verdict == REFUSE
        if self._is_strayed:
            give_up(message, queues)
            queues = []
        if self.transaction is not None:
            self._is_strayed = False  # no message is unroutable before the commit
            if verdict != REFUSE:
                self.transaction.publish(message, queues, route)
            return
        self._count(queues, route)
        if verdict == REFUSE:
            self._note_stranded(message, route)
            if self.wants_confirms:
                self.last_tag += 1
                self.refused(self.last_tag, AGAIN)
        elif verdict == HOLD and self.wants_confirms:
            confirm = self._confirm(len(queues) + 1)
            if not queues:
                self.stranded(message, route)
            hand_out(message, queues, confirm)
            observing.held(self.party, confirm)
        else:
            self._send(message, queues, route)
        self._is_strayed = False

    def _publish_followed(self, message: Message, queues: list[Destination], route: Route, follower: Follower) -> None:
        """Publish a message that an observer follows. Raises: Refusal of the transaction."""
        followed = Followed(message, follower)
        if self.transaction is None and queues and self.wants_confirms:
            self._count(queues, route)
            self.last_tag += 1
            listener = observing.Following(self, self.party, follower)
            hand_out(followed, queues, Confirm(listener, self.last_tag, len(queues)))
            if len(queues) >= COPIES:
                self.party.count_method(len(queues) // COPIES)
            return
        if self.transaction is not None:
            self.transaction.publish(followed, queues, route)
        else:
            self._count(queues, route)
            self._send(followed, queues, route)
        observing.published(self.party, follower, False, 0)

    def _count(self, queues: list[Destination], route: Route) -> None:
        """Count a publish in a virtual host with an observer, as publish() does without one."""
        self._inflow.published += 1
        if queues is not route.queues:
            route.exchange.count(queues, 1)
            return
        if not route.published:
            self.party.used_routes.append(route)
        route.published += 1

    def _confirm(self, owed: i64) -> Confirm:
        """The confirm of the next publish."""
        self.last_tag += 1
        return Confirm(self, self.last_tag, owed)

    def fail(self, doing: str, error: Exception) -> None:
        """Report the fault to the client."""
        self.party.fail(doing, error)

    # -- refused and unroutable messages

    def named(self, target: bytes) -> Address | None:
        """The exchange and routing key of a target, for reports; None if it cannot be parsed."""
        return None

    def note_refusal(self, target: bytes, content: bytes, size: i64, refusal: Refusal) -> None:
        """Record a publish that was refused.

        content: empty if the message was not even complete. size: bytes of its body.
        """
        party = self.party
        where = self.named(target) or address("", "")
        where.user = party.user.name
        where.connection = party.name
        if refusal.kind == errors.UNKNOWN:
            kind = refused.NO_EXCHANGE
        elif refusal.kind == errors.FORBIDDEN:
            kind = refused.TOPIC if refusal.subject.startswith("topic ") else refused.NO_PERMISSION
        else:
            kind = refused.TOO_LARGE if size > party.max_message_size else refused.INVALID
        entry = party.broker.refused.add(party.vhost.name, where, kind, "", size)
        if entry is not None:
            message = Message(where, content, False) if content else None
            entry.say(kind, refusal.text, message, refusal.hint)

    def stranded(self, message: Message, route: Route) -> None:
        """No queue gets a message."""
        super().stranded(message, route)
        self._note_stranded(message, route)

    def _note_stranded(self, message: Message, route: Route) -> None:
        """Record an unroutable message."""
        party = self.party
        entry = party.broker.refused.add(party.vhost.name, message.address, "", "", message.size)
        if entry is None:
            return
        exchange, where = route.exchange, message.address
        if self._is_strayed:
            entry.say(refused.OBSERVER, "a rule of a test drops it", message)
        elif route.varies and exchange.route(where.keys, message.readable_properties()).queues:
            entry.say(refused.DUPLICATE, "an exchange on its route had a message with the same value before", message)
        else:
            what = f"exchange '{exchange.name}' has no binding to a queue for the routing key '{where.routing_key}'"
            reason = what if exchange.name else f"there is no queue '{where.routing_key}'"
            entry.say(refused.RETURNED if route.mandatory else refused.UNROUTABLE, reason, message)

    # -- properties that concern the broker

    def _check_topics(self, route: Route, keys: list[str]) -> None:
        """Check all routing keys of a message to a topic exchange. Raises: Refusal FORBIDDEN."""
        exchange = route.exchange
        if exchange.kind == TOPIC:
            party = self.party
            long = party.broker.matcher.long
            try:
                party.user.check_topics(access.WRITE, exchange.name, keys, exchange.vhost.name)
            finally:
                party.count_searches(long)

    def _inspect(self, route: Route, message: Message) -> tuple[Message, list[Destination]]:
        """Check the properties that concern the broker. Returns: the message, perhaps rewritten, and its queues."""
        content = message.content
        flags = frames.property_flags(content)
        raw = frames.properties(content)
        names_keys = flags & frames.HEADERS_FLAG and (b"\x02CC" in raw or b"\x03BCC" in raw)
        wants_reply = flags & frames.REPLY_TO_FLAG and REPLY_TO.encode() in raw
        others = flags & (frames.EXPIRATION_FLAG | frames.USER_ID_FLAG)
        if not (names_keys or wants_reply or others or route.varies):
            return message, route.queues
        try:
            properties = message.properties()
        except DecodeError:
            raise Refusal(UNREADABLE, f"cannot decode {octets(raw)}") from None
        headers = properties.headers if properties.headers is not None else {}
        changed = False
        if properties.reply_to == REPLY_TO:
            replies = self.receiver.replies if self.receiver is not None else None
            if replies is None:
                raise Refusal(UNFIT, "fast reply consumer does not exist")
            properties.reply_to = replies.name
            changed = True
        if properties.expiration is not None:
            reason = expiration_error(properties.expiration)
            if reason:
                raise Refusal(UNFIT, f"invalid expiration '{properties.expiration}': {reason}")
        where = route.address
        copies, hidden = more_keys(headers, "CC"), more_keys(headers, "BCC")
        if copies or hidden:
            where = address(where.exchange, where.routing_key, tuple(copies), tuple(hidden))
            where.user = route.address.user
            where.connection = route.address.connection
        self._check_topics(route, where.keys)
        user = self.party.user
        if properties.user_id is not None and properties.user_id != user.name and "impersonator" not in user.tags:
            text = f"user_id property set to '{properties.user_id}' but authenticated user was '{user.name}'"
            raise Refusal(UNFIT, text)
        if "BCC" in headers:
            del headers["BCC"]
            changed = True
        if changed:
            content = frames.make_content(properties.encode(), message.body())
        if changed or where is not route.address:
            message = Message(where, content, message.persistent)
        queues = route.queues
        if route.varies or where is not route.address:
            queues = route.exchange.route(where.keys, properties, message).queues
        if self.party.vhost.tracing:
            tracing.published(self.party, self.number, message, queues)
        return message, queues


def more_keys(headers: Table, name: str) -> list[str]:
    """The routing keys in a CC or BCC header. Raises: Refusal UNFIT when it is no array."""
    field = headers.get(name)
    if field is None:
        return []
    if field.kind != ARRAY:
        reason = f'{{unacceptable_type_in_header,"{name}",{field.type_name}}}'
        raise Refusal(UNFIT, f"invalid message: {reason}")
    assert isinstance(field.value, list)
    return [item.text for item in field.value if item.kind == LONGSTR]
