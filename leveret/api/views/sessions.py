"""Sessions of browsers: log in with a name and a password, show the session, log out."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs

import msgspec

from leveret.api.access import Access, Caller
from leveret.api.errors import bad_request
from leveret.api.login import log_in
from leveret.api.operation import Operation
from leveret.api.request import Answer, Request
from leveret.api.sessions import LIFETIME_S

FORM = "application/x-www-form-urlencoded"
FIELDS = 10  # maximum fields of a form


class Login(msgspec.Struct):
    """Credentials of a user."""

    username: str
    password: str


class Allowed(msgspec.Struct):
    """The user's permissions in a virtual host: regular expressions for names."""

    vhost: str
    configure: str
    write: str
    read: str


class SessionItem(msgspec.Struct):
    """A session. csrf_token: send it in the header X-CSRF-Token with requests that change something; empty with HTTP
    Basic authentication. permissions: those of the user, by virtual host.
    """

    name: str
    tags: list[str]
    csrf_token: str
    permissions: list[Allowed]


def _cookie(request: Request, value: str, lasts_s: int) -> dict[str, str]:
    path = request.services.prefix or "/"
    secure = "; Secure" if request.client.is_secure else ""
    cookie = f"{request.client.cookie}={value}; Path={path}; Max-Age={lasts_s}; HttpOnly; SameSite=Strict{secure}"
    return {"Set-Cookie": cookie, "Cache-Control": "no-store"}


def _wanted(request: Request) -> Login:
    """The credentials in the request. Raises: ApiError 400."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != FORM:
        return request.read(Login)
    try:
        form = parse_qs(request.body.decode(), keep_blank_values=True, max_num_fields=FIELDS)
        return Login(form["username"][0], form["password"][0])
    except (ValueError, KeyError):
        raise bad_request("the form needs the fields `username` and `password`") from None


def _item(request: Request, caller: Caller, token: str) -> SessionItem:
    csrf_token = request.services.sessions.csrf_token(token) if token else ""
    permissions = [
        Allowed(vhost, each.configure, each.write, each.read)
        for vhost, each in sorted(caller.user.permissions.items())
        if vhost in request.broker.vhosts
    ]
    return SessionItem(caller.user.name, list(caller.user.tags), csrf_token, permissions)


async def begin(request: Request) -> Any:
    """Check a password, and set the session cookie."""
    wanted, host = _wanted(request), request.client.host
    caller = Caller(await log_in(request.services, wanted.username, wanted.password, host))
    caller.check(Access.MANAGEMENT)
    token = request.services.sessions.begin(caller.user, host)
    return Answer(content=_item(request, caller, token), headers=_cookie(request, token, round(LIFETIME_S)))


async def show(request: Request) -> Any:
    """Show the user and the session."""
    content = _item(request, request.caller, request.caller.token)
    return Answer(content=content, headers={"Cache-Control": "no-store"})


async def end(request: Request) -> Any:
    """End the session, if there is one."""
    if request.caller.session is not None:
        request.services.sessions.end(request.caller.session)
    return Answer(204, headers=_cookie(request, "", 0))


PATH = "/leveret/session"
OPERATIONS = [
    Operation(
        "POST",
        PATH,
        begin,
        Access.ANYBODY,
        "Log in with a name and a password, as JSON or as a form, and begin a session with a cookie.",
        takes=Login,
        answers=SessionItem,
    ),
    Operation(
        "GET",
        PATH,
        show,
        Access.MANAGEMENT,
        "Show the logged-in user, and the CSRF token of the session.",
        answers=SessionItem,
    ),
    Operation("DELETE", PATH, end, Access.MANAGEMENT, "Log out: end the session.", statuses=(204,)),
]
