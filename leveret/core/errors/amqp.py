"""AmqpError, and the sentences about exchanges and queues that we say to a client.

A sentence stands here once, equal to RabbitMQ's. The code decides the scope: soft ones close the channel, all
others the connection. Raised anywhere below the session, turned into a reply in session/connection/connection.py only.
A hint goes to the log beside the sentence and to no client; core/errors/hints.py has its words.
Source: rabbit_misc.erl, rabbit_channel.erl, rabbit_amqqueue.erl, rabbit_exchange.erl; names of the functions say when.
"""

from mypy_extensions import mypyc_attr

from leveret.core.errors import hints
from leveret.wire.constants import (
    ACCESS_REFUSED,
    INTERNAL_ERROR,
    NOT_ALLOWED,
    NOT_FOUND,
    NOT_IMPLEMENTED,
    PRECONDITION_FAILED,
    REPLY_NAMES,
    RESOURCE_LOCKED,
    SOFT_CODES,
)

MAX_TEXT = 255  # bytes of a reply text


@mypyc_attr(native_class=False)
class AmqpError(Exception):
    """A reply code with its explanation. hint: what the log says beside it. is_soft: only the channel is closed."""

    def __init__(self, code: int, explanation: str, hint: str = "", is_soft: bool | None = None) -> None:
        super().__init__(explanation)
        self.code = code
        self.explanation = explanation
        self.hint = hint
        self.is_soft = code in SOFT_CODES if is_soft is None else is_soft

    @property
    def reply_text(self) -> str:
        """NAME - explanation, cut to what a short string holds."""
        if self.code == INTERNAL_ERROR and not self.explanation:
            return REPLY_NAMES[self.code]
        text = f"{REPLY_NAMES[self.code]} - {self.explanation}"
        raw = text.encode("utf-8", "surrogateescape")
        if len(raw) <= MAX_TEXT:
            return text
        return raw[: MAX_TEXT - 3].decode("utf-8", "ignore") + "..."

    @property
    def log_text(self) -> str:
        """The reply text and the hint."""
        return f"{self.reply_text} ({self.hint})" if self.hint else self.reply_text


def resource(kind: str, name: str, vhost: str) -> str:
    """queue 'q' in vhost '/'."""
    return f"{kind} '{name}' in vhost '{vhost}'"


def no_queue(name: str, vhost: str, hint: str = "") -> AmqpError:
    """The queue does not exist."""
    return AmqpError(NOT_FOUND, f"no {resource('queue', name, vhost)}", hint)


def no_exchange(name: str, vhost: str, hint: str = "") -> AmqpError:
    """The exchange does not exist."""
    return AmqpError(NOT_FOUND, f"no {resource('exchange', name, vhost)}", hint)


def no_previously_declared_queue() -> AmqpError:
    """The empty name stands for the last declared queue, and there is none."""
    return AmqpError(NOT_FOUND, "no previously declared queue")


def locked_queue(name: str, vhost: str, hint: str = "") -> AmqpError:
    """The queue is exclusive to another connection."""
    return AmqpError(
        RESOURCE_LOCKED,
        f"cannot obtain exclusive access to locked {resource('queue', name, vhost)}. It could be originally declared "
        "on another connection or the exclusive property value does not match that of the original declaration.",
        hint,
    )


def faulty_queue(name: str, vhost: str, fault: str) -> AmqpError:
    """The queue's own work has failed, and it does nothing until it is repaired. Only the channel is closed for it."""
    text = f"{resource('queue', name, vhost)} is faulty: {fault}"
    return AmqpError(INTERNAL_ERROR, text, f"leveret queues repair '{name}' lets it try again", True)


def lost_queue(name: str, vhost: str, why: str) -> AmqpError:
    """Another node has the queue."""
    what = resource("queue", name, vhost)
    return AmqpError(NOT_FOUND, f"home node of durable {what} is down or inaccessible", why)


def no_get_with_single_active(name: str, vhost: str) -> AmqpError:
    """basic.get would take what belongs to the single active consumer of a quorum queue."""
    return AmqpError(
        RESOURCE_LOCKED,
        f"cannot obtain access to locked {resource('queue', name, vhost)}. basic.get operations are not supported "
        'by <<"quorum">> queues with single active consumer',
    )


def queue_in_exclusive_use(name: str, vhost: str) -> AmqpError:
    """An exclusive consumer stands in the way, or others stand in the way of an exclusive one."""
    return AmqpError(ACCESS_REFUSED, f"{resource('queue', name, vhost)} in exclusive use")


def reserved_name(kind: str, name: str) -> AmqpError:
    """Only the broker makes things whose name begins with amq."""
    return AmqpError(ACCESS_REFUSED, f"{kind} name '{name}' contains reserved prefix 'amq.*'")


def default_exchange() -> AmqpError:
    """The default exchange cannot be declared, deleted, bound."""
    return AmqpError(ACCESS_REFUSED, "operation not permitted on the default exchange")


def system_exchange(name: str, vhost: str) -> AmqpError:
    """An exchange that the broker made cannot be deleted."""
    return AmqpError(ACCESS_REFUSED, f"deletion of system {resource('exchange', name, vhost)} not allowed")


def internal_exchange(name: str, vhost: str) -> AmqpError:
    """Clients cannot publish here."""
    return AmqpError(ACCESS_REFUSED, f"cannot publish to internal {resource('exchange', name, vhost)}")


def access_refused(
    operation: str, kind: str, name: str, vhost: str, user: str, pattern: str | None = None
) -> AmqpError:
    """A permission is missing. operation: configure, write or read. pattern: that the name does not match."""
    what = resource(kind, name, vhost)
    text = f"{operation} access to {what} refused for user '{user}'"
    return AmqpError(ACCESS_REFUSED, text, hints.refused(operation, pattern))


def topic_access_refused(operation: str, key: str, exchange: str, vhost: str, user: str) -> AmqpError:
    """A topic permission does not allow the routing key. operation: write or read."""
    what = f"topic '{key}' in {resource('exchange', exchange, vhost)}"
    return AmqpError(ACCESS_REFUSED, f"{operation} access to {what} refused for user '{user}'")


def vhost_access_refused(vhost: str, user: str) -> AmqpError:
    """The user has no permission at all in a virtual host."""
    return AmqpError(NOT_ALLOWED, f"access to vhost '{vhost}' refused for user '{user}'")


def node_connection_limit(limit: int) -> AmqpError:
    """The broker has as many connections as it may have."""
    return AmqpError(NOT_ALLOWED, f"connection refused: node connection limit ({limit}) is reached")


def vhost_connection_limit(vhost: str, user: str, limit: int) -> AmqpError:
    """A virtual host has as many connections as it may have."""
    text = f"connection limit ({limit}) is reached"
    return AmqpError(NOT_ALLOWED, f"access to vhost '{vhost}' refused for user '{user}': {text}")


def user_connection_limit(user: str, limit: int) -> AmqpError:
    """A user has as many connections as it may have."""
    text = f"user connection limit ({limit}) is reached"
    return AmqpError(NOT_ALLOWED, f"connection refused for user '{user}': {text}")


def user_channel_limit(user: str, limit: int) -> AmqpError:
    """A user has as many channels as it may have."""
    text = f"has reached the maximum allowed user limit of {limit}"
    return AmqpError(NOT_ALLOWED, f"number of channels opened for user '{user}' {text}")


def vhost_queue_limit(name: str, vhost: str, limit: int) -> AmqpError:
    """A virtual host has as many queues as it may have."""
    text = f"cannot declare queue '{name}': queue limit in vhost '{vhost}' ({limit}) is reached"
    return AmqpError(PRECONDITION_FAILED, text)


def unknown_exchange_type(kind: str) -> AmqpError:
    """No such type of exchange."""
    return AmqpError(PRECONDITION_FAILED, f"invalid exchange type '{kind}'")


def inequivalent(argument: str, what: str, received: str, current: str, hint: str = "") -> AmqpError:
    """A declaration differs from what exists."""
    text = f"inequivalent arg '{argument}' for {what}: received {received} but current is {current}"
    return AmqpError(PRECONDITION_FAILED, text, hint)


def invalid_argument(argument: str, what: str, reason: str, wants: str = "") -> AmqpError:
    """An x-argument has a value that it cannot have. reason: an Erlang term, as RabbitMQ prints it."""
    text = f"invalid arg '{argument}' for {what}: {reason}"
    return AmqpError(PRECONDITION_FAILED, text, hints.wants(argument, wants))


def argument_of_other_type(argument: str, what: str, kind: str, types: tuple[str, ...]) -> AmqpError:
    """An x-argument belongs to other types of queues. kind: the queue's type."""
    text = f"invalid arg '{argument}' for {what} of queue type rabbit_{kind}_queue"
    return AmqpError(PRECONDITION_FAILED, text, f"only queues of type {' or '.join(types)} have it")


def invalid_property(name: str, what: str) -> AmqpError:
    """A quorum queue cannot be this."""
    hint = "a quorum queue is durable, not exclusive and not auto-delete"
    return AmqpError(PRECONDITION_FAILED, f"invalid property '{name}' for {what}", hint)


def server_named(kind: str) -> AmqpError:
    """Queues of some types need a name from their client."""
    return AmqpError(PRECONDITION_FAILED, f"Cannot declare a server-named queue for type rabbit_{kind}_queue")


def unconditional_delete_only(name: str, vhost: str, flag: str) -> AmqpError:
    """A quorum queue is not deleted on a condition. flag: if-unused or if-empty."""
    what = resource("queue", name, vhost)
    reason = f"queue.delete operations with {flag} flag set are not supported by quorum queues"
    return AmqpError(NOT_IMPLEMENTED, f"cannot delete {what}. {reason}")


def unknown_tag(tag: int, outstanding: list[int]) -> AmqpError:
    """A delivery tag is not outstanding on the channel. outstanding: those that are, ascending."""
    return AmqpError(PRECONDITION_FAILED, f"unknown delivery tag {tag}", hints.unknown_tag(outstanding))


def in_use(kind: str, name: str, vhost: str) -> AmqpError:
    """Deletion was asked for only if unused."""
    return AmqpError(PRECONDITION_FAILED, f"{resource(kind, name, vhost)} in use")


def not_empty(name: str, vhost: str) -> AmqpError:
    """Deletion was asked for only if empty."""
    return AmqpError(PRECONDITION_FAILED, f"{resource('queue', name, vhost)} not empty")


def invalid_type(type_name: str, argument: str, what: str) -> AmqpError:
    """An argument that names an exchange is no text."""
    return AmqpError(PRECONDITION_FAILED, f"invalid type '{type_name}' for arg '{argument}' in {what}")
