"""Logins: how many there were, and what RabbitMQ's web UI asks for its own. Source: rabbit_mgmt_wm_auth_attempts.erl,
rabbit_mgmt_wm_login.erl.
"""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import parse_qs

import msgspec

from leveret.api.access import Access, Caller
from leveret.api.errors import ApiError, not_there
from leveret.api.login import log_in
from leveret.api.operation import Operation
from leveret.api.request import DONE, Answer, Request
from leveret.api.views.users import Whoami

MAX_FORM = 10  # fields


class AttemptsItem(msgspec.Struct):
    """How many have tried to log in."""

    protocol: str
    auth_attempts: int
    auth_attempts_succeeded: int
    auth_attempts_failed: int


class Token(msgspec.Struct):
    """What goes into the header Authorization, behind its type."""

    value: str
    type: str = "basic"


class LoggedIn(msgspec.Struct):
    """Who has logged in, and with what further requests may come."""

    user: Whoami
    token: Token


def _check(request: Request) -> None:
    if not request.services.is_node(request.path["node"]):
        raise not_there()


async def list_attempts(request: Request) -> list[AttemptsItem]:
    """Attempts by protocol, since the start or since they were forgotten."""
    _check(request)
    return [
        AttemptsItem(protocol, each.succeeded + each.failed, each.succeeded, each.failed)
        for protocol, each in request.services.attempts.items()
    ]


async def list_sources(request: Request) -> list[AttemptsItem]:
    """Attempts by address and user, which nobody keeps: RabbitMQ does so only when told to."""
    _check(request)
    return []


async def forget_attempts(request: Request) -> Answer:
    """Count from 0 again."""
    _check(request)
    for each in request.services.attempts.values():
        each.clear()
    return DONE


async def enter(request: Request) -> LoggedIn:
    """Check the fields `username` and `password` of a form. No session begins: further requests bring the token."""
    try:
        fields = parse_qs(request.body.decode(), keep_blank_values=True, max_num_fields=MAX_FORM)
    except ValueError:
        fields = {}
    name, password = (fields.get(field, [""])[0] for field in ("username", "password"))
    if not name or not password:
        raise ApiError(401, "not_authorized", "Not_Authorized")
    user = await log_in(request.services, name, password, request.host)
    Caller(user).check(Access.MANAGEMENT)
    token = base64.b64encode(f"{name}:{password}".encode()).decode()
    return LoggedIn(Whoami(user.name, list(user.tags)), Token(token))


async def leave(request: Request) -> Answer:
    """Nothing has to be done: there are no sessions."""
    return DONE


OPERATIONS = [
    Operation(
        "GET",
        "/auth/attempts/{node}",
        list_attempts,
        Access.MONITORING,
        "How many have tried to log in, by protocol.",
        answers=list[AttemptsItem],
    ),
    Operation(
        "GET",
        "/auth/attempts/{node}/source",
        list_sources,
        Access.MONITORING,
        "The same by address and user, which is not kept.",
        answers=list[AttemptsItem],
    ),
    *(
        Operation(
            "DELETE",
            path,
            forget_attempts,
            Access.MONITORING,
            "Count attempts to log in from 0 again.",
            statuses=(204,),
        )
        for path in ("/auth/attempts/{node}", "/auth/attempts/{node}/source")
    ),
    Operation(
        "POST",
        "/login",
        enter,
        Access.ANYBODY,
        "Check a user name and a password in a form, without a login.",
        takes=dict[str, Any],
        answers=LoggedIn,
    ),
    Operation("DELETE", "/login", leave, Access.ANYBODY, "Log out, which nobody has to.", statuses=(204,)),
]
