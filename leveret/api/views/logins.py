"""Counters of login attempts, and the login of RabbitMQ's web UI. Source: rabbit_mgmt_wm_auth_attempts.erl,
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

MAX_FORM = 10  # maximum fields of the form


class AttemptsItem(msgspec.Struct):
    """The number of login attempts over a protocol."""

    protocol: str
    auth_attempts: int
    auth_attempts_succeeded: int
    auth_attempts_failed: int


class Token(msgspec.Struct):
    """The value for the header Authorization, after its type."""

    value: str
    type: str = "basic"


class LoggedIn(msgspec.Struct):
    """The user who logged in, and the token for further requests."""

    user: Whoami
    token: Token


def _check(request: Request) -> None:
    if not request.services.is_node(request.path["node"]):
        raise not_there()


async def list_attempts(request: Request) -> list[AttemptsItem]:
    """Count login attempts by protocol, since the start or the last reset."""
    _check(request)
    return [
        AttemptsItem(protocol, each.succeeded + each.failed, each.succeeded, each.failed)
        for protocol, each in request.services.attempts.items()
    ]


async def list_sources(request: Request) -> list[AttemptsItem]:
    """Always empty: attempts by address and user are not kept. RabbitMQ keeps them only if configured to."""
    _check(request)
    return []


async def forget_attempts(request: Request) -> Answer:
    """Reset the counters of login attempts."""
    _check(request)
    for each in request.services.attempts.values():
        each.clear()
    return DONE


async def enter(request: Request) -> LoggedIn:
    """Check the fields `username` and `password` of a form. No session begins: further requests send the token."""
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
    """No effect: this login has no session."""
    return DONE


OPERATIONS = [
    Operation(
        "GET",
        "/auth/attempts/{node}",
        list_attempts,
        Access.MONITORING,
        "Count login attempts by protocol.",
        answers=list[AttemptsItem],
    ),
    Operation(
        "GET",
        "/auth/attempts/{node}/source",
        list_sources,
        Access.MONITORING,
        "Count login attempts by address and user; always empty: they are not kept.",
        answers=list[AttemptsItem],
    ),
    *(
        Operation(
            "DELETE",
            path,
            forget_attempts,
            Access.MONITORING,
            "Reset the counters of login attempts.",
            statuses=(204,),
        )
        for path in ("/auth/attempts/{node}", "/auth/attempts/{node}/source")
    ),
    Operation(
        "POST",
        "/login",
        enter,
        Access.ANYBODY,
        "Check a user name and a password in a form; needs no login and begins no session.",
        takes=dict[str, Any],
        answers=LoggedIn,
    ),
    Operation(
        "DELETE", "/login", leave, Access.ANYBODY, "Log out; no effect: this login has no session.", statuses=(204,)
    ),
]
