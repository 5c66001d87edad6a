"""All operations, as the router, the OpenAPI description and the tests have them."""

from __future__ import annotations

from leveret.api.operation import Operation
from leveret.api.views import clients, overview, queues

OPERATIONS: list[Operation] = [
    *overview.OPERATIONS,
    *clients.OPERATIONS,
    *queues.OPERATIONS,
]
