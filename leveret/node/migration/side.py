"""Side: one of the two brokers of a migration, by its HTTP API and its AMQP port, whichever kind it is of."""

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
    """A broker does not answer, or does not do what is asked; the text says why. is_gone: the former."""

    def __init__(self, text: str, is_gone: bool = False) -> None:
        super().__init__(text)
        self.is_gone = is_gone


class Side(ABC):
    """A running broker. shown: how people call it. place: the same for whoever reaches it in the same way.

    is_here: it is reached by its control socket. product, version: what it says that it is. user: that its AMQP port
    sees.
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
        """Whether it is a Leveret; everything else is taken for a RabbitMQ."""
        return self.product == LEVERET

    @property
    def title(self) -> str:
        """For people: what it is, and where."""
        return f"{self.product} {self.version} at {self.shown}"

    def look(self) -> None:
        """Find out what it is. Raises: SideError."""
        overview = self.get("/overview")
        if not isinstance(overview, dict) or "node" not in overview:
            raise SideError(f"what answers at {self.shown} is no HTTP API of a broker; check the URL")
        self.overview = overview
        self.product = str(self.overview.get("product_name", "RabbitMQ"))
        self.version = str(self.overview.get("product_version") or self.overview.get("rabbitmq_version", ""))

    @abstractmethod
    def ask(
        self, method: str, path: str, query: Mapping[str, str] | None = None, body: object = None
    ) -> tuple[int, Any]:
        """Ask an operation of the HTTP API, below /api. Returns: the status, and what came. Raises: SideError."""

    @abstractmethod
    def do(self, verb: str, arguments: dict[str, object]) -> Any:
        """Do a verb of administration, of a Leveret. Raises: SideError."""

    @abstractmethod
    def dial(self, vhost: str, between: Callable[[], None]) -> AmqpClient:
        """A connection to its AMQP port. Raises: AmqpError."""

    @abstractmethod
    def close(self) -> None:
        """Ask no more."""

    def get(self, path: str, query: Mapping[str, str] | None = None) -> Any:
        """What there is at a path. Raises: SideError."""
        status, content = self.ask("GET", path, query)
        if status >= 300:
            raise SideError(refusal(self, status, content))
        return content

    def find(self, path: str, query: Mapping[str, str] | None = None) -> Any:
        """What there is at a path; None for nothing. Raises: SideError."""
        status, content = self.ask("GET", path, query)
        if status == 404:
            return None
        if status >= 300:
            raise SideError(refusal(self, status, content))
        return content

    def items(self, path: str, columns: str) -> Iterator[dict[str, Any]]:
        """A list, page by page. Raises: SideError."""
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
    """Why a broker does not do what is asked."""
    reason = ""
    if isinstance(content, dict):
        reason = str(content.get("reason") or content.get("error") or "")
    if status == 401:
        return f"{side.shown} does not let the user do this{f': {reason}' if reason else ''}; an administrator may"
    return f"{side.shown} answers with status {status}{f': {reason}' if reason else ''}"


def path(*parts: str) -> str:
    """A path of the API: words, and names as they stand in paths."""
    return "".join(f"/{quote(part, safe='', errors='surrogateescape')}" for part in parts)
