"""Access: who may ask what, by the tags of users. Source: rabbit_mgmt_util.erl is_authorized_*.

management      what is in the virtual hosts where the user has permissions, and their own connections
policymaker     the same, and policies and parameters there
monitoring      everything there is to see of clients and nodes, and all virtual hosts
administrator   everything

Messages are for any user: permissions alone decide (Access.USER).
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
    """Who may use an operation. The value: what the others are told."""

    ANYBODY = ""  # without a login
    USER = "user"  # whoever has logged in; nobody is told this
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
    """A user who asks. session, token: of the browser, None without one."""

    def __init__(self, user: User, session: Session | None = None, token: str = "") -> None:
        self.user = user
        self.session = session
        self.token = token

    def has(self, access: Access) -> bool:
        """Whether the tags are enough."""
        return access in (Access.ANYBODY, Access.USER) or not TAGS[access].isdisjoint(self.user.tags)

    def check(self, access: Access) -> None:
        """Refuse whose tags are not enough. Raises: ApiError 401."""
        if access is Access.USER:
            return
        for needed in (Access.MANAGEMENT, access):
            if not self.has(needed):
                raise not_authorised(needed.value)

    def may_enter(self, vhost: VirtualHost) -> bool:
        """Whether lists have what is in this virtual host: there is a permission, or none is needed."""
        return self.has(Access.ADMINISTRATOR) or vhost.name in self.user.permissions

    def may_see(self, vhost: VirtualHost) -> bool:
        """Whether lists have this virtual host itself."""
        return self.has(Access.MONITORING) or self.may_enter(vhost)
