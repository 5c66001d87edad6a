"""Side: one of the two brokers of a migration, RabbitMQ or Leveret, with its HTTP API and AMQP port."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import quote

from leveret.node.amqp import AmqpClient

LEVERET: Final = "Leveret"
PAGE: Final = 500  # of a list
HEARTBEAT_S: Final = 30


class SideError(Exception):
    """A broker refused a request, or does not answer (is_gone). The text says why."""

    def __init__(self, text: str, is_gone: bool = False) -> None:
        super().__init__(text)
        self.is_gone = is_gone


class Side(ABC):
    """A running broker. shown: its name in output. place: identifies it in the journal.

    is_here: it is reached through its control socket. product, version: as it reports. user: of the AMQP connection.
    """

    is_here = False

    def __init__(self, shown: str, place: str, user: str) -> None:
        self.shown = shown
        self.place = place
        self.user = user
        self.product = ""
        self.version = ""
        self.overview: dict[str, Any] = {}

    @property
    def is_leveret(self) -> bool:
        """Whether it is Leveret; everything else is treated as RabbitMQ."""
        return self.product == LEVERET

    @property
    def title(self) -> str:
        """Product, version and address, for output."""
        return f"{self.product} {self.version} at {self.shown}"

    def look(self) -> None:
        """Read product and version. Raises: SideError."""
        overview = self.get("/overview")
        if not isinstance(overview, dict) or "node" not in overview:
            raise SideError(f"{self.shown} is not the HTTP API of a broker; check the URL")
        self.overview = overview
        self.product = str(self.overview.get("product_name", "RabbitMQ"))
        self.version = str(self.overview.get("product_version") or self.overview.get("rabbitmq_version", ""))

    @abstractmethod
    def ask(
        self, method: str, path: str, query: Mapping[str, str] | None = None, body: object = None
    ) -> tuple[int, Any]:
        """Call an operation of the HTTP API. path: below /api. Returns: status and content. Raises: SideError."""

    @abstractmethod
    def do(self, verb: str, arguments: dict[str, object]) -> Any:
        """Perform an administration verb; only for Leveret. Raises: SideError."""

    @abstractmethod
    def dial(self, vhost: str, between: Callable[[], None]) -> AmqpClient:
        """Open an AMQP connection. Raises: AmqpError."""

    @abstractmethod
    def close(self) -> None:
        """Close the connection."""

    def get(self, path: str, query: Mapping[str, str] | None = None) -> Any:
        """GET a path. Raises: SideError."""
        status, content = self.ask("GET", path, query)
        if status >= 300:
            raise SideError(refusal(self, status, content))
        return content

    def find(self, path: str, query: Mapping[str, str] | None = None) -> Any:
        """GET a path; None for status 404. Raises: SideError."""
        status, content = self.ask("GET", path, query)
        if status == 404:
            return None
        if status >= 300:
            raise SideError(refusal(self, status, content))
        return content

    def items(self, path: str, columns: str) -> Iterator[dict[str, Any]]:
        """The items of a list, read page by page. Raises: SideError."""
        number = 1
        while True:
            query = {"page": str(number), "page_size": str(PAGE), "columns": columns, "pagination": "true"}
            page = self.get(path, query)
            if isinstance(page, list):
                yield from page
                return
            yield from page["items"]
            if number >= page["page_count"]:
                return
            number += 1


def refusal(side: Side, status: int, content: Any) -> str:
    """The reason of a failed request."""
    reason = ""
    if isinstance(content, dict):
        reason = str(content.get("reason") or content.get("error") or "")
    if status == 401:
        return f"{side.shown} denied access{f': {reason}' if reason else ''}; this requires an administrator"
    return f"{side.shown} answered with status {status}{f': {reason}' if reason else ''}"


def path(*parts: str) -> str:
    """A path of the API from unescaped parts."""
    return "".join(f"/{quote(part, safe='', errors='surrogateescape')}" for part in parts)
