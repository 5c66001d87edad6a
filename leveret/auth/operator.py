"""Operator: whoever may open the control socket of a broker, as a user of it: an administrator without a password.

It is in no list of users, and may do everything in all virtual hosts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from leveret.core.access.user import Credential, Permission, User
from leveret.core.broker import Broker

NAME: Final = "(control socket)"
TAGS: Final = ("administrator", "impersonator")


class Operator:
    """Of one broker. As an Authenticator, it lets everybody in as this user: only the control socket has it."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._permission = Permission(".*", ".*", ".*", broker.matcher)
        self._user = User(NAME, Credential("", ""), TAGS)

    def user(self) -> User:
        """The user, with permissions in all virtual hosts that there are now."""
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
