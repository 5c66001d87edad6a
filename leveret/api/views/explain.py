"""Explain: which way a message would take, if it were published. Nothing is."""

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
    """A message, as it would be published. headers: beside those in the properties. size: bytes of its body.

    user: whose permissions count; without it, nobody's do.
    """

    exchange: str = ""
    routing_key: str = ""
    headers: dict[str, Any] = {}
    properties: Properties | None = None
    size: Annotated[int, msgspec.Meta(ge=0, le=1 << 53)] = 0
    user: str | None = None


def _user(request: Request, name: str | None) -> User | None:
    """Whose permissions count. Raises: ApiError 401, 404."""
    caller = request.caller
    if name is None:
        return None
    if name == caller.user.name:
        return caller.user
    if not caller.has(Access.ADMINISTRATOR):
        raise not_authorised("only an administrator may ask what another user may do")
    found = request.broker.users.get(name)
    if found is None:
        raise not_found(f"there is no user '{name}'")
    return found


async def explain(request: Request) -> Explanation:
    """Say which way a message would take."""
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
        "Which way a message would take, step by step and with reasons; nothing is published.",
        takes=ExplainRequest,
        answers=Explanation,
    ),
]
