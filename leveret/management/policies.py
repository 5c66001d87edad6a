"""Verbs on policies and operator policies."""

from __future__ import annotations

from typing import Any

from leveret.core.broker import Broker
from leveret.core.errors.administration import InvalidError
from leveret.core.policy.policy import Policies, Policy, PolicyError
from leveret.core.vhost import VirtualHost
from leveret.management.entries import PolicyBody
from leveret.management.errors import unknown
from leveret.management.vhosts import find_vhost


class BadPolicy(InvalidError):
    """An invalid policy. path: the invalid part, such as `.definition.max-length`."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(reason)
        self.path = path


def list_policies(broker: Broker, vhost: str | None = None) -> list[dict[str, object]]:
    """Policies of all virtual hosts, or of one."""
    return [_row(each, policy) for each in _vhosts(broker, vhost) for policy in _sorted(each.policies)]


def set_policy(
    broker: Broker,
    vhost: str,
    name: str,
    pattern: str,
    definition: dict[str, Any],
    priority: int = 0,
    apply_to: str = "all",
) -> None:
    """Set a policy. It applies at once to all matching queues and exchanges."""
    body = PolicyBody(pattern=pattern, definition=definition, priority=priority, apply_to=apply_to)
    put_policy(find_vhost(broker, vhost), name, body)


def clear_policy(broker: Broker, vhost: str, name: str) -> None:
    """Delete a policy. Queues and exchanges stop using it at once."""
    found = find_vhost(broker, vhost)
    if not found.delete_policy(name):
        raise unknown("policy", name, found.policies.all)


def list_operator_policies(broker: Broker, vhost: str | None = None) -> list[dict[str, object]]:
    """Operator policies of all virtual hosts, or of one."""
    return [_row(each, policy) for each in _vhosts(broker, vhost) for policy in _sorted(each.operator_policies)]


def set_operator_policy(
    broker: Broker,
    vhost: str,
    name: str,
    pattern: str,
    definition: dict[str, Any],
    priority: int = 0,
    apply_to: str = "all",
) -> None:
    """Set an operator policy, which limits the values that policies and arguments can set."""
    body = PolicyBody(pattern=pattern, definition=definition, priority=priority, apply_to=apply_to)
    put_operator_policy(find_vhost(broker, vhost), name, body)


def clear_operator_policy(broker: Broker, vhost: str, name: str) -> None:
    """Delete an operator policy."""
    found = find_vhost(broker, vhost)
    if not found.delete_operator_policy(name):
        raise unknown("operator policy", name, found.operator_policies.all)


def put_policy(vhost: VirtualHost, name: str, body: PolicyBody) -> None:
    """Set a policy. Raises: BadPolicy."""
    vhost.set_policy(_checked(vhost.policies, name, body))


def put_operator_policy(vhost: VirtualHost, name: str, body: PolicyBody) -> None:
    """Set an operator policy. Raises: BadPolicy."""
    vhost.set_operator_policy(_checked(vhost.operator_policies, name, body))


def _checked(policies: Policies, name: str, body: PolicyBody) -> Policy:
    """Validate a policy. Raises: BadPolicy."""
    if not name:
        raise InvalidError("a policy needs a name")
    try:
        if body.priority != int(body.priority):
            raise BadPolicy(".priority", f"{body.priority} is not a whole number")
        policy = Policy(name, body.pattern, body.definition, int(body.priority), body.apply_to)
    except PolicyError as error:
        raise BadPolicy(".pattern", _reason(error)) from None
    try:
        policies.check(policy)
    except PolicyError as error:
        raise BadPolicy(_invalid_path(policies, policy, _reason(error)), _reason(error)) from None
    return policy


def _invalid_path(policies: Policies, policy: Policy, reason: str) -> str:
    """The path of the invalid part. In the definition: the first key that is invalid on its own, if any."""
    if reason.startswith("apply-to"):
        return ".apply-to"
    for key, value in sorted(policy.definition.items()):
        try:
            policies.check(Policy(policy.name, policy.pattern, {key: value}, 0, policy.apply_to))
        except PolicyError:
            return f".definition.{key}"
    return ".definition"


def _reason(error: PolicyError) -> str:
    return str(error).removeprefix("Validation failed").strip()


def _vhosts(broker: Broker, name: str | None) -> list[VirtualHost]:
    if name is not None:
        return [find_vhost(broker, name)]
    return sorted(broker.vhosts.values(), key=lambda vhost: vhost.name)


def _sorted(policies: Policies) -> list[Policy]:
    return sorted(policies.all.values(), key=lambda policy: policy.name)


def _row(vhost: VirtualHost, policy: Policy) -> dict[str, object]:
    return {
        "vhost": vhost.name,
        "name": policy.name,
        "pattern": policy.pattern,
        "apply-to": policy.apply_to,
        "definition": policy.definition,
        "priority": policy.priority,
    }
