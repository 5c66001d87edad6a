"""Users: all accounts, and the operations that change permissions and limits.

Each change takes effect at once, and is as durable as a declaration. A change of permissions raises the generation of
the virtual host, which invalidates all cached Routes.
Source: rabbit_auth_backend_internal.erl.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator

from mypy_extensions import trait

from leveret.core.access import user as access
from leveret.core.access.user import Credential, Permission, TopicPermission, User
from leveret.core.definition import form
from leveret.core.definition.log import DefinitionKeeper
from leveret.core.errors.administration import unknown_user, unknown_vhost
from leveret.core.policy.matching import Matcher
from leveret.wire.fields import Table, longstr, table_bytes


@trait
class Premises(DefinitionKeeper):
    """The virtual hosts, as Users sees them."""

    @abstractmethod
    def has_vhost(self, name: str) -> bool:
        """Whether a virtual host of this name exists."""

    @abstractmethod
    def permissions_changed(self, vhost: str) -> None:
        """Permissions in a virtual host have changed."""

    @abstractmethod
    def forget_user(self, user: User, reason: str) -> None:
        """A user is deleted: close its connections. reason: the reply text they receive."""


class Users:
    """All users, by name."""

    def __init__(self, premises: Premises, matcher: Matcher) -> None:
        self._premises = premises
        self._matcher = matcher
        self._users: dict[str, User] = {}

    def __len__(self) -> int:
        return len(self._users)

    def __iter__(self) -> Iterator[User]:
        return iter(list(self._users.values()))

    def get(self, name: str) -> User | None:
        """The user, if it exists."""
        return self._users.get(name)

    def user(self, name: str) -> User:
        """The user. Raises: UnknownError."""
        user = self._users.get(name)
        if user is None:
            raise unknown_user(name)
        return user

    # -- accounts

    def put(self, name: str, credential: Credential, tags: tuple[str, ...] | None = None) -> User:
        """Create a user, or change its credential, and its tags unless None; its connections stay open."""
        user = self._users.get(name)
        if tags is None:
            tags = () if user is None else user.tags
        value = user_value(credential, tags)
        if user is None:
            user = self._users[name] = User(name, credential, tags)
        user.credential = credential
        user.tags = tags
        self._premises.remember(form.USER, form.key(name), value)
        return user

    def set_tags(self, name: str, tags: tuple[str, ...]) -> None:
        """Replace the tags of a user. Raises: UnknownError."""
        self.put(name, self.user(name).credential, tags)

    def delete(self, name: str) -> None:
        """Delete a user with its permissions and limits; close its connections. Raises: UnknownError."""
        had_aside = self._premises.drop_aside(form.USER, name)
        if had_aside and name not in self._users:
            return
        self._premises.forget_user(self.drop(name), f"user '{name}' is deleted")

    def drop(self, name: str) -> User:
        """Delete a user, whose connections the caller has to close. Raises: UnknownError."""
        user = self.user(name)
        for vhost in list(user.permissions):
            self.clear_permission(name, vhost)
        for vhost in list(user.topic_permissions):
            self.clear_topic_permission(name, vhost, None)
        self.clear_limits(name, None)
        del self._users[name]
        self._premises.forget(form.USER, form.key(name))
        return user

    # -- permissions

    def set_permission(self, name: str, vhost: str, configure: str, write: str, read: str) -> None:
        """Set the permissions of a user in a virtual host. Raises: UnknownError, InvalidError for a bad pattern."""
        user = self._in_vhost(name, vhost)
        permission = Permission(configure, write, read, self._matcher)
        value = permission_value(permission)
        user.permissions[vhost] = permission
        self._changed(vhost)
        self._premises.remember(form.PERMISSION, form.key(name, vhost), value)

    def clear_permission(self, name: str, vhost: str) -> None:
        """Remove the permissions of a user in a virtual host, if there are any. Raises: UnknownError."""
        user = self._in_vhost(name, vhost)
        if user.permissions.pop(vhost, None) is not None:
            self._changed(vhost)
            self._premises.forget(form.PERMISSION, form.key(name, vhost))
        else:
            self._premises.drop_aside(form.PERMISSION, name, vhost)

    def set_topic_permission(self, name: str, vhost: str, exchange: str, write: str, read: str) -> None:
        """Restrict the routing keys that a user may use with a topic exchange. Raises: UnknownError, InvalidError."""
        user = self._in_vhost(name, vhost)
        permission = TopicPermission(write, read, self._matcher)
        permission.check()
        value = topic_permission_value(permission)
        user.topic_permissions.setdefault(vhost, {})[exchange] = permission
        self._changed(vhost)
        self._premises.remember(form.TOPIC_PERMISSION, form.key(name, vhost, exchange), value)

    def clear_topic_permission(self, name: str, vhost: str, exchange: str | None) -> None:
        """Remove the topic permission for an exchange, or all in the virtual host for None. Raises: UnknownError."""
        user = self._in_vhost(name, vhost)
        self._premises.drop_aside(form.TOPIC_PERMISSION, name, vhost, *([] if exchange is None else [exchange]))
        permissions = user.topic_permissions.get(vhost)
        if permissions is None:
            return
        for each in list(permissions):
            if exchange is None or each == exchange:
                del permissions[each]
                self._premises.forget(form.TOPIC_PERMISSION, form.key(name, vhost, each))
        if not permissions:
            del user.topic_permissions[vhost]
        self._changed(vhost)

    # -- limits

    def set_limits(self, name: str, limits: dict[str, int]) -> None:
        """Set limits of a user; other limits stay. Raises: UnknownError, InvalidError."""
        user = self.user(name)
        merged = {**user.limits, **access.checked_limits(limits, access.USER_LIMITS)}
        value = form.limits_value(merged)
        user.limits = merged
        self._premises.remember(form.USER_LIMIT, form.key(name), value)

    def clear_limits(self, name: str, limit: str | None) -> None:
        """Remove a limit, or all limits for None. Raises: UnknownError."""
        user = self.user(name)
        left = {each: value for each, value in user.limits.items() if limit not in (None, each)}
        value = form.limits_value(left)
        user.limits = left
        if left:
            self._premises.remember(form.USER_LIMIT, form.key(name), value)
        else:
            self._premises.forget(form.USER_LIMIT, form.key(name))

    # -- called by the broker

    def forget_vhost(self, vhost: str) -> None:
        """Remove all permissions in a virtual host that is about to be deleted."""
        for user in self:
            self.clear_permission(user.name, vhost)
            self.clear_topic_permission(user.name, vhost, None)

    def forget_exchange(self, vhost: str, exchange: str) -> None:
        """Remove the topic permissions of a deleted exchange; a new one of its name has none, as in RabbitMQ."""
        for user in self._users.values():
            permissions = user.topic_permissions.get(vhost)
            if permissions is not None and permissions.pop(exchange, None) is not None:
                self._premises.forget(form.TOPIC_PERMISSION, form.key(user.name, vhost, exchange))
                if not permissions:
                    del user.topic_permissions[vhost]

    def restore(self, kind: str, names: list[str], value: Table) -> None:
        """Restore a definition from the DefinitionLog. Raises: any exception."""
        if kind == form.USER:
            credential = Credential(value["algorithm"].text, value["hash"].text)
            tags = form.texts(value["tags"])
            known = self._users.get(names[0])
            if known is None:
                self._users[names[0]] = User(names[0], credential, tags)
            else:
                known.credential = credential
                known.tags = tags
            return
        user = self.user(names[0])
        if kind == form.PERMISSION:
            configure, write, read = value["configure"].text, value["write"].text, value["read"].text
            user.permissions[names[1]] = Permission(configure, write, read, self._matcher)
        elif kind == form.TOPIC_PERMISSION:
            permission = TopicPermission(value["write"].text, value["read"].text, self._matcher)
            user.topic_permissions.setdefault(names[1], {})[names[2]] = permission
            permission.check()  # an invalid one is reported but stays and allows nothing: none would allow all
        elif kind == form.USER_LIMIT:
            user.limits = form.limits(value)

    # -- inside

    def _in_vhost(self, name: str, vhost: str) -> User:
        user = self.user(name)
        if not self._premises.has_vhost(vhost):
            raise unknown_vhost(vhost)
        return user

    def _changed(self, vhost: str) -> None:
        self._premises.permissions_changed(vhost)


def user_value(credential: Credential, tags: tuple[str, ...]) -> bytes:
    """A user, without its permissions and limits."""
    return table_bytes(
        {
            "algorithm": longstr(credential.algorithm),
            "hash": longstr(credential.hash),
            "tags": form.array_of(tags),
        }
    )


def permission_value(permission: Permission) -> bytes:
    """The patterns of a permission."""
    return table_bytes(
        {
            "configure": longstr(permission.configure),
            "write": longstr(permission.write),
            "read": longstr(permission.read),
        }
    )


def topic_permission_value(permission: TopicPermission) -> bytes:
    """The patterns of a topic permission."""
    return table_bytes({"write": longstr(permission.write), "read": longstr(permission.read)})
