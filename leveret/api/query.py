"""Query: the query parameters of a request, with their limits."""

from __future__ import annotations

from collections.abc import Mapping

from leveret.api.errors import ApiError, bad_request

MAX_PAGE_SIZE = 500
DEFAULT_PAGE_SIZE = 100
MAX_AGE_S = 86_400
MAX_SAMPLES = 1_000  # samples of one number in one answer
MAX_COLUMNS = 200
MAX_TEXT = 1_000  # characters of a filter


class Span:
    """The range of samples: age_s, how far back; step_s, interval between two; both in seconds."""

    def __init__(self, age_s: int, step_s: int) -> None:
        self.age_s = age_s
        self.step_s = step_s


class Query:
    """The query parameters of one request. Reading one that is not valid raises ApiError 400."""

    def __init__(self, given: Mapping[str, str]) -> None:
        self._given = given

    def text(self, name: str) -> str:
        """A text parameter, empty if missing."""
        found = self._given.get(name, "")
        if len(found) > MAX_TEXT:
            raise bad_request(f"{name} may have at most {MAX_TEXT} characters")
        return found

    def flag(self, name: str, default: bool = False) -> bool:
        """A boolean parameter: true, 1, yes and an empty value are true."""
        found = self._given.get(name)
        return default if found is None else found.lower() in ("true", "1", "yes", "")

    def number(self, name: str) -> int | None:
        """A non-negative integer, None if missing."""
        found = self._given.get(name)
        if found is None or found == "":
            return None
        if not found.isascii() or not found.isdigit() or len(found) > 9:
            raise bad_request(f"{name} must be a whole number, not {found[:40]!r}")
        return int(found)

    def span(self, kind: str) -> Span | None:
        """The range in KIND_age and KIND_incr, None without them. kind: lengths, msg_rates, data_rates, node_stats."""
        age_s, step_s = self.number(f"{kind}_age"), self.number(f"{kind}_incr")
        if not age_s or not step_s:
            return None
        if age_s > MAX_AGE_S or age_s // step_s > MAX_SAMPLES:
            raise bad_request(f"{kind}_age may be at most {MAX_AGE_S} seconds, and {MAX_SAMPLES} times {kind}_incr")
        return Span(age_s, step_s)

    @property
    def columns(self) -> list[list[str]]:
        """The paths of the requested fields, empty for all fields."""
        text = self._given.get("columns", "")
        columns = [column.split(".") for column in text.split(",") if column]
        if len(columns) > MAX_COLUMNS:
            raise bad_request(f"columns may have at most {MAX_COLUMNS} names")
        return columns

    @property
    def page(self) -> int | None:
        """The requested page of a list, from 1; None for the whole list."""
        if "page" not in self._given:
            return None
        try:
            page = self.number("page")
            size = self.number("page_size")
        except ApiError:
            raise bad_request("Pagination parameters are invalid") from None
        if not page or (size is not None and not 1 <= size <= MAX_PAGE_SIZE):
            shown = "undefined" if size is None else size
            text = f"Invalid pagination parameters: page number {page or 0}, page size {shown}"
            raise ApiError(400, "invalid_pagination_parameters", text)
        return page

    @property
    def page_size(self) -> int:
        """Items per page."""
        return self.number("page_size") or DEFAULT_PAGE_SIZE
