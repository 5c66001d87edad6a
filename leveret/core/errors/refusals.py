"""Refusal, and the sentences about exchanges and queues that we say to a client.

A sentence stands here once, equal to RabbitMQ's. What a refusal means for who asked, a reply code or a status, is for
the protocol to say by its kind: AMQP 0-9-1 does so in session/base/errors.py.
A hint goes to the log beside the sentence and to no client; core/errors/diagnostics.py has its words.
Source: rabbit_misc.erl, rabbit_channel.erl, rabbit_amqqueue.erl, rabbit_exchange.erl; names of the functions say when.
"""

from typing import Final

from mypy_extensions import mypyc_attr

from leveret.core.errors import diagnostics

# Kinds
UNKNOWN: Final = "unknown"  # it does not exist, or not here
FORBIDDEN: Final = "forbidden"  # who asks may not do this with it
LOCKED: Final = "locked"  # it is another client's
UNFIT: Final = "unfit"  # what was asked for does not fit what is there, or cannot be
NOT_ALLOWED: Final = "not allowed"  # who asks has no business here, or asks for too much
UNSUPPORTED: Final = "unsupported"  # it is not done here
UNREADABLE: Final = "unreadable"  # what was sent makes no sense
FAULTY: Final = "faulty"  # it cannot be done, since something of the broker has failed
PROTOCOL: Final = "protocol"  # the client has broken the rules of its protocol, which has its own words for that


@mypyc_attr(native_class=False)
class Refusal(Exception):
    """Something is not done. kind: one of those above. text: a sentence for who asked, which names the subject.

    subject: what it is about, as resource() says it; empty when it is the request itself. hint: what the log says
    beside the sentence.
    """

    def __init__(self, kind: str, text: str, hint: str = "", subject: str = "") -> None:
        super().__init__(text)
        self.kind = kind
        self.text = text
        self.hint = hint
        self.subject = subject


def resource(kind: str, name: str, vhost: str) -> str:
    """queue 'q' in vhost '/'."""
    return f"{kind} '{name}' in vhost '{vhost}'"


def no_queue(name: str, vhost: str, hint: str = "") -> Refusal:
    """The queue does not exist."""
    what = resource("queue", name, vhost)
    return Refusal(UNKNOWN, f"no {what}", hint, what)


def no_exchange(name: str, vhost: str, hint: str = "") -> Refusal:
    """The exchange does not exist."""
    what = resource("exchange", name, vhost)
    return Refusal(UNKNOWN, f"no {what}", hint, what)


def no_previously_declared_queue() -> Refusal:
    """The empty name stands for the last declared queue, and there is none."""
    return Refusal(UNKNOWN, "no previously declared queue")


def locked_queue(name: str, vhost: str, hint: str = "") -> Refusal:
    """The queue is exclusive to another connection."""
    what = resource("queue", name, vhost)
    return Refusal(
        LOCKED,
        f"cannot obtain exclusive access to locked {what}. It could be originally declared "
        "on another connection or the exclusive property value does not match that of the original declaration.",
        hint,
        what,
    )


def faulty_queue(name: str, vhost: str, fault: str) -> Refusal:
    """The queue's own work has failed, and it does nothing until it is repaired. Only the channel is closed for it."""
    what = resource("queue", name, vhost)
    return Refusal(FAULTY, f"{what} is faulty: {fault}", f"leveret queues repair '{name}' lets it try again", what)


def lost_queue(name: str, vhost: str, why: str) -> Refusal:
    """Another node has the queue."""
    what = resource("queue", name, vhost)
    return Refusal(UNKNOWN, f"home node of durable {what} is down or inaccessible", why, what)


def no_get_with_single_active(name: str, vhost: str) -> Refusal:
    """basic.get would take what belongs to the single active consumer of a quorum queue."""
    what = resource("queue", name, vhost)
    return Refusal(
        LOCKED,
        f"cannot obtain access to locked {what}. basic.get operations are not supported "
        'by <<"quorum">> queues with single active consumer',
        subject=what,
    )


def queue_in_exclusive_use(name: str, vhost: str) -> Refusal:
    """An exclusive consumer stands in the way, or others stand in the way of an exclusive one."""
    what = resource("queue", name, vhost)
    return Refusal(FORBIDDEN, f"{what} in exclusive use", subject=what)


def reserved_name(kind: str, name: str) -> Refusal:
    """Only the broker makes things whose name begins with amq."""
    return Refusal(FORBIDDEN, f"{kind} name '{name}' contains reserved prefix 'amq.*'")


def default_exchange() -> Refusal:
    """The default exchange cannot be declared, deleted, bound."""
    return Refusal(FORBIDDEN, "operation not permitted on the default exchange")


def system_exchange(name: str, vhost: str) -> Refusal:
    """An exchange that the broker made cannot be deleted."""
    what = resource("exchange", name, vhost)
    return Refusal(FORBIDDEN, f"deletion of system {what} not allowed", subject=what)


def internal_exchange(name: str, vhost: str) -> Refusal:
    """Clients cannot publish here."""
    what = resource("exchange", name, vhost)
    return Refusal(FORBIDDEN, f"cannot publish to internal {what}", subject=what)


def access_refused(operation: str, kind: str, name: str, vhost: str, user: str, pattern: str | None = None) -> Refusal:
    """A permission is missing. operation: configure, write or read. pattern: that the name does not match."""
    what = resource(kind, name, vhost)
    text = f"{operation} access to {what} refused for user '{user}'"
    return Refusal(FORBIDDEN, text, diagnostics.refused(operation, pattern), what)


def topic_access_refused(operation: str, key: str, exchange: str, vhost: str, user: str) -> Refusal:
    """A topic permission does not allow the routing key. operation: write or read."""
    what = f"topic '{key}' in {resource('exchange', exchange, vhost)}"
    return Refusal(FORBIDDEN, f"{operation} access to {what} refused for user '{user}'", subject=what)


def vhost_access_refused(vhost: str, user: str) -> Refusal:
    """The user has no permission at all in a virtual host."""
    return Refusal(NOT_ALLOWED, f"access to vhost '{vhost}' refused for user '{user}'")


def node_connection_limit(limit: int) -> Refusal:
    """The broker has as many connections as it may have."""
    return Refusal(NOT_ALLOWED, f"connection refused: node connection limit ({limit}) is reached")


def vhost_connection_limit(vhost: str, user: str, limit: int) -> Refusal:
    """A virtual host has as many connections as it may have."""
    text = f"connection limit ({limit}) is reached"
    return Refusal(NOT_ALLOWED, f"access to vhost '{vhost}' refused for user '{user}': {text}")


def user_connection_limit(user: str, limit: int) -> Refusal:
    """A user has as many connections as it may have."""
    text = f"user connection limit ({limit}) is reached"
    return Refusal(NOT_ALLOWED, f"connection refused for user '{user}': {text}")


def user_channel_limit(user: str, limit: int) -> Refusal:
    """A user has as many channels as it may have."""
    text = f"has reached the maximum allowed user limit of {limit}"
    return Refusal(NOT_ALLOWED, f"number of channels opened for user '{user}' {text}")


def node_channel_limit(node: str, limit: int) -> Refusal:
    """The broker has as many channels as it may have."""
    text = f"has reached the maximum allowed limit of {limit}"
    return Refusal(NOT_ALLOWED, f"number of channels opened on node '{node}' {text}")


def vhost_limit(wish: str, kind: str, vhost: str, limit: int) -> Refusal:
    """A virtual host has as many of a kind as it may have. wish: what cannot be done, like declare queue 'q'."""
    return Refusal(UNFIT, f"cannot {wish}: {kind} limit in vhost '{vhost}' ({limit}) is reached")


def unknown_exchange_type(kind: str) -> Refusal:
    """No such type of exchange."""
    return Refusal(UNFIT, f"invalid exchange type '{kind}'")


def inequivalent(argument: str, what: str, received: str, current: str, hint: str = "") -> Refusal:
    """A declaration differs from what exists."""
    text = f"inequivalent arg '{argument}' for {what}: received {received} but current is {current}"
    return Refusal(UNFIT, text, hint, what)


def invalid_argument(argument: str, what: str, reason: str, wants: str = "") -> Refusal:
    """An x-argument has a value that it cannot have. reason: an Erlang term, as RabbitMQ prints it."""
    text = f"invalid arg '{argument}' for {what}: {reason}"
    return Refusal(UNFIT, text, diagnostics.wants(argument, wants), what)


def argument_of_other_type(argument: str, what: str, kind: str, types: tuple[str, ...]) -> Refusal:
    """An x-argument belongs to other types of queues. kind: the queue's type."""
    text = f"invalid arg '{argument}' for {what} of queue type rabbit_{kind}_queue"
    return Refusal(UNFIT, text, f"only queues of type {' or '.join(types)} have it", what)


def invalid_property(name: str, what: str) -> Refusal:
    """A quorum queue cannot be this."""
    hint = "a quorum queue is durable, not exclusive and not auto-delete"
    return Refusal(UNFIT, f"invalid property '{name}' for {what}", hint, what)


def server_named(kind: str) -> Refusal:
    """Queues of some types need a name from their client."""
    return Refusal(UNFIT, f"Cannot declare a server-named queue for type rabbit_{kind}_queue")


def unconditional_delete_only(name: str, vhost: str, flag: str) -> Refusal:
    """A quorum queue is not deleted on a condition. flag: if-unused or if-empty."""
    what = resource("queue", name, vhost)
    reason = f"queue.delete operations with {flag} flag set are not supported by quorum queues"
    return Refusal(UNSUPPORTED, f"cannot delete {what}. {reason}", subject=what)


def unknown_tag(tag: int, outstanding: list[int]) -> Refusal:
    """A delivery tag is not outstanding on the channel. outstanding: those that are, ascending."""
    return Refusal(UNFIT, f"unknown delivery tag {tag}", diagnostics.unknown_tag(outstanding))


def in_use(kind: str, name: str, vhost: str) -> Refusal:
    """Deletion was asked for only if unused."""
    what = resource(kind, name, vhost)
    return Refusal(UNFIT, f"{what} in use", subject=what)


def not_empty(name: str, vhost: str) -> Refusal:
    """Deletion was asked for only if empty."""
    what = resource("queue", name, vhost)
    return Refusal(UNFIT, f"{what} not empty", subject=what)


def invalid_type(type_name: str, argument: str, what: str) -> Refusal:
    """An argument that names an exchange is no text."""
    return Refusal(UNFIT, f"invalid type '{type_name}' for arg '{argument}' in {what}", subject=what)
