"""Users and what they may do."""

from __future__ import annotations

import re
from typing import Final

from leveret.core.errors import access_refused

CONFIGURE: Final = "configure"
WRITE: Final = "write"
READ: Final = "read"


class Permission:
    """Three patterns, searched in names of one virtual host; the empty pattern allows nothing.

    Source: rabbit_auth_backend_internal.erl check_resource_access.
    """

    __slots__ = ("_patterns",)

    def __init__(self, configure: str, write: str, read: str) -> None:
        texts = {CONFIGURE: configure, WRITE: write, READ: read}
        self._patterns = {operation: re.compile(text or "^$") for operation, text in texts.items()}

    def pattern(self, operation: str) -> str:
        """The pattern for an operation."""
        return self._patterns[operation].pattern

    def allows(self, operation: str, name: str) -> bool:
        """Whether the operation on a queue or exchange of this name is allowed."""
        return self._patterns[operation].search(name) is not None


class User:
    """Somebody who is logged in.

    permissions: by virtual host; no entry, no access. loopback_only: may only connect from this machine.
    """

    __slots__ = ("loopback_only", "name", "permissions", "tags")

    def __init__(
        self, name: str, tags: tuple[str, ...], permissions: dict[str, Permission], loopback_only: bool
    ) -> None:
        self.name = name
        self.tags = tags
        self.permissions = permissions
        self.loopback_only = loopback_only

    def check(self, operation: str, kind: str, name: str, vhost: str) -> None:
        """Refuse what is not allowed. kind: queue or exchange.

        The default exchange is checked under the name amq.default, as rabbit_access_control.erl does.
        Raises: AmqpError 403.
        """
        permission = self.permissions.get(vhost)
        checked = name if name or kind != "exchange" else "amq.default"
        if permission is None or not permission.allows(operation, checked):
            pattern = None if permission is None else permission.pattern(operation)
            raise access_refused(operation, kind, checked, vhost, self.name, pattern)
