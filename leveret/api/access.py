"""Access: which operations a user may use, by the user's tags. Source: rabbit_mgmt_util.erl is_authorized_*.

management      virtual hosts in which the user has permissions, and the user's own connections
policymaker     as management, and policies and parameters in these virtual hosts
monitoring      as management, and read access to all virtual hosts, clients and nodes
administrator   everything

Operations on messages need no tag: only permissions decide (Access.USER).
"""

from __future__ import annotations

from enum import Enum

from leveret.api.errors import not_authorised
from leveret.api.sessions import Session
from leveret.core.access.user import User
from leveret.core.vhost import VirtualHost

ADMINISTRATOR = "administrator"
MONITORING = "monitoring"
POLICYMAKER = "policymaker"
MANAGEMENT = "management"


class Access(Enum):
    """Which users may use an operation. The value: the reason in the refusal to other users."""

    ANYBODY = ""  # no login needed
    USER = "user"  # every user; clients never see this value
    MANAGEMENT = "Not management user"
    POLICYMAKER = "User not authorised to access object"
    MONITORING = "Not monitor user"
    ADMINISTRATOR = "Not administrator user"


TAGS = {
    Access.MANAGEMENT: {MANAGEMENT, POLICYMAKER, MONITORING, ADMINISTRATOR},
    Access.POLICYMAKER: {POLICYMAKER, ADMINISTRATOR},
    Access.MONITORING: {MONITORING, ADMINISTRATOR},
    Access.ADMINISTRATOR: {ADMINISTRATOR},
}


class Caller:
    """The user who sends a request. session, token: those of a browser; None and "" for HTTP Basic."""

    def __init__(self, user: User, session: Session | None = None, token: str = "") -> None:
        self.user = user
        self.session = session
        self.token = token

    def has(self, access: Access) -> bool:
        """Whether the user's tags give this access."""
        return access in (Access.ANYBODY, Access.USER) or not TAGS[access].isdisjoint(self.user.tags)

    def check(self, access: Access) -> None:
        """Refuse a user without the tags for this access. Raises: ApiError 401."""
        if access is Access.USER:
            return
        for needed in (Access.MANAGEMENT, access):
            if not self.has(needed):
                raise not_authorised(needed.value)

    def may_enter(self, vhost: VirtualHost) -> bool:
        """Whether lists include the contents of this virtual host: the user has a permission in it, or needs none."""
        return self.has(Access.ADMINISTRATOR) or vhost.name in self.user.permissions

    def may_see(self, vhost: VirtualHost) -> bool:
        """Whether lists include this virtual host itself."""
        return self.has(Access.MONITORING) or self.may_enter(vhost)
