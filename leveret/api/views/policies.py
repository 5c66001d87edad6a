"""Policies and operator policies. Source: rabbit_mgmt_wm_polic*.erl, rabbit_mgmt_wm_operator_polic*.erl."""

from __future__ import annotations

from typing import Any

import msgspec

from leveret.api.access import Access
from leveret.api.errors import bad_request, not_there
from leveret.api.names import check_name
from leveret.api.operation import Operation
from leveret.api.request import CREATED, DONE, Answer, Request
from leveret.core.policy.policy import Policies, Policy
from leveret.core.vhost import VirtualHost


class PolicyItem(msgspec.Struct, kw_only=True, rename={"apply_to": "apply-to"}):
    """A policy."""

    vhost: str
    name: str
    pattern: str
    apply_to: str
    definition: dict[str, Any]
    priority: int


class PolicyDeclaration(msgspec.Struct, kw_only=True, rename={"apply_to": "apply-to"}):
    """A policy to set."""

    pattern: str
    definition: dict[str, Any]
    priority: int | float = 0
    apply_to: str = "all"


def item(vhost: VirtualHost, policy: Policy) -> PolicyItem:
    """A policy."""
    return PolicyItem(
        vhost=vhost.name,
        name=policy.name,
        pattern=policy.pattern,
        apply_to=policy.apply_to,
        definition=policy.definition,
        priority=policy.priority,
    )


class Kind:
    """The operations on policies of one kind."""

    def __init__(self, path: str, noun: str, is_operator: bool) -> None:
        self._path = path
        self._noun = noun
        self._is_operator = is_operator

    def _policies(self, vhost: VirtualHost) -> Policies:
        return vhost.operator_policies if self._is_operator else vhost.policies

    async def list_all(self, request: Request) -> list[PolicyItem]:
        """List policies in the virtual hosts that the caller may access."""
        return [
            item(vhost, each)
            for vhost in request.vhosts()
            for each in sorted(self._policies(vhost).all.values(), key=lambda each: each.name)
        ]

    def _find(self, request: Request) -> Policy:
        policy = self._policies(request.vhost()).all.get(request.path["name"])
        if policy is None:
            raise not_there()
        return policy

    async def show(self, request: Request) -> PolicyItem:
        """Show one policy."""
        return item(request.vhost(), self._find(request))

    async def put(self, request: Request) -> Answer:
        """Create or replace a policy."""
        vhost, name = request.vhost(), request.path["name"]
        check_name(self._noun, name)
        wanted = request.read(PolicyDeclaration)
        if wanted.priority != int(wanted.priority):
            raise bad_request(f"priority: {wanted.priority} is not a whole number")
        is_new = name not in self._policies(vhost).all
        await request.perform(
            "set_operator_policy" if self._is_operator else "set_policy",
            vhost=vhost.name,
            name=name,
            pattern=wanted.pattern,
            definition=wanted.definition,
            priority=int(wanted.priority),
            apply_to=wanted.apply_to,
        )
        return CREATED if is_new else DONE

    async def delete(self, request: Request) -> Answer:
        """Delete a policy."""
        self._find(request)
        verb = "clear_operator_policy" if self._is_operator else "clear_policy"
        await request.perform(verb, vhost=request.path["vhost"], name=request.path["name"])
        return DONE

    def operations(self) -> list[Operation]:
        """All operations of this kind."""
        path, noun = self._path, self._noun
        changes = Access.ADMINISTRATOR if self._is_operator else Access.POLICYMAKER
        one = f"{path}/{{vhost}}/{{name}}"
        return [
            Operation(
                "GET", path, self.list_all, Access.MANAGEMENT, f"List all {noun[:-1]}ies.", answers=list[PolicyItem]
            ),
            Operation(
                "GET",
                f"{path}/{{vhost}}",
                self.list_all,
                Access.MANAGEMENT,
                f"List the {noun[:-1]}ies in a virtual host.",
                answers=list[PolicyItem],
            ),
            Operation("GET", one, self.show, Access.MANAGEMENT, f"Show one {noun}.", answers=PolicyItem),
            Operation(
                "PUT",
                one,
                self.put,
                changes,
                f"Set the {noun} with this name.",
                takes=PolicyDeclaration,
                statuses=(201, 204),
            ),
            Operation("DELETE", one, self.delete, changes, f"Delete the {noun} with this name.", statuses=(204,)),
        ]


OPERATIONS = [
    *Kind("/policies", "policy", is_operator=False).operations(),
    *Kind("/operator-policies", "operator policy", is_operator=True).operations(),
]
