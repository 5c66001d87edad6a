"""Paths into JSON, as RFC 9535 writes them: names, numbers of items, and * for all of them.

Filters and descents (..) are refused: what they cost may grow faster than the body.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jsonpath import JSONPathSyntaxError, compile
from jsonpath.exceptions import JSONPathError
from jsonpath.path import JSONPath
from jsonpath.segments import JSONPathChildSegment
from jsonpath.selectors import IndexSelector, NameSelector, WildcardSelector

Step = str | int | None  # a name, the number of an item, or all


class PathError(ValueError):
    """It is no path that can be used; the text says why."""


def compile_path(text: str) -> Callable[[Any], list[Any]]:
    """What finds the values at a path. Raises: PathError."""
    try:
        path = compile(text)
    except (JSONPathSyntaxError, JSONPathError) as error:
        raise PathError(f"{text[:60]!r} is not a JSON path: {error}".splitlines()[0]) from None
    if not isinstance(path, JSONPath):
        raise PathError(f"{text[:60]!r} is more than one JSON path")
    steps = [_step(segment, text) for segment in path.segments]
    return lambda value: _find(value, steps)


def _step(segment: Any, text: str) -> Step:
    if isinstance(segment, JSONPathChildSegment) and len(segment.selectors) == 1:
        selector = segment.selectors[0]
        if isinstance(selector, NameSelector):
            return selector.name
        if isinstance(selector, IndexSelector):
            return selector.index
        if isinstance(selector, WildcardSelector):
            return None
    raise PathError(f"{text[:60]!r}: a path has names, numbers and *, as in $.order.lines[*].sku")


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
