"""Explain: how the broker would route a message. Nothing is published."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from leveret.api.access import Access
from leveret.api.errors import not_authorised, not_found
from leveret.api.names import arguments_of, check_name
from leveret.api.operation import Operation
from leveret.api.request import Request
from leveret.api.views.properties import Properties, read_properties
from leveret.core.access.user import User
from leveret.management.explaining.explain import explain as steps_of
from leveret.management.explaining.shapes import Explanation, Question


class ExplainRequest(msgspec.Struct, kw_only=True):
    """A message to explain. headers: in addition to those in the properties. size: bytes of its body.

    user: the user whose permissions are checked; without it, no permissions are checked.
    """

    exchange: str = ""
    routing_key: str = ""
    headers: dict[str, Any] = {}
    properties: Properties | None = None
    size: Annotated[int, msgspec.Meta(ge=0, le=1 << 53)] = 0
    user: str | None = None


def _user(request: Request, name: str | None) -> User | None:
    """The user whose permissions are checked, or None. Raises: ApiError 401, 404."""
    caller = request.caller
    if name is None:
        return None
    if name == caller.user.name:
        return caller.user
    if not caller.has(Access.ADMINISTRATOR):
        raise not_authorised("only an administrator may check the permissions of another user")
    found = request.broker.users.get(name)
    if found is None:
        raise not_found(f"there is no user '{name}'")
    return found


async def explain(request: Request) -> Explanation:
    """Explain how a message would be routed."""
    vhost = request.vhost()
    wanted = request.read(ExplainRequest)
    check_name("exchange", wanted.exchange)
    check_name("routing_key", wanted.routing_key)
    properties = read_properties(wanted.properties or Properties())
    if wanted.headers:
        properties.headers = {**(properties.headers or {}), **arguments_of(wanted.headers)}
    user = _user(request, wanted.user)
    question = Question(wanted.exchange, wanted.routing_key, properties, wanted.size, user)
    others = list(filter(request.caller.may_enter, request.broker.vhosts.values()))
    turns = request.services.turns
    async with turns.few, turns:
        steps = steps_of(request.broker, vhost, question, others)
        while True:
            try:
                next(steps)
            except StopIteration as end:
                found: Explanation = end.value
                return found
            await turns.rest()


OPERATIONS = [
    Operation(
        "POST",
        "/leveret/explain/{vhost}",
        explain,
        Access.MANAGEMENT,
        "Explain step by step, with reasons, how a message would be routed; nothing is published.",
        takes=ExplainRequest,
        answers=Explanation,
    ),
]
