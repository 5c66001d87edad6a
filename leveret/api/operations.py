"""The list of all operations, for the router, the OpenAPI description and the tests."""

from __future__ import annotations

import functools
from typing import Any

from leveret.api import openapi
from leveret.api.access import Access
from leveret.api.encoding import encode
from leveret.api.operation import Operation
from leveret.api.request import Answer, Request
from leveret.api.views import (
    ages,
    bindings,
    browsing,
    clients,
    consuming,
    definitions,
    events,
    exchanges,
    explain,
    features,
    flows,
    health,
    logins,
    messages,
    nodes,
    overview,
    parameters,
    plugins,
    policies,
    probes,
    publishers,
    publishing,
    queues,
    refused,
    search,
    sessions,
    tending,
    traces,
    transfer,
    users,
    verbs,
    vhosts,
)


async def describe(request: Request) -> Answer:
    """The OpenAPI description of all operations."""
    return Answer(content=_description(f"{request.services.prefix}/api"))


@functools.lru_cache(maxsize=1)
def _description(url: str) -> bytes:
    """Cached: it is the same for all clients, needs no login, takes a while to make and leaves garbage behind."""
    return encode(openapi.describe(OPERATIONS, url))


OPERATIONS: list[Operation] = [
    Operation(
        "GET", "/openapi.json", describe, Access.ANYBODY, "Return this OpenAPI description.", answers=dict[str, Any]
    ),
    *overview.OPERATIONS,
    *nodes.OPERATIONS,
    *clients.OPERATIONS,
    *exchanges.OPERATIONS,
    *queues.OPERATIONS,
    *bindings.OPERATIONS,
    *messages.OPERATIONS,
    *transfer.OPERATIONS,
    *search.OPERATIONS,
    *ages.OPERATIONS,
    *flows.OPERATIONS,
    *tending.OPERATIONS,
    *explain.OPERATIONS,
    *publishers.OPERATIONS,
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
    *publishing.OPERATIONS,
    *consuming.OPERATIONS,
    *browsing.OPERATIONS,
    *verbs.OPERATIONS,
]
