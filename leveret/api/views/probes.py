"""Liveness and readiness probes for container schedulers, without a login."""

from __future__ import annotations

from typing import Any

import msgspec

from leveret.api.access import Access
from leveret.api.operation import Operation
from leveret.api.request import Answer, Request


class Health(msgspec.Struct, omit_defaults=True):
    """status: ok or failed. reason: why the check failed."""

    status: str
    reason: str = ""


async def live(request: Request) -> Health:
    """Always ok: a restart would not help against any state that this could report. ready() reports those."""
    return Health("ok")


async def ready(request: Request) -> Any:
    """Check whether clients can connect. Ignores alarms: consumers must be able to connect to resolve them."""
    broker = request.broker
    if 0 < broker.max_connections <= broker.open_connections:
        return Answer(503, Health("failed", f"the limit of {broker.max_connections} connections is reached"))
    return Health("ok")


OPERATIONS = [
    Operation(
        "GET", "/leveret/live", live, Access.ANYBODY, "Liveness probe: whether the broker is alive.", answers=Health
    ),
    Operation(
        "GET", "/leveret/ready", ready, Access.ANYBODY, "Readiness probe: whether clients can connect.", answers=Health
    ),
]
