"""Users that the broker itself knows: for now guest, who may do everything from this machine."""

from __future__ import annotations

import hmac

from leveret.core.access import Permission, User


class LoginRefused(Exception):
    """The credentials are not good; the text is for the log, never for the client."""


class InternalAuthenticator:
    """Checks names and passwords against a table."""

    def __init__(self) -> None:
        everything = {"/": Permission(".*", ".*", ".*")}
        self._users = {"guest": (User("guest", ("administrator",), everything, True), "guest")}

    def authenticate(self, name: str, password: str, peer_is_local: bool) -> User:
        """The user of these credentials. Raises: LoginRefused."""
        known = self._users.get(name)
        if known is None or not password:
            raise LoginRefused(f"user '{name}' - invalid credentials")
        user, expected = known
        given = password.encode("utf-8", "surrogateescape")
        if not hmac.compare_digest(given, expected.encode()):
            raise LoginRefused(f"user '{name}' - invalid credentials")
        if user.loopback_only and not peer_is_local:
            raise LoginRefused(f"user '{name}' can only connect via localhost")
        return user
