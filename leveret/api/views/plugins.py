"""Plugins of RabbitMQ that command line tools ask: there are no federation links and no shovels."""

from __future__ import annotations

from typing import Any

from leveret.api.access import Access
from leveret.api.operation import Operation
from leveret.api.request import Request


async def nothing(request: Request) -> list[Any]:
    """There are none. Raises: ApiError 404 where the path names a virtual host that there is not."""
    if "vhost" in request.path:
        request.vhost()
    return []


OPERATIONS = [
    Operation("GET", path, nothing, Access.MONITORING, f"{noun}: there are none.", answers=list[Any])
    for plugin, noun in (("/federation-links", "Federation links"), ("/shovels", "Shovels"))
    for path in (plugin, f"{plugin}/{{vhost}}")
]
