"""Refused: the latest publishes that reached no queue.

Monitoring users see all of them. Other users see those in the virtual hosts that they may access, but not the other
users who published them, just as they see only their own connections.
"""

from __future__ import annotations

from typing import Final

import msgspec

from leveret.api.access import Access
from leveret.api.errors import bad_request, not_found
from leveret.api.operation import Operation
from leveret.api.request import Request
from leveret.core.message.refused import INVALID, MOST, NO_PERMISSION, TOPIC, RefusedPublish

SHOWN: Final = 100  # default number of items
PERSONAL: Final = (NO_PERMISSION, TOPIC, INVALID)  # kinds whose reasons name users


class RefusedItem(msgspec.Struct, kw_only=True):
    """Publishes that were refused for the same reason, with the same exchange and routing key.

    kind: the reason as one word. reason: empty if it names the publisher and the caller may not see that. hint: more
    about the reason, for monitoring users only. queue: the queue that refused the messages, or null. user, connection:
    the publisher; null if there is none, or the caller may not see it. count: number of publishes. first_at, last_at:
    milliseconds since 1970. size: bytes of the last body. message_id: of the first message.
    """

    kind: str
    reason: str
    hint: str | None
    vhost: str
    exchange: str
    routing_key: str
    queue: str | None
    user: str | None
    connection: str | None
    message_id: str | None
    size: int
    count: int
    first_at: int
    last_at: int


class RefusedList(msgspec.Struct):
    """Refused publishes, latest first. left_out: publishes not recorded, because there were too many different ones."""

    refused: list[RefusedItem]
    left_out: int


async def refused(request: Request) -> RefusedList:
    """List the latest refused publishes that the caller may see."""
    caller, name = request.caller, request.query.text("vhost")
    limit = request.query.number("limit")
    if limit is not None and not 1 <= limit <= MOST:
        raise bad_request(f"limit must be a number from 1 to {MOST}")
    vhosts, is_monitor = request.broker.vhosts, caller.has(Access.MONITORING)
    if name and (name not in vhosts or not caller.may_see(vhosts[name])):
        raise not_found("vhost_not_found")
    found = RefusedList([], int(request.broker.refused.left_out))
    turns = request.services.turns
    async with turns.few, turns:
        for entry in request.broker.refused.all():
            if len(found.refused) >= (limit or SHOWN):
                break
            vhost = vhosts.get(entry.vhost)
            if vhost is not None and caller.may_see(vhost) and name in ("", vhost.name):
                found.refused.append(_item(entry, is_monitor, is_monitor or entry.user == caller.user.name))
            await turns.rest()
    return found


def _item(entry: RefusedPublish, shows_hint: bool, shows_who: bool) -> RefusedItem:
    return RefusedItem(
        kind=entry.kind,
        reason=entry.reason if shows_who or entry.kind not in PERSONAL else "",
        hint=(entry.hint or None) if shows_hint else None,
        vhost=entry.vhost,
        exchange=entry.exchange,
        routing_key=entry.routing_key,
        queue=entry.queue or None,
        user=(entry.user or None) if shows_who else None,
        connection=(entry.connection or None) if shows_who else None,
        message_id=entry.message_id or None,
        size=int(entry.size),
        count=int(entry.count),
        first_at=entry.first_ms,
        last_at=entry.last_ms,
    )


OPERATIONS = [
    Operation(
        "GET",
        "/leveret/refused",
        refused,
        Access.MANAGEMENT,
        "List the latest publishes that were refused or reached no queue, with publisher, time and reason.",
        answers=RefusedList,
        query=("vhost", "limit"),
    ),
]
