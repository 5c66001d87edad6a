"""Operation: one thing that can be asked, declared once: the router, the checks and the OpenAPI description read it."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from leveret.api.access import Access
from leveret.api.request import Request

Handler = Callable[[Request], Awaitable[Any]]
"""What it returns becomes JSON with a 200, unless it is an Answer or a Listing. Raises: ApiError."""

PARAMETER = re.compile(r"\{(\w+)\}")
LISTING = ("page", "page_size", "name", "use_regex", "sort", "sort_reverse", "columns", "pagination")
COLUMNS = ("columns",)
SAMPLES = tuple(
    f"{kind}_{what}" for kind in ("lengths", "msg_rates", "data_rates", "node_stats") for what in ("age", "incr")
)


@dataclass(frozen=True)
class Operation:
    """method, path: with names in braces, below /api. summary: one sentence for people.

    answers: the shape of the answer, None for none. takes: that of the body. query: names of parameters it looks at.
    statuses: those of success.
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

    @property
    def parameters(self) -> list[str]:
        """The names in the path."""
        return PARAMETER.findall(self.path)
