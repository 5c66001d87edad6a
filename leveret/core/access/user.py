"""A user, its permissions and its limits.

Permissions are patterns, searched in names; the empty pattern allows nothing. Each operation is checked, so a change
applies from the next operation on. Publishes are checked once for each Route; a change invalidates all Routes.
Source: rabbit_access_control.erl, rabbit_auth_backend_internal.erl.
"""

from __future__ import annotations

from typing import Final

from leveret.core.errors import refusals as errors
from leveret.core.errors.administration import InvalidError
from leveret.core.errors.bounds import LIMIT
from leveret.core.policy.matching import Matcher, Patience
from leveret.core.policy.patterns import Pattern, compile_pattern

CONFIGURE: Final = "configure"
WRITE: Final = "write"
READ: Final = "read"

MAX_CONNECTIONS: Final = "max-connections"
MAX_CHANNELS: Final = "max-channels"
MAX_QUEUES: Final = "max-queues"
MAX_EXCHANGES: Final = "max-exchanges"
MAX_BINDINGS: Final = "max-bindings"
MAX_CONSUMERS: Final = "max-consumers"
USER_LIMITS: Final = (MAX_CONNECTIONS, MAX_CHANNELS)
VHOST_LIMITS: Final = (MAX_CONNECTIONS, MAX_QUEUES, MAX_EXCHANGES, MAX_BINDINGS, MAX_CONSUMERS)

NOTHING: Final = "^$"  # the meaning of the empty pattern


def checked_limits(limits: dict[str, int], known: tuple[str, ...]) -> dict[str, int]:
    """Limits, brought into range. Raises: InvalidError for an unknown limit or a value that is not an integer."""
    checked: dict[str, int] = {}
    for name, value in limits.items():
        if name not in known:
            there_are = f"{', '.join(known[:-1])} and {known[-1]}"
            raise InvalidError(f"'{name}' is not a limit; the limits are {there_are}")
        if isinstance(value, bool) or not isinstance(value, int):
            raise InvalidError(f"limit '{name}' has to be an integer")
        checked[name] = LIMIT.nearest(value)
    return checked


def reached(limits: dict[str, int], name: str, count: int) -> bool:
    """Whether count has reached the limit. A negative limit means none; 0 allows nothing."""
    limit = limits.get(name, -1)
    return 0 <= limit <= count


class Credential:
    """A password hash. algorithm: as in definitions files of RabbitMQ, or argon2."""

    __slots__ = ("algorithm", "hash")

    def __init__(self, algorithm: str, hash_: str) -> None:
        self.algorithm = algorithm
        self.hash = hash_


class Permission:
    """Three patterns, searched in names of one virtual host. Raises: InvalidError for an invalid pattern."""

    __slots__ = ("_matcher", "_patterns", "configure", "read", "write")

    def __init__(self, configure: str, write: str, read: str, matcher: Matcher) -> None:
        self.configure = configure
        self.write = write
        self.read = read
        texts = {CONFIGURE: configure, WRITE: write, READ: read}
        self._matcher = matcher
        self._patterns: dict[str, Pattern] = {}
        for operation, text in texts.items():
            self._patterns[operation] = compile_pattern(text or NOTHING)

    def pattern(self, operation: str) -> str:
        """The pattern for an operation."""
        return self._patterns[operation].text

    def allows(self, operation: str, name: str, patience: Patience) -> bool:
        """Whether the operation on a queue or exchange of this name is allowed."""
        return self._matcher.recall(self._patterns[operation], name, "a permission", patience)


class TopicPermission:
    """Two patterns, searched in the routing keys of one topic exchange; {username} and {vhost} in them are replaced."""

    __slots__ = ("_matcher", "read", "write")

    def __init__(self, write: str, read: str, matcher: Matcher) -> None:
        self._matcher = matcher
        self.write = write
        self.read = read

    def check(self) -> None:
        """Check that the patterns are valid. Raises: InvalidError."""
        for text in (self.write, self.read):
            compile_pattern(text)

    def allows(self, operation: str, key: str, variables: dict[str, str], patience: Patience) -> bool:
        """Whether a publish (write) or a binding (read) with this routing key is allowed. variables: by name."""
        text = self.write if operation == WRITE else self.read
        for name, value in variables.items():
            text = text.replace("{" + name + "}", value)
        try:
            pattern = compile_pattern(text or NOTHING)
        except InvalidError:
            return False  # a replaced name made it invalid, or an earlier version accepted it
        return self._matcher.recall(pattern, key, "a topic permission", patience)


class User:
    """An account that can log in.

    permissions: by virtual host; no access without an entry. topic_permissions: by virtual host, then by exchange; no
    restriction without an entry. limits: by name; negative for none. connections, channels: how many are open now.
    """

    __slots__ = (
        "channels",
        "connections",
        "credential",
        "limits",
        "name",
        "permissions",
        "tags",
        "topic_permissions",
    )

    def __init__(self, name: str, credential: Credential, tags: tuple[str, ...]) -> None:
        self.name = name
        self.credential = credential
        self.tags = tags
        self.permissions: dict[str, Permission] = {}
        self.topic_permissions: dict[str, dict[str, TopicPermission]] = {}
        self.limits: dict[str, int] = {}
        self.connections = 0
        self.channels = 0

    def may(self, operation: str, kind: str, name: str, vhost: str, patience: Patience | None = None) -> bool:
        """Whether an operation is allowed. kind: queue or exchange. patience: shared by the checks of one operation.

        The default exchange is checked under the name amq.default, as rabbit_access_control.erl does.
        """
        permission = self.permissions.get(vhost)
        return permission is not None and permission.allows(operation, _checked(kind, name), patience or Patience())

    def check(self, operation: str, kind: str, name: str, vhost: str) -> None:
        """Check that an operation is allowed. Raises: Refusal FORBIDDEN."""
        if not self.may(operation, kind, name, vhost):
            permission = self.permissions.get(vhost)
            pattern = None if permission is None else permission.pattern(operation)
            raise errors.access_refused(operation, kind, _checked(kind, name), vhost, self.name, pattern)

    def check_any(self, kind: str, name: str, vhost: str) -> None:
        """Check that any operation is allowed, as a passive declare requires. Raises: Refusal FORBIDDEN."""
        if not (self.may(READ, kind, name, vhost) or self.may(WRITE, kind, name, vhost)):
            self.check(CONFIGURE, kind, name, vhost)

    def may_topic(self, operation: str, exchange: str, key: str, vhost: str, patience: Patience) -> bool:
        """Whether a routing key may be used with a topic exchange."""
        permissions = self.topic_permissions.get(vhost)
        if permissions is None:
            return True
        permission = permissions.get(exchange)
        variables = {"username": self.name, "vhost": vhost}
        return permission is None or permission.allows(operation, key, variables, patience)

    def check_topics(self, operation: str, exchange: str, keys: list[str], vhost: str) -> None:
        """Check that all routing keys may be used with a topic exchange. Raises: Refusal FORBIDDEN."""
        patience = Patience()
        for key in keys:
            if not self.may_topic(operation, exchange, key, vhost, patience):
                raise errors.topic_access_refused(operation, key, exchange, vhost, self.name)


def _checked(kind: str, name: str) -> str:
    return name if name or kind != "exchange" else "amq.default"


def check_open(user: User, vhost: str, limits: dict[str, int], connections: int) -> None:
    """Check whether a user may connect to a virtual host. limits, connections: its own. Raises: Refusal NOT_ALLOWED.

    Source: rabbit_reader.erl handle_method0(connection.open).
    """
    if reached(limits, MAX_CONNECTIONS, connections):
        raise errors.vhost_connection_limit(vhost, user.name, limits[MAX_CONNECTIONS])
    if reached(user.limits, MAX_CONNECTIONS, user.connections):
        raise errors.user_connection_limit(user.name, user.limits[MAX_CONNECTIONS])
    check_vhost(user, vhost)


def check_vhost(user: User, vhost: str) -> None:
    """Check that the user has permissions in a virtual host. Raises: Refusal NOT_ALLOWED."""
    if vhost not in user.permissions:
        raise errors.vhost_access_refused(vhost, user.name)


def check_channel(user: User) -> None:
    """Check the channel limit before one more channel. Raises: Refusal NOT_ALLOWED."""
    if reached(user.limits, MAX_CHANNELS, user.channels):
        raise errors.user_channel_limit(user.name, user.limits[MAX_CHANNELS])
