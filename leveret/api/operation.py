"""Operation: one operation of the API, declared once for the router, the access checks and the OpenAPI description."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from leveret.api.access import Access
from leveret.api.request import Request
from leveret.api.services import Services

Handler = Callable[[Request], Awaitable[Any]]
"""Its result is sent as JSON with status 200, unless it is an Answer, Listing, Pieces or Events. Raises: ApiError."""

PARAMETER = re.compile(r"\{(\w+)\}")
MOST = 1 << 20  # maximum bytes of a body, unless an operation sets its own
LISTING = ("page", "page_size", "name", "use_regex", "sort", "sort_reverse", "columns", "pagination")
COLUMNS = ("columns",)
SAMPLES = tuple(
    f"{kind}_{what}" for kind in ("lengths", "msg_rates", "data_rates", "node_stats") for what in ("age", "incr")
)


@dataclass(frozen=True)
class Operation:
    """path: below /api, with names in braces. summary: one sentence for people.

    answers: type of the answer, None for no body. takes: type of the request body, bytes for one that is not JSON.
    query: names of its query parameters. statuses: of success. media_type: of the answer; takes_type: of the request
    body. most: maximum bytes of the request body, None for the largest message that the broker accepts. before: may
    refuse the request before the body is read. refuses: error statuses beside the usual ones.
    """

    method: str
    path: str
    handler: Handler
    access: Access
    summary: str
    answers: Any = None
    takes: Any = None
    query: tuple[str, ...] = ()
    statuses: tuple[int, ...] = (200,)
    media_type: str = "application/json"
    takes_type: str = "application/json"
    most: int | None = MOST
    before: Callable[[Services], None] | None = None
    refuses: tuple[int, ...] = ()

    def most_for(self, max_message_size: int) -> int:
        """Maximum bytes of the body. max_message_size: maximum bytes of a message."""
        if self.most is not None:
            return self.most
        is_body = self.takes is bytes and self.takes_type == "application/json"  # the raw body of a message
        return max_message_size if is_body else MOST + max_message_size * 4 // 3  # base64 makes 4 bytes of 3

    @property
    def parameters(self) -> list[str]:
        """The names in the path."""
        return PARAMETER.findall(self.path)

    @property
    def refusals(self) -> list[int]:
        """The error statuses that it may return."""
        found = [400, 405]
        if self.access is not Access.ANYBODY or self.method != "GET":
            found.append(401)
        if self.parameters or "vhost" in self.query:
            found.append(404)
        if self.method == "DELETE":
            found.append(412)
        if self.method != "GET":
            found += [403, 408, 413]
        return sorted({*found, *self.refuses, 503})
