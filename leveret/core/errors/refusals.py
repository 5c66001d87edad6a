"""Refusal, and the error texts about exchanges and queues that clients receive.

Each text is equal to RabbitMQ's. The protocol maps the kind of a refusal to a reply code or a status; for AMQP 0-9-1
see session/base/errors.py. A hint goes to the log, never to a client; core/errors/diagnostics.py writes the hints.
Source: rabbit_misc.erl, rabbit_channel.erl, rabbit_amqqueue.erl, rabbit_exchange.erl; function names say when.
"""

from typing import Final

from mypy_extensions import mypyc_attr

from leveret.core.errors import diagnostics

# Kinds
UNKNOWN: Final = "unknown"  # it does not exist, or not on this node
FORBIDDEN: Final = "forbidden"  # the client lacks the permission, or nobody may do this
LOCKED: Final = "locked"  # another client holds it exclusively
UNFIT: Final = "unfit"  # the request conflicts with the present state, or is invalid
NOT_ALLOWED: Final = "not allowed"  # no access, or a limit is reached
UNSUPPORTED: Final = "unsupported"  # not supported
UNREADABLE: Final = "unreadable"  # the data cannot be decoded
FAULTY: Final = "faulty"  # a part of the broker has failed
PROTOCOL: Final = "protocol"  # the client violated its protocol, which defines its own texts for that


@mypyc_attr(native_class=False)
class Refusal(Exception):
    """A request is refused. kind: one of those above. text: for the client; it names the subject.

    subject: the entity, as resource() names it; empty when it is the request itself. hint: for the log, beside the
    text.
    """

    def __init__(self, kind: str, text: str, hint: str = "", subject: str = "") -> None:
        super().__init__(text)
        self.kind = kind
        self.text = text
        self.hint = hint
        self.subject = subject


def resource(kind: str, name: str, vhost: str) -> str:
    """For instance: queue 'q' in vhost '/'."""
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
    """The queue has failed internally and does nothing until it is repaired. Only the channel is closed."""
    what = resource("queue", name, vhost)
    return Refusal(FAULTY, f"{what} is faulty: {fault}", f"leveret queues repair '{name}' lets it try again", what)


def lost_queue(name: str, vhost: str, home: str, why: str) -> Refusal:
    """Another node has the queue. home: its name, or empty."""
    what = resource("queue", name, vhost)
    node = f"home node '{home}'" if home else "home node"
    return Refusal(UNKNOWN, f"{node} of durable {what} is down or inaccessible", why, what)


def no_get_with_single_active(name: str, vhost: str) -> Refusal:
    """basic.get would take messages of the single active consumer of a quorum queue."""
    what = resource("queue", name, vhost)
    return Refusal(
        LOCKED,
        f"cannot obtain access to locked {what}. basic.get operations are not supported "
        'by <<"quorum">> queues with single active consumer',
        subject=what,
    )


def queue_in_exclusive_use(name: str, vhost: str) -> Refusal:
    """The queue has an exclusive consumer, or has other consumers when an exclusive one is requested."""
    what = resource("queue", name, vhost)
    return Refusal(FORBIDDEN, f"{what} in exclusive use", subject=what)


def reserved_name(kind: str, name: str) -> Refusal:
    """Names that begin with amq. are reserved for the broker."""
    return Refusal(FORBIDDEN, f"{kind} name '{name}' contains reserved prefix 'amq.*'")


def default_exchange() -> Refusal:
    """The default exchange cannot be declared, deleted, bound."""
    return Refusal(FORBIDDEN, "operation not permitted on the default exchange")


def system_exchange(name: str, vhost: str) -> Refusal:
    """A predeclared exchange cannot be deleted."""
    what = resource("exchange", name, vhost)
    return Refusal(FORBIDDEN, f"deletion of system {what} not allowed", subject=what)


def internal_exchange(name: str, vhost: str) -> Refusal:
    """Clients cannot publish to an internal exchange."""
    what = resource("exchange", name, vhost)
    return Refusal(FORBIDDEN, f"cannot publish to internal {what}", subject=what)


def access_refused(operation: str, kind: str, name: str, vhost: str, user: str, pattern: str | None = None) -> Refusal:
    """A permission is missing. operation: configure, write or read. pattern: the permission, which does not match."""
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
    """The connection limit of the broker is reached."""
    return Refusal(NOT_ALLOWED, f"connection refused: node connection limit ({limit}) is reached")


def vhost_connection_limit(vhost: str, user: str, limit: int) -> Refusal:
    """The connection limit of a virtual host is reached."""
    text = f"connection limit ({limit}) is reached"
    return Refusal(NOT_ALLOWED, f"access to vhost '{vhost}' refused for user '{user}': {text}")


def user_connection_limit(user: str, limit: int) -> Refusal:
    """The connection limit of a user is reached."""
    text = f"user connection limit ({limit}) is reached"
    return Refusal(NOT_ALLOWED, f"connection refused for user '{user}': {text}")


def user_channel_limit(user: str, limit: int) -> Refusal:
    """The channel limit of a user is reached."""
    text = f"has reached the maximum allowed user limit of {limit}"
    return Refusal(NOT_ALLOWED, f"number of channels opened for user '{user}' {text}")


def node_channel_limit(node: str, limit: int) -> Refusal:
    """The channel limit of the broker is reached."""
    text = f"has reached the maximum allowed limit of {limit}"
    return Refusal(NOT_ALLOWED, f"number of channels opened on node '{node}' {text}")


def vhost_limit(wish: str, kind: str, vhost: str, limit: int) -> Refusal:
    """A limit of a virtual host is reached. wish: the refused operation, for instance declare queue 'q'."""
    return Refusal(UNFIT, f"cannot {wish}: {kind} limit in vhost '{vhost}' ({limit}) is reached")


def unknown_exchange_type(kind: str) -> Refusal:
    """The exchange type is unknown."""
    return Refusal(UNFIT, f"invalid exchange type '{kind}'")


def inequivalent(argument: str, what: str, received: str, current: str, hint: str = "") -> Refusal:
    """A declaration differs from what exists."""
    text = f"inequivalent arg '{argument}' for {what}: received {received} but current is {current}"
    return Refusal(UNFIT, text, hint, what)


def invalid_argument(argument: str, what: str, reason: str, wants: str = "") -> Refusal:
    """An x-argument has an invalid value. reason: an Erlang term, as RabbitMQ prints it. wants: the valid values."""
    text = f"invalid arg '{argument}' for {what}: {reason}"
    return Refusal(UNFIT, text, diagnostics.wants(argument, wants), what)


def argument_of_other_type(argument: str, what: str, kind: str, types: tuple[str, ...]) -> Refusal:
    """The queue type does not support an x-argument. kind: the queue's type; types: those that support it."""
    text = f"invalid arg '{argument}' for {what} of queue type rabbit_{kind}_queue"
    return Refusal(UNFIT, text, f"only queues of type {' or '.join(types)} have it", what)


def invalid_property(name: str, what: str) -> Refusal:
    """A quorum queue cannot have this property."""
    hint = "a quorum queue is durable, not exclusive and not auto-delete"
    return Refusal(UNFIT, f"invalid property '{name}' for {what}", hint, what)


def server_named(kind: str) -> Refusal:
    """A queue of this type needs a name from the client."""
    return Refusal(UNFIT, f"Cannot declare a server-named queue for type rabbit_{kind}_queue")


def unconditional_delete_only(name: str, vhost: str, flag: str) -> Refusal:
    """A quorum queue cannot be deleted conditionally. flag: if-unused or if-empty."""
    what = resource("queue", name, vhost)
    reason = f"queue.delete operations with {flag} flag set are not supported by quorum queues"
    return Refusal(UNSUPPORTED, f"cannot delete {what}. {reason}", subject=what)


def unknown_tag(tag: int, outstanding: list[int]) -> Refusal:
    """A delivery tag is not outstanding on the channel. outstanding: the outstanding ones, ascending."""
    return Refusal(UNFIT, f"unknown delivery tag {tag}", diagnostics.unknown_tag(outstanding))


def in_use(kind: str, name: str, vhost: str) -> Refusal:
    """Deletion with if-unused, but the entity is in use."""
    what = resource(kind, name, vhost)
    return Refusal(UNFIT, f"{what} in use", subject=what)


def not_empty(name: str, vhost: str) -> Refusal:
    """Deletion with if-empty, but the queue is not empty."""
    what = resource("queue", name, vhost)
    return Refusal(UNFIT, f"{what} not empty", subject=what)


def invalid_type(type_name: str, argument: str, what: str) -> Refusal:
    """An argument that names an exchange is not a text."""
    return Refusal(UNFIT, f"invalid type '{type_name}' for arg '{argument}' in {what}", subject=what)
