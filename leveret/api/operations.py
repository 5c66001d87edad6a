"""All operations, as the router, the OpenAPI description and the tests have them."""

from __future__ import annotations

from typing import Any

from leveret.api import openapi
from leveret.api.access import Access
from leveret.api.operation import Operation
from leveret.api.request import Request
from leveret.api.views import (
    bindings,
    clients,
    definitions,
    events,
    exchanges,
    explain,
    features,
    health,
    logins,
    messages,
    nodes,
    overview,
    parameters,
    plugins,
    policies,
    probes,
    queues,
    refused,
    sessions,
    traces,
    users,
    verbs,
    vhosts,
)


async def describe(request: Request) -> Any:
    """The description of all operations."""
    return openapi.describe(OPERATIONS, f"{request.services.prefix}/api")


OPERATIONS: list[Operation] = [
    Operation(
        "GET", "/openapi.json", describe, Access.ANYBODY, "This description, in OpenAPI.", answers=dict[str, Any]
    ),
    *overview.OPERATIONS,
    *nodes.OPERATIONS,
    *clients.OPERATIONS,
    *exchanges.OPERATIONS,
    *queues.OPERATIONS,
    *bindings.OPERATIONS,
    *messages.OPERATIONS,
    *explain.OPERATIONS,
    *refused.OPERATIONS,
    *traces.OPERATIONS,
    *vhosts.OPERATIONS,
    *users.OPERATIONS,
    *policies.OPERATIONS,
    *parameters.OPERATIONS,
    *definitions.OPERATIONS,
    *health.OPERATIONS,
    *features.OPERATIONS,
    *logins.OPERATIONS,
    *plugins.OPERATIONS,
    *events.OPERATIONS,
    *probes.OPERATIONS,
    *sessions.OPERATIONS,
    *verbs.OPERATIONS,
]
