"""Administration commands (verbs), as on the control socket: the command `leveret` sends them to a remote broker.

A command needs the same access as the operation of RabbitMQ's API that does the same, in the same virtual hosts. All
other commands are for administrators.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any, Final

from leveret.api.access import Access
from leveret.api.documents import document
from leveret.api.errors import bad_request, of_administration
from leveret.api.operation import MOST, Operation
from leveret.api.request import Answer, Request
from leveret.api.views import definitions, parameters, policies, users, vhosts
from leveret.core.errors.administration import AdministrationError
from leveret.management.administration import VERBS, Verb
from leveret.server import requests

WITH_BYTES: Final = ("export_messages", "import_messages")  # not JSON
LARGE: Final = ("export_definitions",)  # have large answers
TWINS: Final = {
    "list_users": ("GET", "/users"),
    "add_user": ("PUT", "/users/{user}"),
    "change_password": ("PUT", "/users/{user}"),
    "set_user_tags": ("PUT", "/users/{user}"),
    "delete_user": ("DELETE", "/users/{user}"),
    "list_vhosts": ("GET", "/vhosts"),
    "add_vhost": ("PUT", "/vhosts/{vhost}"),
    "set_vhost": ("PUT", "/vhosts/{vhost}"),
    "trace_vhost": ("PUT", "/vhosts/{vhost}"),
    "protect_vhost": ("POST", "/vhosts/{vhost}/deletion/protection"),
    "delete_vhost": ("DELETE", "/vhosts/{vhost}"),
    "list_permissions": ("GET", "/permissions"),
    "set_permissions": ("PUT", "/permissions/{vhost}/{user}"),
    "clear_permissions": ("DELETE", "/permissions/{vhost}/{user}"),
    "list_topic_permissions": ("GET", "/topic-permissions"),
    "set_topic_permissions": ("PUT", "/topic-permissions/{vhost}/{user}"),
    "clear_topic_permissions": ("DELETE", "/topic-permissions/{vhost}/{user}"),
    "list_policies": ("GET", "/policies"),
    "set_policy": ("PUT", "/policies/{vhost}/{name}"),
    "clear_policy": ("DELETE", "/policies/{vhost}/{name}"),
    "list_operator_policies": ("GET", "/operator-policies"),
    "set_operator_policy": ("PUT", "/operator-policies/{vhost}/{name}"),
    "clear_operator_policy": ("DELETE", "/operator-policies/{vhost}/{name}"),
    "list_vhost_limits": ("GET", "/vhost-limits"),
    "set_vhost_limits": ("PUT", "/vhost-limits/{vhost}/{name}"),
    "clear_vhost_limits": ("DELETE", "/vhost-limits/{vhost}/{name}"),
    "list_user_limits": ("GET", "/user-limits"),
    "set_user_limits": ("PUT", "/user-limits/{user}/{name}"),
    "clear_user_limits": ("DELETE", "/user-limits/{user}/{name}"),
    "list_parameters": ("GET", "/parameters"),
    "set_parameter": ("PUT", "/parameters/{component}/{vhost}/{name}"),
    "clear_parameter": ("DELETE", "/parameters/{component}/{vhost}/{name}"),
    "list_global_parameters": ("GET", "/global-parameters"),
    "set_global_parameter": ("PUT", "/global-parameters/{name}"),
    "clear_global_parameter": ("DELETE", "/global-parameters/{name}"),
    "export_definitions": ("GET", "/definitions"),
    "import_definitions": ("POST", "/definitions"),
    "show_status": ("GET", "/leveret/status"),
}
"""The operation that does at least what a verb does."""
FOR_MONITORS: Final = ("list_vhosts", "list_vhost_limits")  # monitoring users need no permission in a virtual host
SENTENCE: Final = re.compile(r"\.(?: |$)")
VHOST: Final = {"list_vhosts": "name"}  # field with the name of the virtual host, if it is not "vhost"


async def _read(request: Request) -> dict[str, Any]:
    """The arguments in the body. Raises: ApiError 400."""
    try:
        return await requests.read_arguments(request.body or b"{}")
    except ValueError as error:
        raise bad_request(f"the body must be an object with the arguments of the verb; {error}") from None


def _check_vhost(request: Request, verb: str, arguments: dict[str, Any]) -> None:
    """Refuse a virtual host that the caller may not access as if it did not exist. Raises: ApiError 404.

    For an administrator, the verb itself reports a missing virtual host and suggests similar names.
    """
    name, caller = arguments.get("vhost"), request.caller
    if not isinstance(name, str) or caller.has(Access.ADMINISTRATOR):
        return
    vhost = request.broker.vhosts.get(name)
    may = caller.may_see if verb in FOR_MONITORS else caller.may_enter
    if vhost is None or not may(vhost):
        raise request.no_vhost(name)


def _visible(request: Request, verb: str, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows of a list whose virtual host the caller may access, and those without a virtual host."""
    key, caller = VHOST.get(verb, "vhost"), request.caller
    may = caller.may_see if verb in FOR_MONITORS else caller.may_enter
    names = {name for name, vhost in request.broker.vhosts.items() if may(vhost)}
    return [row for row in rows if key not in row or row[key] in names]


def _doing(verb: str) -> Callable[[Request], Awaitable[Any]]:
    """A handler that runs a verb."""

    async def perform(request: Request) -> Any:
        arguments = await _read(request)
        _check_vhost(request, verb, arguments)
        if verb in LARGE:
            return document(request.services.turns, lambda: _answer(request, verb, arguments))
        return Answer(content=await _answer(request, verb, arguments))

    return perform


async def unknown(request: Request) -> Answer:
    """Refuse an unknown verb, or one that is not available here."""
    verb = request.path["verb"]
    if verb in WITH_BYTES:
        raise bad_request(f"{verb} is available on the control socket only")
    return Answer(content=await _answer(request, verb, {}))


async def status(request: Request) -> Answer:
    """Show the status of the broker."""
    seconds = request.query.number("seconds")
    return Answer(content=await _answer(request, "show_status", {} if seconds is None else {"seconds": seconds}))


async def _answer(request: Request, verb: str, arguments: dict[str, Any]) -> bytes:
    try:
        result = await request.services.performer.perform(verb, arguments)
    except AdministrationError as error:
        raise of_administration(error) from None
    if isinstance(result, list):
        result = _visible(request, verb, result)
    return await requests.write({"result": result})


def _summary(verb: Verb) -> str:
    """The first sentence of the docstring of a verb."""
    said = " ".join((verb.function.__doc__ or "").split())
    return f"{SENTENCE.split(said)[0]}."


STATUS = Operation(
    "GET",
    "/leveret/status",
    status,
    Access.MONITORING,
    "Show the status of the broker: its contents, and the delay of its event loop.",
    answers=dict[str, Any],
    query=("seconds",),
)
ACCESS: Final = {
    (each.method, each.path): each.access
    for each in (
        STATUS,
        *users.OPERATIONS,
        *vhosts.OPERATIONS,
        *policies.OPERATIONS,
        *parameters.OPERATIONS,
        *definitions.OPERATIONS,
    )
}
OPERATIONS = [
    STATUS,
    *(
        Operation(
            "POST",
            f"/leveret/verbs/{name}",
            _doing(name),
            ACCESS[TWINS[name]] if name in TWINS else Access.ADMINISTRATOR,
            _summary(verb),
            answers=dict[str, Any],
            takes=dict[str, Any],
            most=definitions.MOST if name == "import_definitions" else MOST,
            refuses=(404, 412),
        )
        for name, verb in VERBS.items()
        if name not in WITH_BYTES
    ),
    Operation(
        "POST",
        "/leveret/verbs/{verb}",
        unknown,
        Access.ADMINISTRATOR,
        "Answer for unknown administration commands: always an error; each known command has its own path.",
        answers=dict[str, Any],
        takes=dict[str, Any],
    ),
]
