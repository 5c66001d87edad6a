"""Users, and what they may do. Source: rabbit_mgmt_wm_user*.erl, rabbit_mgmt_wm_permission*.erl."""

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

MAX_USERS = 10_000  # that one request names


class UserItem(msgspec.Struct, kw_only=True):
    """A user. password_hash: empty for who cannot log in with a password."""

    name: str
    tags: list[str]
    password_hash: str
    hashing_algorithm: str
    limits: dict[str, int]


class UserDeclaration(msgspec.Struct, kw_only=True):
    """What a user is to be. Without password and hash, no password fits. tags: a list, or text with commas."""

    tags: list[str] | str | None = None
    password: str | None = None
    password_hash: str | None = None
    hashing_algorithm: str | None = None


class UserNames(msgspec.Struct):
    """Names of users."""

    users: list[str]


class Whoami(msgspec.Struct):
    """Who asks."""

    name: str
    tags: list[str]
    is_internal_user: bool = True


class PermissionItem(msgspec.Struct, kw_only=True):
    """What a user may do in a virtual host: patterns of names."""

    user: str
    vhost: str
    configure: str
    write: str
    read: str


class PermissionDeclaration(msgspec.Struct, kw_only=True):
    """Patterns of names."""

    configure: str
    write: str
    read: str


class TopicPermissionItem(msgspec.Struct, kw_only=True):
    """Which routing keys a user may use with a topic exchange: patterns."""

    user: str
    vhost: str
    exchange: str
    write: str
    read: str


class TopicPermissionDeclaration(msgspec.Struct, kw_only=True):
    """Patterns of routing keys."""

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
    """All users."""
    return _listing(list(request.broker.users))


async def list_without_permissions(request: Request) -> Listing:
    """Those who may do nothing anywhere."""
    return _listing([user for user in request.broker.users if not user.permissions])


def find(request: Request) -> User:
    """The user that the path names. Raises: ApiError 404."""
    user = request.broker.users.get(request.path["user"])
    if user is None:
        raise not_there()
    return user


async def show(request: Request) -> UserItem:
    """One user."""
    return item(find(request))


async def put(request: Request) -> Answer:
    """Make a user, or change one."""
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
    """Delete a user; its connections are closed."""
    await request.perform("delete_user", name=find(request).name)
    return DONE


async def delete_many(request: Request) -> Answer:
    """Delete users; those that do not exist are fine."""
    names = request.read(UserNames).users
    if len(names) > MAX_USERS:
        raise bad_request(f"there are at most {MAX_USERS} names in one request")
    there = [name for name in dict.fromkeys(names) if request.broker.users.get(name) is not None]
    verbs: list[tuple[str, dict[str, object]]] = [("delete_user", {"name": name}) for name in there]
    await request.perform_all(*verbs)
    return DONE


async def whoami(request: Request) -> Whoami:
    """Who asks."""
    user = request.caller.user
    return Whoami(user.name, list(user.tags))


async def hash_password(request: Request) -> dict[str, str]:
    """What a definitions file may have in the place of a password."""
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
    """Those of a user, in a virtual host, or all."""
    return _permissions(_who(request), _where(request))


async def show_permission(request: Request) -> PermissionItem:
    """What one user may do in one virtual host."""
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
    """Let a user do something in a virtual host."""
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
    """Let a user do nothing any more in a virtual host."""
    await show_permission(request)
    await request.perform("clear_permissions", user=request.path["user"], vhost=request.path["vhost"])
    return DONE


async def list_topic_permissions(request: Request) -> list[TopicPermissionItem]:
    """Those of a user, in a virtual host, or all."""
    return _topic_permissions(_who(request), _where(request))


async def show_topic_permissions(request: Request) -> list[TopicPermissionItem]:
    """Those of one user in one virtual host, of one exchange if the path names one."""
    found = _topic_permissions(_who(request), _where(request), request.path.get("exchange"))
    if not found:
        raise not_there()
    return found


async def put_topic_permission(request: Request) -> Answer:
    """Restrict the routing keys that a user may use with a topic exchange."""
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
    """Lift restrictions."""
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
    Operation("GET", "/users", list_users, ADMIN, "All users.", answers=list[UserItem], query=LISTING),
    Operation(
        "GET",
        "/users/without-permissions",
        list_without_permissions,
        ADMIN,
        "Users who have no permissions anywhere.",
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
    Operation("GET", "/users/{user}", show, ADMIN, "One user.", answers=UserItem),
    Operation(
        "PUT",
        "/users/{user}",
        put,
        ADMIN,
        "Make a user, or change one.",
        takes=UserDeclaration,
        statuses=(201, 204),
    ),
    Operation("DELETE", "/users/{user}", delete, ADMIN, "Delete a user, and close its connections.", statuses=(204,)),
    Operation(
        "GET",
        "/users/{user}/permissions",
        list_permissions,
        ADMIN,
        "What a user may do, in each virtual host.",
        answers=list[PermissionItem],
    ),
    Operation(
        "GET",
        "/users/{user}/topic-permissions",
        list_topic_permissions,
        ADMIN,
        "The topic permissions of a user.",
        answers=list[TopicPermissionItem],
    ),
    Operation("GET", "/whoami", whoami, Access.MANAGEMENT, "Who asks.", answers=Whoami),
    Operation(
        "GET",
        "/auth/hash_password/{password}",
        hash_password,
        ADMIN,
        "The hash of a password, as definitions files have it.",
        answers=dict[str, str],
    ),
    Operation("GET", "/permissions", list_permissions, ADMIN, "All permissions.", answers=list[PermissionItem]),
    Operation(
        "GET",
        "/vhosts/{vhost}/permissions",
        list_permissions,
        ADMIN,
        "The permissions in a virtual host.",
        answers=list[PermissionItem],
    ),
    Operation(
        "GET",
        "/permissions/{vhost}/{user}",
        show_permission,
        ADMIN,
        "What a user may do in a virtual host.",
        answers=PermissionItem,
    ),
    Operation(
        "PUT",
        "/permissions/{vhost}/{user}",
        put_permission,
        ADMIN,
        "Let a user do something in a virtual host.",
        takes=PermissionDeclaration,
        statuses=(201, 204),
    ),
    Operation(
        "DELETE",
        "/permissions/{vhost}/{user}",
        delete_permission,
        ADMIN,
        "Take the permissions of a user in a virtual host away.",
        statuses=(204,),
    ),
    Operation(
        "GET",
        "/topic-permissions",
        list_topic_permissions,
        ADMIN,
        "All topic permissions.",
        answers=list[TopicPermissionItem],
    ),
    Operation(
        "GET",
        "/vhosts/{vhost}/topic-permissions",
        list_topic_permissions,
        ADMIN,
        "The topic permissions in a virtual host.",
        answers=list[TopicPermissionItem],
    ),
    Operation(
        "GET",
        "/topic-permissions/{vhost}/{user}",
        show_topic_permissions,
        ADMIN,
        "The topic permissions of a user in a virtual host.",
        answers=list[TopicPermissionItem],
    ),
    Operation(
        "PUT",
        "/topic-permissions/{vhost}/{user}",
        put_topic_permission,
        ADMIN,
        "Restrict the routing keys that a user may use with a topic exchange.",
        takes=TopicPermissionDeclaration,
        statuses=(201, 204),
    ),
    Operation(
        "DELETE",
        "/topic-permissions/{vhost}/{user}",
        delete_topic_permissions,
        ADMIN,
        "Lift all restrictions of a user in a virtual host.",
        statuses=(204,),
    ),
    Operation(
        "GET",
        "/topic-permissions/{vhost}/{user}/{exchange}",
        show_topic_permissions,
        ADMIN,
        "The topic permission of a user for one exchange.",
        answers=list[TopicPermissionItem],
    ),
    Operation(
        "DELETE",
        "/topic-permissions/{vhost}/{user}/{exchange}",
        delete_topic_permissions,
        ADMIN,
        "Lift the restriction of a user for one exchange.",
        statuses=(204,),
    ),
]
