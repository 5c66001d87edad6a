"""Operator: the user of the control socket: an administrator without a password.

It appears in no list of users, and has all permissions in all virtual hosts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from leveret.core.access.user import Credential, Permission, User
from leveret.core.broker import Broker

NAME: Final = "(control socket)"
TAGS: Final = ("administrator", "impersonator")


class Operator:
    """The operator of one broker. As an Authenticator it accepts any credentials; only the control socket uses it."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._permission = Permission(".*", ".*", ".*", broker.matcher)
        self._user = User(NAME, Credential("", ""), TAGS)

    def user(self) -> User:
        """The user, with permissions in all present virtual hosts."""
        permissions, vhosts = self._user.permissions, self._broker.vhosts
        if permissions.keys() != vhosts.keys():
            permissions.clear()
            permissions.update(dict.fromkeys(vhosts, self._permission))
        return self._user

    def authenticate_now(self, name: str, password: str, host: str) -> User | None:
        """The user, whatever the credentials are."""
        return self.user()

    async def authenticate(self, name: str, password: str, host: str, is_gone: Callable[[], bool]) -> User:
        """The same."""
        return self.user()
