"""Runtime parameters and limits. Source: rabbit_mgmt_wm_*parameter*.erl, rabbit_mgmt_wm_*limit*.erl."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from leveret.api.access import Access
from leveret.api.errors import bad_request, not_there
from leveret.api.names import check_name
from leveret.api.operation import Operation
from leveret.api.request import CREATED, DONE, Answer, Request
from leveret.api.views import policies
from leveret.core.access.user import User
from leveret.core.vhost import VirtualHost
from leveret.management.parameters import OPERATOR_POLICY, OWN_COMPONENTS, VHOST_LIMITS


class ParameterItem(msgspec.Struct, kw_only=True):
    """A parameter of a virtual host."""

    vhost: str
    component: str
    name: str
    value: Any


class GlobalParameterItem(msgspec.Struct, kw_only=True):
    """A parameter of the whole broker."""

    name: str
    value: Any


class Value(msgspec.Struct, kw_only=True):
    """The value of a parameter. Clients may send other fields beside it, which are ignored."""

    value: Any


class VhostLimits(msgspec.Struct):
    """List the limits of a virtual host."""

    vhost: str
    value: dict[str, int]


class UserLimits(msgspec.Struct):
    """List the limits of a user."""

    user: str
    value: dict[str, int]


class Limit(msgspec.Struct):
    """A limit. A negative value means no limit."""

    value: int


def _own(vhost: VirtualHost) -> list[ParameterItem]:
    """Operator policies and limits, which RabbitMQ also lists as parameters."""
    found = [
        ParameterItem(vhost=vhost.name, component=OPERATOR_POLICY, name=each.name, value=_policy_value(vhost, each))
        for each in sorted(vhost.operator_policies.all.values(), key=lambda each: each.name)
    ]
    if vhost.limits:
        limits = dict(vhost.limits)
        found.append(ParameterItem(vhost=vhost.name, component=VHOST_LIMITS, name="limits", value=limits))
    return found


def _policy_value(vhost: VirtualHost, policy: Any) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.to_builtins(policies.item(vhost, policy))
    return {key: value for key, value in found.items() if key not in ("vhost", "name")}


async def list_parameters(request: Request) -> list[ParameterItem]:
    """List parameters in the virtual hosts that the caller may access, of one component if the path names one."""
    vhosts = {vhost.name: vhost for vhost in request.vhosts()}
    component = request.path.get("component")
    found = [each for vhost in vhosts.values() for each in _own(vhost)]
    found += [
        ParameterItem(vhost=vhost, component=kind, name=name, value=json.loads(text))
        for (vhost, kind, name), text in request.broker.parameters.all.items()
        if vhost in vhosts
    ]
    wanted = [each for each in found if component in (None, each.component)]
    return sorted(wanted, key=lambda each: (each.component, each.vhost, each.name))


async def show_parameter(request: Request) -> ParameterItem:
    """Show one parameter."""
    for each in await list_parameters(request):
        if each.name == request.path["name"]:
            return each
    raise not_there()


async def put_parameter(request: Request) -> Answer:
    """Set a parameter."""
    vhost = request.vhost().name
    component, name = request.path["component"], request.path["name"]
    check_name("parameter", name)
    value = request.read(Value).value
    if component in OWN_COMPONENTS:
        raise bad_request(f"{component} has its own paths in this API")
    is_new = (vhost, component, name) not in request.broker.parameters.all
    await request.perform("set_parameter", vhost=vhost, component=component, name=name, value=value)
    return CREATED if is_new else DONE


async def delete_parameter(request: Request) -> Answer:
    """Delete a parameter."""
    found = await show_parameter(request)
    await request.perform("clear_parameter", vhost=found.vhost, component=found.component, name=found.name)
    return DONE


async def list_globals(request: Request) -> list[GlobalParameterItem]:
    """List all global parameters."""
    found = request.broker.parameters.globals
    return [GlobalParameterItem(name=name, value=json.loads(found[name])) for name in sorted(found)]


def _find_global(request: Request) -> GlobalParameterItem:
    name = request.path["name"]
    text = request.broker.parameters.globals.get(name)
    if text is None:
        raise not_there()
    return GlobalParameterItem(name=name, value=json.loads(text))


async def show_global(request: Request) -> GlobalParameterItem:
    """Show one global parameter."""
    return _find_global(request)


async def put_global(request: Request) -> Answer:
    """Set a global parameter."""
    name = request.path["name"]
    check_name("parameter", name)
    value = request.read(Value).value
    is_new = name not in request.broker.parameters.globals
    await request.perform("set_global_parameter", name=name, value=value)
    return CREATED if is_new else DONE


async def delete_global(request: Request) -> Answer:
    """Delete a global parameter."""
    await request.perform("clear_global_parameter", name=_find_global(request).name)
    return DONE


# -- limits


async def list_vhost_limits(request: Request) -> list[VhostLimits]:
    """List virtual hosts with limits."""
    return [VhostLimits(vhost.name, dict(vhost.limits)) for vhost in request.vhosts(for_monitors=True) if vhost.limits]


async def put_vhost_limit(request: Request) -> Answer:
    """Set a limit of a virtual host."""
    vhost = request.vhost().name
    limits = {request.path["name"]: request.read(Limit).value}
    await request.perform("set_vhost_limits", vhost=vhost, limits=limits)
    return DONE


async def delete_vhost_limit(request: Request) -> Answer:
    """Remove a limit of a virtual host. A limit that is not set is not an error."""
    vhost, name = request.vhost(), request.path["name"]
    if name in vhost.limits:
        await request.perform("clear_vhost_limits", vhost=vhost.name, limit=name)
    return DONE


def _user(request: Request) -> User:
    user = request.broker.users.get(request.path["user"])
    if user is None:
        raise not_there()
    return user


async def list_user_limits(request: Request) -> list[UserLimits]:
    """List users with limits."""
    users = [_user(request)] if "user" in request.path else sorted(request.broker.users, key=lambda user: user.name)
    return [UserLimits(user.name, dict(user.limits)) for user in users if user.limits]


async def put_user_limit(request: Request) -> Answer:
    """Set a limit of a user."""
    name = request.path["user"]
    limits = {request.path["name"]: request.read(Limit).value}
    if request.broker.users.get(name) is None:
        raise bad_request(f"no_such_user: {name}")
    await request.perform("set_user_limits", user=name, limits=limits)
    return DONE


async def delete_user_limit(request: Request) -> Answer:
    """Remove a limit of a user. A limit that is not set is not an error."""
    user, name = _user(request), request.path["name"]
    if name in user.limits:
        await request.perform("clear_user_limits", user=user.name, limit=name)
    return DONE


POLICYMAKER, ADMIN = Access.POLICYMAKER, Access.ADMINISTRATOR
PARAMETER = "/parameters/{component}/{vhost}/{name}"
OPERATIONS = [
    Operation(
        "GET", "/parameters", list_parameters, POLICYMAKER, "List all runtime parameters.", answers=list[ParameterItem]
    ),
    Operation(
        "GET",
        "/parameters/{component}",
        list_parameters,
        POLICYMAKER,
        "List the runtime parameters of one component, for example shovel.",
        answers=list[ParameterItem],
    ),
    Operation(
        "GET",
        "/parameters/{component}/{vhost}",
        list_parameters,
        POLICYMAKER,
        "List the runtime parameters of one component in a virtual host.",
        answers=list[ParameterItem],
    ),
    Operation("GET", PARAMETER, show_parameter, POLICYMAKER, "Show one runtime parameter.", answers=ParameterItem),
    Operation(
        "PUT",
        PARAMETER,
        put_parameter,
        POLICYMAKER,
        "Set a runtime parameter; the broker stores it but does not use it.",
        takes=Value,
        statuses=(201, 204),
    ),
    Operation("DELETE", PARAMETER, delete_parameter, POLICYMAKER, "Delete a runtime parameter.", statuses=(204,)),
    Operation(
        "GET",
        "/global-parameters",
        list_globals,
        POLICYMAKER,
        "List all global parameters.",
        answers=list[GlobalParameterItem],
    ),
    Operation(
        "GET",
        "/global-parameters/{name}",
        show_global,
        POLICYMAKER,
        "Show one global parameter.",
        answers=GlobalParameterItem,
    ),
    Operation(
        "PUT",
        "/global-parameters/{name}",
        put_global,
        ADMIN,
        "Set a global parameter.",
        takes=Value,
        statuses=(201, 204),
    ),
    Operation(
        "DELETE", "/global-parameters/{name}", delete_global, ADMIN, "Delete a global parameter.", statuses=(204,)
    ),
    Operation(
        "GET",
        "/vhost-limits",
        list_vhost_limits,
        Access.MANAGEMENT,
        "List the virtual hosts that have limits.",
        answers=list[VhostLimits],
    ),
    Operation(
        "GET",
        "/vhost-limits/{vhost}",
        list_vhost_limits,
        Access.MANAGEMENT,
        "List the limits of a virtual host.",
        answers=list[VhostLimits],
    ),
    Operation(
        "PUT",
        "/vhost-limits/{vhost}/{name}",
        put_vhost_limit,
        ADMIN,
        "Set a limit of a virtual host, for example max-connections.",
        takes=Limit,
        statuses=(204,),
    ),
    Operation(
        "DELETE",
        "/vhost-limits/{vhost}/{name}",
        delete_vhost_limit,
        ADMIN,
        "Remove a limit of a virtual host.",
        statuses=(204,),
    ),
    Operation(
        "GET", "/user-limits", list_user_limits, ADMIN, "List the users that have limits.", answers=list[UserLimits]
    ),
    Operation(
        "GET", "/user-limits/{user}", list_user_limits, ADMIN, "List the limits of a user.", answers=list[UserLimits]
    ),
    Operation(
        "PUT",
        "/user-limits/{user}/{name}",
        put_user_limit,
        ADMIN,
        "Set a limit of a user, for example max-channels.",
        takes=Limit,
        statuses=(204,),
    ),
    Operation(
        "DELETE",
        "/user-limits/{user}/{name}",
        delete_user_limit,
        ADMIN,
        "Remove a limit of a user.",
        statuses=(204,),
    ),
]
