"""Criteria: conditions that messages must meet. All of them must hold."""

from __future__ import annotations

import asyncio
import importlib
import operator
from collections.abc import Callable
from typing import Any, Final, Literal

import msgspec

from leveret.api.errors import bad_request
from leveret.api.searching.candidate import MAX_JSON, NO_JSON, Candidate
from leveret.core.errors.administration import InvalidError
from leveret.core.policy.patterns import FOUND, UNDECIDED, Pattern, compile_pattern

MOST: Final = 50  # maximum conditions
JSON: Final = "json:"
PATHS: Final = "leveret.api.searching.paths"
HEADERS: Final = "headers."
WINDOW: Final = 4 << 10  # bytes of text that a pattern searches in one step: more would take too long
OVERLAP: Final = 1 << 10  # bytes that two windows share, so that shorter matches are found in one of them
FEW_PATHS: Final = 4  # so many paths are read faster than the whole body is decoded
MATCHED: Final = 256 << 10  # bytes of a text that are searched

Operator = Literal["=", "!=", "<", "<=", ">", ">=", "contains", "matches", "exists", "missing"]
Value = str | int | float | bool | None
Check = Callable[[Candidate], bool]
Reader = Callable[[Candidate], list[Any]]

PROPERTIES: Final = {
    "content_type": "content_type",
    "content_encoding": "content_encoding",
    "delivery_mode": "delivery_mode",
    "priority": "priority",
    "correlation_id": "correlation_id",
    "reply_to": "reply_to",
    "expiration": "expiration",
    "message_id": "message_id",
    "timestamp": "timestamp",
    "type": "message_type",
    "user_id": "user_id",
    "app_id": "app_id",
}
COMPARE: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "=": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class Condition(msgspec.Struct, kw_only=True):
    """A condition on messages.

    field: id, size (bytes of the body), age (seconds since the broker accepted the message), redelivered, exchange,
    routing_key, body, a property (message_id, content_type and so on), headers.NAME, json:PATH (in the body, for
    example json:$.order.id), death.reason, death.queue or death.exchange (of the latest death), or redriven (how often
    it was sent back).
    op: compares the field with value. contains: the text has this part. matches: a regular expression is found in it.
    exists, missing: whether the message has the field. If the field has several values, as a path with * may, one match
    is enough. A missing field equals no value.
    """

    field: str
    op: Operator = "="
    value: Value = None


async def prepare(conditions: list[Condition]) -> None:
    """Await this before making Criteria: loads the code for JSON paths in a thread, which takes a tenth of a second."""
    if any(condition.field.startswith(JSON) for condition in conditions):
        await asyncio.to_thread(importlib.import_module, PATHS)


class Criteria:
    """The criteria of one search. fits: whether a message meets them; checks cheap conditions first.

    has_few_paths: whether a body is read once for each path, instead of decoded as a whole. undecided: number of
    messages that count as not matching because a pattern took too many steps. wall_ms: the current Clock.wall_ms, for
    ages.

    Raises: ApiError 400.
    """

    def __init__(self, conditions: list[Condition], wall_ms: int) -> None:
        if len(conditions) > MOST:
            raise bad_request(f"where: may have at most {MOST} conditions")
        self.undecided = 0
        self.has_few_paths = sum(each.field.startswith(JSON) for each in conditions) <= FEW_PATHS
        ordered = sorted(conditions, key=_cost)
        checks = [_make(each, wall_ms, self) for each in ordered]
        self.fits: Check = checks[0] if len(checks) == 1 else lambda candidate: all(c(candidate) for c in checks)

    def matches(self, pattern: Pattern, value: Any) -> bool:
        """Whether a pattern is found in a text."""
        data = value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value
        if not isinstance(data, bytes):
            return False
        is_decided = True
        for at in range(0, max(min(len(data), MATCHED) - OVERLAP, 1), WINDOW - OVERLAP):
            found = pattern.search_patiently(data[at : at + WINDOW])
            if found == FOUND:
                return True
            is_decided = is_decided and found != UNDECIDED
        self.undecided += not is_decided
        return False


def _cost(condition: Condition) -> int:
    field = condition.field
    if field.startswith(JSON):
        return 3
    if field == "body":
        return 2
    return 1 if field in PROPERTIES or field.startswith((HEADERS, "death.", "redriven")) else 0


def _make(condition: Condition, wall_ms: int, criteria: Criteria) -> Check:
    read, op, value = _reader(condition.field, wall_ms, criteria), condition.op, condition.value
    if op == "exists":
        return lambda candidate: bool(read(candidate))
    if op == "missing":
        return lambda candidate: not read(candidate)
    if op == "matches":
        if not isinstance(value, str):
            raise bad_request(f"where: {condition.field[:60]} matches: the value must be a pattern")
        try:
            pattern = compile_pattern(value)
        except InvalidError as error:
            raise bad_request(f"where: {error}") from None
        return lambda candidate: any(criteria.matches(pattern, each) for each in read(candidate))
    if op == "contains":
        if not isinstance(value, str) or not value:
            raise bad_request(f"where: {condition.field[:60]} contains: the value must be a non-empty text")
        raw, text = value.encode("utf-8", "surrogateescape"), value
        if condition.field == "body":
            return lambda candidate: raw in candidate.body
        return lambda candidate: any(text in each for each in read(candidate) if isinstance(each, str))
    if condition.field == "body":
        if not isinstance(value, str):
            raise bad_request("where: body: the value must be a text")
        value = value.encode("utf-8", "surrogateescape")  # type: ignore[assignment]
    if op == "!=":
        return lambda candidate: not any(_is_equal(each, value) for each in read(candidate))
    if op == "=":
        return lambda candidate: any(_is_equal(each, value) for each in read(candidate))
    compare = COMPARE[op]
    return lambda candidate: any(_is_alike(each, value) and compare(each, value) for each in read(candidate))


def _is_equal(one: Any, other: Any) -> bool:
    """Whether two values are equal; true does not equal 1."""
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)


def _is_alike(one: Any, other: Any) -> bool:
    """Whether two values can be ordered."""
    if isinstance(one, bool) or isinstance(other, bool):
        return False
    if isinstance(one, int | float):
        return isinstance(other, int | float)
    return type(one) is type(other) and isinstance(one, str | bytes)


def _reader(field: str, wall_ms: int, criteria: Criteria) -> Reader:
    """A function that returns the values of a field. Raises: ApiError 400."""
    if field in PROPERTIES:
        name = PROPERTIES[field]
        return lambda candidate: _some(getattr(candidate.properties, name))
    if field.startswith(JSON):
        return _json_reader(field.removeprefix(JSON), criteria.has_few_paths)
    if field.startswith(HEADERS):
        header = field.removeprefix(HEADERS)
        return lambda candidate: _in_headers(candidate.headers, header)
    plain: dict[str, Reader] = {
        "id": lambda candidate: [candidate.id],
        "size": lambda candidate: [int(candidate.entry.message.size)],
        "age": lambda candidate: _age(candidate, wall_ms),
        "redelivered": lambda candidate: [candidate.entry.redelivered],
        "exchange": lambda candidate: [candidate.entry.message.address.exchange],
        "routing_key": lambda candidate: [candidate.entry.message.address.routing_key],
        "body": lambda candidate: [candidate.body],
        "death.reason": lambda candidate: [origin.reason] if (origin := candidate.origin) else [],
        "death.queue": lambda candidate: [origin.queue] if (origin := candidate.origin) else [],
        "death.exchange": lambda candidate: [origin.exchange] if (origin := candidate.origin) else [],
        "redriven": lambda candidate: [origin.redriven] if (origin := candidate.origin) else [],
    }
    if field not in plain:
        known = ", ".join([*plain, *PROPERTIES, f"{HEADERS}NAME", f"{JSON}PATH"])
        raise bad_request(f"where: unknown field {field[:60]!r}; the fields are {known}")
    return plain[field]


def _json_reader(text: str, is_one_of_few: bool) -> Reader:
    from leveret.api.searching.paths import Path, PathError  # loaded by prepare()

    try:
        path = Path(text)
    except PathError as error:
        raise bad_request(f"where: {error}") from None
    if is_one_of_few:
        return lambda candidate: path.read(candidate.body) if candidate.entry.message.size <= MAX_JSON else []
    return lambda candidate: path.find(candidate.json) if candidate.json is not NO_JSON else []


def _some(value: Any) -> list[Any]:
    return [] if value is None else [value]


def _in_headers(headers: dict[str, Any], name: str) -> list[Any]:
    """The header with this name; if there is none, a field inside a header, as in a.b."""
    if name in headers:
        return [headers[name]]
    outer, dot, inner = name.partition(".")
    value = headers.get(outer)
    return _in_headers(value, inner) if dot and isinstance(value, dict) else []


def _age(candidate: Candidate, wall_ms: int) -> list[Any]:
    arrived_ms = candidate.entry.message.arrived_ms
    return [(wall_ms - int(arrived_ms)) / 1000] if arrived_ms else []
