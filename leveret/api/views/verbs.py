"""Verbs of administration, as the control socket has them: what the command `leveret` asks a broker elsewhere for."""

from __future__ import annotations

from typing import Any

from leveret.api.access import Access
from leveret.api.errors import bad_request, of_administration
from leveret.api.operation import Operation
from leveret.api.request import Answer, Request
from leveret.core.errors.administration import AdministrationError
from leveret.server import requests

WITH_BYTES = ("export_messages", "import_messages")  # which are no JSON


async def perform(request: Request) -> Answer:
    """Do a verb; the body has its arguments."""
    verb = request.path["verb"]
    if verb in WITH_BYTES:
        raise bad_request(f"{verb} goes through the control socket only")
    try:
        arguments = await requests.read_arguments(request.body or b"{}")
    except ValueError as error:
        raise bad_request(f"the body is an object with the arguments of the verb; {error}") from None
    return await _answer(request, verb, arguments)


async def status(request: Request) -> Answer:
    """How the broker is."""
    seconds = request.query.number("seconds")
    return await _answer(request, "show_status", {} if seconds is None else {"seconds": seconds})


async def _answer(request: Request, verb: str, arguments: dict[str, object]) -> Answer:
    try:
        result = await request.services.performer.perform(verb, arguments)
    except AdministrationError as error:
        raise of_administration(error) from None
    return Answer(content=await requests.write({"result": result}))


OPERATIONS = [
    Operation(
        "GET",
        "/leveret/status",
        status,
        Access.MONITORING,
        "How the broker is: what it holds, and how long its event loop was busy at a time.",
        answers=dict[str, Any],
        query=("seconds",),
    ),
    Operation(
        "POST",
        "/leveret/verbs/{verb}",
        perform,
        Access.ADMINISTRATOR,
        "Do a verb of administration, as the control socket has them; its arguments are the body.",
        answers=dict[str, Any],
        takes=dict[str, Any],
    ),
]
