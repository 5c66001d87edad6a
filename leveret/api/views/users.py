"""Users and permissions. Source: rabbit_mgmt_wm_user*.erl, rabbit_mgmt_wm_permission*.erl."""

from __future__ import annotations

import asyncio

import msgspec

from leveret.api.access import Access
from leveret.api.errors import bad_request, not_there
from leveret.api.listing import Listing
from leveret.api.names import check_name
from leveret.api.operation import LISTING, Operation
from leveret.api.request import CREATED, DONE, Answer, Request
from leveret.auth.passwords import NOBODY, salted
from leveret.core.access.user import User
from leveret.core.errors.administration import InvalidError
from leveret.management.credentials import read_credential
from leveret.management.vhosts import read_tags

MAX_USERS = 10_000  # maximum names in one request


class UserItem(msgspec.Struct, kw_only=True):
    """A user. password_hash: empty if the user cannot log in with a password."""

    name: str
    tags: list[str]
    password_hash: str
    hashing_algorithm: str
    limits: dict[str, int]


class UserDeclaration(msgspec.Struct, kw_only=True):
    """A user to create or replace. Without password and password_hash, the user cannot log in with a password. tags: a
    list, or a text separated by commas.
    """

    tags: list[str] | str | None = None
    password: str | None = None
    password_hash: str | None = None
    hashing_algorithm: str | None = None


class UserNames(msgspec.Struct):
    """The names of users."""

    users: list[str]


class Whoami(msgspec.Struct):
    """The logged-in user."""

    name: str
    tags: list[str]
    is_internal_user: bool = True


class PermissionItem(msgspec.Struct, kw_only=True):
    """The permissions of a user in a virtual host: regular expressions for names."""

    user: str
    vhost: str
    configure: str
    write: str
    read: str


class PermissionDeclaration(msgspec.Struct, kw_only=True):
    """Permissions: regular expressions for names."""

    configure: str
    write: str
    read: str


class TopicPermissionItem(msgspec.Struct, kw_only=True):
    """The topic permissions of a user for an exchange: regular expressions for routing keys."""

    user: str
    vhost: str
    exchange: str
    write: str
    read: str


class TopicPermissionDeclaration(msgspec.Struct, kw_only=True):
    """Topic permissions: regular expressions for routing keys."""

    exchange: str
    write: str
    read: str


def item(user: User) -> UserItem:
    """A user."""
    credential = user.credential
    return UserItem(
        name=user.name,
        tags=list(user.tags),
        password_hash=credential.hash,
        hashing_algorithm=credential.algorithm or "rabbit_password_hashing_sha256",
        limits=dict(user.limits),
    )


def _listing(users: list[User]) -> Listing:
    return Listing(sorted(users, key=lambda user: user.name), item, lambda user: user.name)


async def list_users(request: Request) -> Listing:
    """List all users."""
    return _listing(list(request.broker.users))


async def list_without_permissions(request: Request) -> Listing:
    """List users without permissions in any virtual host."""
    return _listing([user for user in request.broker.users if not user.permissions])


def find(request: Request) -> User:
    """The user that the path names. Raises: ApiError 404."""
    user = request.broker.users.get(request.path["user"])
    if user is None:
        raise not_there()
    return user


async def show(request: Request) -> UserItem:
    """Show one user."""
    return item(find(request))


async def put(request: Request) -> Answer:
    """Create or replace a user."""
    name = request.path["user"]
    check_name("user", name)
    wanted = request.read(UserDeclaration)
    if wanted.tags is None:
        raise bad_request("tags_not_present")
    if wanted.password is not None and wanted.password_hash is not None:
        raise bad_request("both_password_and_password_hash_are_provided")
    tags = read_tags(wanted.tags)
    try:
        credential = NOBODY
        if wanted.password or wanted.password_hash:
            credential = await asyncio.to_thread(
                read_credential, wanted.password, wanted.password_hash, wanted.hashing_algorithm
            )
    except InvalidError as error:
        raise bad_request(str(error)) from None
    users = request.broker.users
    is_new = users.get(name) is None
    await request.change("this", lambda: users.put(name, credential, tags))
    return CREATED if is_new else DONE


async def delete(request: Request) -> Answer:
    """Delete a user and close its connections."""
    await request.perform("delete_user", name=find(request).name)
    return DONE


async def delete_many(request: Request) -> Answer:
    """Delete several users. Names that do not exist are not an error."""
    names = request.read(UserNames).users
    if len(names) > MAX_USERS:
        raise bad_request(f"one request may have at most {MAX_USERS} names")
    there = [name for name in dict.fromkeys(names) if request.broker.users.get(name) is not None]
    verbs: list[tuple[str, dict[str, object]]] = [("delete_user", {"name": name}) for name in there]
    await request.perform_all(*verbs)
    return DONE


async def whoami(request: Request) -> Whoami:
    """The logged-in user."""
    user = request.caller.user
    return Whoami(user.name, list(user.tags))


async def hash_password(request: Request) -> dict[str, str]:
    """Hash a password for a definitions file."""
    return {"ok": salted(request.path["password"]).hash}


# -- permissions


def _permissions(users: list[User], vhosts: list[str]) -> list[PermissionItem]:
    return [
        PermissionItem(user=user.name, vhost=vhost, configure=each.configure, write=each.write, read=each.read)
        for user in sorted(users, key=lambda user: user.name)
        for vhost, each in sorted(user.permissions.items())
        if vhost in vhosts
    ]


def _topic_permissions(users: list[User], vhosts: list[str], exchange: str | None = None) -> list[TopicPermissionItem]:
    return [
        TopicPermissionItem(user=user.name, vhost=vhost, exchange=name, write=each.write, read=each.read)
        for user in sorted(users, key=lambda user: user.name)
        for vhost, permissions in sorted(user.topic_permissions.items())
        if vhost in vhosts
        for name, each in sorted(permissions.items())
        if exchange in (None, name)
    ]


def _who(request: Request) -> list[User]:
    """The user that the path names, or all. Raises: ApiError 404."""
    return [find(request)] if "user" in request.path else list(request.broker.users)


def _where(request: Request) -> list[str]:
    """The virtual host that the path names, or all. Raises: ApiError 404."""
    if "vhost" not in request.path:
        return list(request.broker.vhosts)
    if request.path["vhost"] not in request.broker.vhosts:
        raise not_there()
    return [request.path["vhost"]]


async def list_permissions(request: Request) -> list[PermissionItem]:
    """List permissions: all, or those of a user or a virtual host."""
    return _permissions(_who(request), _where(request))


async def show_permission(request: Request) -> PermissionItem:
    """Show the permissions of a user in a virtual host."""
    found = _permissions(_who(request), _where(request))
    if not found:
        raise not_there()
    return found[0]


def _check_both(request: Request) -> None:
    """Source: rabbit_mgmt_wm_permission.erl. Raises: ApiError 400."""
    broker, path = request.broker, request.path
    if broker.users.get(path["user"]) is None or path["vhost"] not in broker.vhosts:
        raise bad_request("vhost_or_user_not_found")


async def put_permission(request: Request) -> Answer:
    """Set the permissions of a user in a virtual host."""
    _check_both(request)
    wanted = request.read(PermissionDeclaration)
    user, vhost = request.path["user"], request.path["vhost"]
    is_new = vhost not in find(request).permissions
    await request.perform(
        "set_permissions",
        user=user,
        vhost=vhost,
        configure=wanted.configure,
        write=wanted.write,
        read=wanted.read,
    )
    return CREATED if is_new else DONE


async def delete_permission(request: Request) -> Answer:
    """Delete the permissions of a user in a virtual host."""
    await show_permission(request)
    await request.perform("clear_permissions", user=request.path["user"], vhost=request.path["vhost"])
    return DONE


async def list_topic_permissions(request: Request) -> list[TopicPermissionItem]:
    """List topic permissions: all, or those of a user or a virtual host."""
    return _topic_permissions(_who(request), _where(request))


async def show_topic_permissions(request: Request) -> list[TopicPermissionItem]:
    """Show the topic permissions of a user in a virtual host, for one exchange if the path names one."""
    found = _topic_permissions(_who(request), _where(request), request.path.get("exchange"))
    if not found:
        raise not_there()
    return found


async def put_topic_permission(request: Request) -> Answer:
    """Set a topic permission of a user."""
    _check_both(request)
    wanted = request.read(TopicPermissionDeclaration)
    user, vhost = request.path["user"], request.path["vhost"]
    if wanted.exchange not in request.broker.vhosts[vhost].exchanges:
        raise bad_request(f"no_such_exchange: {wanted.exchange}")
    is_new = not find(request).topic_permissions.get(vhost)
    await request.perform(
        "set_topic_permissions",
        user=user,
        vhost=vhost,
        exchange=wanted.exchange,
        write=wanted.write,
        read=wanted.read,
    )
    return CREATED if is_new else DONE


async def delete_topic_permissions(request: Request) -> Answer:
    """Delete topic permissions of a user."""
    await show_topic_permissions(request)
    await request.perform(
        "clear_topic_permissions",
        user=request.path["user"],
        vhost=request.path["vhost"],
        exchange=request.path.get("exchange"),
    )
    return DONE


ADMIN = Access.ADMINISTRATOR
OPERATIONS = [
    Operation("GET", "/users", list_users, ADMIN, "List all users.", answers=list[UserItem], query=LISTING),
    Operation(
        "GET",
        "/users/without-permissions",
        list_without_permissions,
        ADMIN,
        "List users without permissions in any virtual host.",
        answers=list[UserItem],
        query=LISTING,
    ),
    Operation(
        "POST",
        "/users/bulk-delete",
        delete_many,
        ADMIN,
        "Delete several users.",
        takes=UserNames,
        statuses=(204,),
    ),
    Operation("GET", "/users/{user}", show, ADMIN, "Show one user.", answers=UserItem),
    Operation(
        "PUT",
        "/users/{user}",
        put,
        ADMIN,
        "Create or replace a user.",
        takes=UserDeclaration,
        statuses=(201, 204),
    ),
    Operation("DELETE", "/users/{user}", delete, ADMIN, "Delete a user, and close its connections.", statuses=(204,)),
    Operation(
        "GET",
        "/users/{user}/permissions",
        list_permissions,
        ADMIN,
        "List the permissions of a user in all virtual hosts.",
        answers=list[PermissionItem],
    ),
    Operation(
        "GET",
        "/users/{user}/topic-permissions",
        list_topic_permissions,
        ADMIN,
        "List the topic permissions of a user.",
        answers=list[TopicPermissionItem],
    ),
    Operation("GET", "/whoami", whoami, Access.MANAGEMENT, "Show the logged-in user.", answers=Whoami),
    Operation(
        "GET",
        "/auth/hash_password/{password}",
        hash_password,
        ADMIN,
        "Hash a password, in the format of definitions files.",
        answers=dict[str, str],
    ),
    Operation("GET", "/permissions", list_permissions, ADMIN, "List all permissions.", answers=list[PermissionItem]),
    Operation(
        "GET",
        "/vhosts/{vhost}/permissions",
        list_permissions,
        ADMIN,
        "List the permissions in a virtual host.",
        answers=list[PermissionItem],
    ),
    Operation(
        "GET",
        "/permissions/{vhost}/{user}",
        show_permission,
        ADMIN,
        "Show the permissions of a user in a virtual host.",
        answers=PermissionItem,
    ),
    Operation(
        "PUT",
        "/permissions/{vhost}/{user}",
        put_permission,
        ADMIN,
        "Set the permissions of a user in a virtual host.",
        takes=PermissionDeclaration,
        statuses=(201, 204),
    ),
    Operation(
        "DELETE",
        "/permissions/{vhost}/{user}",
        delete_permission,
        ADMIN,
        "Delete the permissions of a user in a virtual host.",
        statuses=(204,),
    ),
    Operation(
        "GET",
        "/topic-permissions",
        list_topic_permissions,
        ADMIN,
        "List all topic permissions.",
        answers=list[TopicPermissionItem],
    ),
    Operation(
        "GET",
        "/vhosts/{vhost}/topic-permissions",
        list_topic_permissions,
        ADMIN,
        "List the topic permissions in a virtual host.",
        answers=list[TopicPermissionItem],
    ),
    Operation(
        "GET",
        "/topic-permissions/{vhost}/{user}",
        show_topic_permissions,
        ADMIN,
        "Show the topic permissions of a user in a virtual host.",
        answers=list[TopicPermissionItem],
    ),
    Operation(
        "PUT",
        "/topic-permissions/{vhost}/{user}",
        put_topic_permission,
        ADMIN,
        "Set a topic permission: restrict the routing keys that a user may use with a topic exchange.",
        takes=TopicPermissionDeclaration,
        statuses=(201, 204),
    ),
    Operation(
        "DELETE",
        "/topic-permissions/{vhost}/{user}",
        delete_topic_permissions,
        ADMIN,
        "Delete all topic permissions of a user in a virtual host.",
        statuses=(204,),
    ),
    Operation(
        "GET",
        "/topic-permissions/{vhost}/{user}/{exchange}",
        show_topic_permissions,
        ADMIN,
        "Show the topic permission of a user for one exchange.",
        answers=list[TopicPermissionItem],
    ),
    Operation(
        "DELETE",
        "/topic-permissions/{vhost}/{user}/{exchange}",
        delete_topic_permissions,
        ADMIN,
        "Delete the topic permission of a user for one exchange.",
        statuses=(204,),
    ),
]
