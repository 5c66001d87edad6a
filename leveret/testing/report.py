"""A short report of a broker's state and events, for failed tests."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from leveret.testing.queues import deliveries

if TYPE_CHECKING:
    from leveret.testing.server import Server

LAST: Final = 10  # publishes shown
MANY: Final = 20  # of anything else


def report(server: Server, vhost: str) -> str:
    """The report of a virtual host. Call on the event loop of the broker."""
    found = server.vhost(vhost)
    published = server.publishes.published(vhost, None, None)
    gone_wrong = [each for each in published if each.outcome != "routed"]
    parts = [
        _part(
            "queues",
            [
                f"{queue.name}: {len(queue.ready)} ready, {queue.unacked} unacked, {len(queue.consumers.all)} consumers"
                for queue in found.queues.values()
            ],
        ),
        _part(
            "connections",
            [
                f"{protocol.connection.label}: {len(protocol.connection.channels)} channels"
                for protocol in server.node.protocols()
                if protocol.connection.vhost is found
            ],
        ),
        _part(
            f"published: {len(published)}, the last of them",
            [f"{each!r}" for each in published[-LAST:]],
            LAST,
        ),
        _part("nacked, refused, returned or unroutable", [f"{each!r}" for each in gone_wrong]) if gone_wrong else "",
    ]
    held = deliveries(server, vhost, None)
    if held:
        parts.append(
            _part(
                "not acknowledged",
                [f"{each.queue}: {each.message!r}, held by {each.connection}" for each in held],
            )
        )
    return "\n".join(part for part in parts if part)


def _part(title: str, lines: Iterable[str], limit: int = MANY) -> str:
    found = list(lines)
    shown = [f"  {line}" for line in found[-limit:]]
    if len(found) > limit:
        shown.insert(0, f"  ... {len(found) - limit} more")
    return "\n".join([f"{title}:", *(shown or ["  none"])])
