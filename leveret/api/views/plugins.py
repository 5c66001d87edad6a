"""Paths of RabbitMQ's plugins that command-line tools request: there are no federation links and no shovels."""

from __future__ import annotations

from typing import Any

from leveret.api.access import Access
from leveret.api.operation import Operation
from leveret.api.request import Request


async def nothing(request: Request) -> list[Any]:
    """Always empty. Raises: ApiError 404 if the path names a virtual host that does not exist."""
    if "vhost" in request.path:
        request.vhost()
    return []


OPERATIONS = [
    Operation("GET", path, nothing, Access.MONITORING, f"List {noun}; always empty.", answers=list[Any])
    for plugin, noun in (("/federation-links", "federation links"), ("/shovels", "shovels"))
    for path in (plugin, f"{plugin}/{{vhost}}")
]
