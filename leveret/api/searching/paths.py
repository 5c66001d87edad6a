"""JSON paths, as in RFC 9535: names, indexes of items, and * for all items.

Filters and descents (..) are refused: their cost may grow faster than the body.

Reading a body for a path skips everything off the path: for a message of 1 KiB this takes a seventh of the time of
decoding it as a whole.
"""

from __future__ import annotations

import itertools
from typing import Any, Final

import msgspec
from jsonpath import JSONPathSyntaxError, compile
from jsonpath.exceptions import JSONPathError
from jsonpath.path import JSONPath
from jsonpath.segments import JSONPathChildSegment
from jsonpath.selectors import IndexSelector, NameSelector, WildcardSelector

Step = str | int | None  # a name, the index of an item, or None for all items

MOST_FIELDS: Final = 3  # leading names of a path for which types are made: each takes some time
UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class PathError(ValueError):
    """The path cannot be used; the text says why."""


class Path:
    """A JSON path. Raises: PathError."""

    def __init__(self, text: str) -> None:
        try:
            path = compile(text)
        except (JSONPathSyntaxError, JSONPathError) as error:
            raise PathError(f"{text[:60]!r} is not a JSON path: {error}".splitlines()[0]) from None
        if not isinstance(path, JSONPath):
            raise PathError(f"{text[:60]!r} is more than one JSON path")
        self._steps = [_step(segment, text) for segment in path.segments]
        names = list(itertools.takewhile(_is_field, self._steps[:MOST_FIELDS]))
        kind: Any = Any
        for name in reversed(names):
            inner = kind if kind is Any else kind | msgspec.UnsetType
            kind = msgspec.defstruct("Object", [("value", inner, msgspec.UNSET)], rename={"value": str(name)})
        self._decode = msgspec.json.Decoder(kind).decode
        self._fields = range(len(names))
        self._rest = self._steps[len(names) :]

    def find(self, value: Any) -> list[Any]:
        """The values at this path in decoded JSON."""
        return _find(value, self._steps)

    def read(self, body: bytes) -> list[Any]:
        """The values at this path in a body; none if it is not JSON."""
        try:
            value: Any = self._decode(body)
        except UNREADABLE:
            return []
        for _ in self._fields:
            value = value.value
            if value is msgspec.UNSET:
                return []
        return _find(value, self._rest) if self._rest else [value]


def _is_field(step: Step) -> bool:
    """Whether msgspec accepts the step as the name of a field."""
    return isinstance(step, str) and '"' not in step and "\\" not in step and step.isprintable()


def _step(segment: Any, text: str) -> Step:
    if isinstance(segment, JSONPathChildSegment) and len(segment.selectors) == 1:
        selector = segment.selectors[0]
        if isinstance(selector, NameSelector):
            return selector.name
        if isinstance(selector, IndexSelector):
            return selector.index
        if isinstance(selector, WildcardSelector):
            return None
    raise PathError(f"{text[:60]!r}: a path may have names, indexes and *, as in $.order.lines[*].sku")


def _find(value: Any, steps: list[Step]) -> list[Any]:
    found = [value]
    for step in steps:
        if step is None:
            found = [item for each in found for item in _items(each)]
        elif isinstance(step, str):
            found = [each[step] for each in found if isinstance(each, dict) and step in each]
        else:
            found = [each[step] for each in found if isinstance(each, list) and -len(each) <= step < len(each)]
        if not found:
            break
    return found


def _items(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []
