"""Verbs on runtime parameters. Policies and limits have their own verbs; all other parameters are only stored."""

from __future__ import annotations

import json

from leveret.core.broker import Broker
from leveret.core.definition.form import GLOBAL_PARAMETER, PARAMETER
from leveret.core.errors.administration import InvalidError
from leveret.core.policy.documents import TOO_DEEP, is_too_deep
from leveret.management.errors import unknown
from leveret.management.vhosts import find_vhost

OPERATOR_POLICY = "operator_policy"
POLICY = "policy"
VHOST_LIMITS = "vhost-limits"
USER_LIMITS = "user-limits"
OWN_COMPONENTS = {  # not stored as parameters, because the broker uses them
    POLICY: "leveret policies set",
    OPERATOR_POLICY: "leveret policies set --operator",
    VHOST_LIMITS: "leveret limits set --vhost",
    USER_LIMITS: "leveret limits set --user",
}


def list_parameters(broker: Broker, vhost: str | None = None) -> list[dict[str, object]]:
    """Stored parameters of all virtual hosts, or of one."""
    if vhost is not None:
        find_vhost(broker, vhost)
    return [
        {"vhost": owner, "component": component, "name": name, "value": _read(value)}
        for (owner, component, name), value in sorted(broker.parameters.all.items())
        if vhost in (None, owner)
    ]


def set_parameter(broker: Broker, vhost: str, component: str, name: str, value: object) -> None:
    """Store a parameter. The broker does not use it, but exports it."""
    find_vhost(broker, vhost)
    if component in OWN_COMPONENTS:
        raise InvalidError(f"'{component}' is set with `{OWN_COMPONENTS[component]}`")
    put_parameter(broker, vhost, component, name, value)


def put_parameter(broker: Broker, vhost: str, component: str, name: str, value: object) -> None:
    """Store a parameter. Raises: InvalidError."""
    broker.parameters.put(vhost, component, name, _write(value))


def clear_parameter(broker: Broker, vhost: str, component: str, name: str) -> None:
    """Delete a parameter."""
    find_vhost(broker, vhost)
    is_there = (vhost, component, name) in broker.parameters.all
    if not is_there and not broker.has_aside(PARAMETER, vhost, component, name):
        known = [key[2] for key in broker.parameters.all if key[:2] == (vhost, component)]
        raise unknown(f"parameter of {component}", name, known)
    broker.parameters.delete(vhost, component, name)


def list_global_parameters(broker: Broker) -> list[dict[str, object]]:
    """Stored global parameters."""
    return [{"name": name, "value": _read(value)} for name, value in sorted(broker.parameters.globals.items())]


def set_global_parameter(broker: Broker, name: str, value: object) -> None:
    """Store a global parameter."""
    broker.parameters.put_global(name, _write(value))


def clear_global_parameter(broker: Broker, name: str) -> None:
    """Delete a global parameter."""
    if name not in broker.parameters.globals and not broker.has_aside(GLOBAL_PARAMETER, name):
        raise unknown("global parameter", name, broker.parameters.globals)
    broker.parameters.delete_global(name)


def _write(value: object) -> str:
    """A value in its stored form. Raises: InvalidError."""
    if is_too_deep(value):
        raise InvalidError(f"value: {TOO_DEEP}")
    return json.dumps(value)


def _read(text: str) -> object:
    """A stored value. Earlier versions accepted NaN and infinity, which become null."""
    return json.loads(text, parse_constant=lambda name: None)
