"""All operations, as the router, the OpenAPI description and the tests have them."""

from __future__ import annotations

from leveret.api.operation import Operation
from leveret.api.views import (
    bindings,
    clients,
    definitions,
    exchanges,
    features,
    health,
    logins,
    messages,
    nodes,
    overview,
    parameters,
    plugins,
    policies,
    queues,
    users,
    vhosts,
)

OPERATIONS: list[Operation] = [
    *overview.OPERATIONS,
    *nodes.OPERATIONS,
    *clients.OPERATIONS,
    *exchanges.OPERATIONS,
    *queues.OPERATIONS,
    *bindings.OPERATIONS,
    *messages.OPERATIONS,
    *vhosts.OPERATIONS,
    *users.OPERATIONS,
    *policies.OPERATIONS,
    *parameters.OPERATIONS,
    *definitions.OPERATIONS,
    *health.OPERATIONS,
    *features.OPERATIONS,
    *logins.OPERATIONS,
    *plugins.OPERATIONS,
]
