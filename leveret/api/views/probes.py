"""Probes, as schedulers of containers ask them, without a login: whether the broker lives, and whether it is ready."""

from __future__ import annotations

from typing import Any

import msgspec

from leveret.api.access import Access
from leveret.api.operation import Operation
from leveret.api.request import Answer, Request


class Health(msgspec.Struct, omit_defaults=True):
    """status: ok or failed. reason: why it failed."""

    status: str
    reason: str = ""


async def live(request: Request) -> Health:
    """It answers, so it lives: what cannot be helped by a restart is left to ready()."""
    return Health("ok")


async def ready(request: Request) -> Any:
    """Whether clients can connect. Alarms do not count: consumers have to come through to what they are about."""
    broker = request.broker
    if 0 < broker.max_connections <= broker.open_connections:
        return Answer(503, Health("failed", f"there are {broker.open_connections} connections, as many as may be"))
    return Health("ok")


OPERATIONS = [
    Operation("GET", "/leveret/live", live, Access.ANYBODY, "Whether the broker lives.", answers=Health),
    Operation("GET", "/leveret/ready", ready, Access.ANYBODY, "Whether clients can connect.", answers=Health),
]
