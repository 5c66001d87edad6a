"""Operation: one thing that can be asked, declared once: the router, the checks and the OpenAPI description read it."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from leveret.api.access import Access
from leveret.api.request import Request
from leveret.api.services import Services

Handler = Callable[[Request], Awaitable[Any]]
"""What it returns becomes JSON with a 200, unless it is an Answer, a Listing, Pieces or Events. Raises: ApiError."""

PARAMETER = re.compile(r"\{(\w+)\}")
MOST = 1 << 20  # bytes of a body, unless an operation says otherwise
LISTING = ("page", "page_size", "name", "use_regex", "sort", "sort_reverse", "columns", "pagination")
COLUMNS = ("columns",)
SAMPLES = tuple(
    f"{kind}_{what}" for kind in ("lengths", "msg_rates", "data_rates", "node_stats") for what in ("age", "incr")
)


@dataclass(frozen=True)
class Operation:
    """method, path: with names in braces, below /api. summary: one sentence for people.

    answers: the shape of the answer, None for none. takes: that of the body, bytes for one that is no JSON. query:
    names of parameters it looks at. statuses: those of success. media_type: of the answer; takes_type: of the body.
    most: bytes that the body may have, None for the largest message that the broker takes. before: refuses what cannot
    be done now, before the body is read. refuses: statuses of what it may refuse, beside the usual ones.
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
        """Bytes that the body may have, where messages have at most so many."""
        if self.most is not None:
            return self.most
        is_body = self.takes is bytes and self.takes_type == "application/json"  # of a message, as it is
        return max_message_size if is_body else MOST + max_message_size * 4 // 3  # in base64, or with others

    @property
    def parameters(self) -> list[str]:
        """The names in the path."""
        return PARAMETER.findall(self.path)

    @property
    def refusals(self) -> list[int]:
        """The statuses of what it may refuse."""
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
