"""Listing: answers with many items, filtered, sorted, paged and reduced to the requested columns.

Source: rabbit_mgmt_util.erl reply_list_or_paginate, augment_resources.
"""

from __future__ import annotations

import contextlib
import heapq
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from leveret.api.encoding import encode, plain
from leveret.api.errors import ApiError
from leveret.api.query import Query
from leveret.api.turns import Turns
from leveret.core.errors.administration import InvalidError
from leveret.core.policy.matching import Matcher, Patience
from leveret.core.policy.patterns import compile_pattern

RUN = 500  # items that are sorted in one step
CHUNK = 64 << 10  # bytes of one chunk of an answer
Key = tuple[int, Any]


@dataclass
class Listing:
    """Items of one kind. items: iterated with pauses, so a long walk must be a generator over copies of whatever may
    change meanwhile. view: the JSON object of an item; None if the item no longer exists. name: an item's name, for
    filters. order: sort key; None keeps the given order. quick: columns that are cheap to compute, for lists sorted by
    them.
    """

    items: Iterable[Any]
    view: Callable[[Any], Any]
    name: Callable[[Any], str]
    order: Callable[[Any], Any] | None = None
    quick: Mapping[str, Callable[[Any], Any]] = field(default_factory=dict)


class Page(msgspec.Struct):
    """One page of a list."""

    filtered_count: int
    item_count: int
    items: list[msgspec.Raw]
    page: int
    page_count: int
    page_size: int
    total_count: int


def pick(item: Any, columns: list[list[str]]) -> Any:
    """An item reduced to these columns. Source: rabbit_mgmt_util.erl columns."""
    if not columns:
        return item
    whole = item if isinstance(item, dict) else plain(item)
    found: dict[str, Any] = {}
    deeper: dict[str, list[list[str]]] = {}
    for first, *rest in columns:
        if first not in whole:
            continue
        if rest and isinstance(whole[first], dict):
            deeper.setdefault(first, []).append(rest)
        else:
            found[first] = whole[first]
    for name, rests in deeper.items():
        if name not in found:
            found[name] = pick(whole[name], rests)
    return found


def sort_key(item: Any, path: list[str]) -> Key:
    """The sort key of an item: missing values first, then numbers, strings, and all others by their text."""
    value: Any = item if isinstance(item, dict) else plain(item)
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    if value is None:
        return (0, 0)
    if isinstance(value, int | float):
        return (1, value)
    return (2, value) if isinstance(value, str) else (3, str(value))


async def _gathered(listing: Listing, turns: Turns) -> list[Any]:
    """The items in their order, with pauses."""
    order = listing.order
    if order is not None:
        return await _sorted(listing.items, order, False, turns)
    items = []
    for item in listing.items:
        items.append(item)
        await turns.rest()
    return items


async def _sorted(items: Iterable[Any], order: Callable[[Any], Any], is_reversed: bool, turns: Turns) -> list[Any]:
    """The items sorted by key, with pauses. Leaves out items whose key is None."""
    runs: list[list[tuple[Any, Any]]] = [[]]
    for item in items:
        key = order(item)
        if key is not None:
            runs[-1].append((key, item))
            if len(runs[-1]) >= RUN:
                runs[-1].sort(key=_key, reverse=is_reversed)
                runs.append([])
        await turns.rest()
    runs[-1].sort(key=_key, reverse=is_reversed)
    found: list[Any] = []
    for _, item in heapq.merge(*map(_taken, runs), key=_key, reverse=is_reversed):
        found.append(item)
        await turns.rest()
    return found


def _key(pair: tuple[Any, Any]) -> Any:
    return pair[0]


def _taken(run: list[tuple[Any, Any]]) -> Iterator[tuple[Any, Any]]:
    """Yield and release the items one by one: releasing all of them at once takes long."""
    run.reverse()
    while run:
        yield run.pop()


async def _filtered(listing: Listing, items: list[Any], query: Query, matcher: Matcher, turns: Turns) -> list[Any]:
    """The items whose names match the filter; none if the regular expression is not valid, as with RabbitMQ."""
    wanted = query.text("name")
    if not wanted:
        return items
    if query.flag("use_regex"):
        try:
            pattern = compile_pattern(wanted)
        except InvalidError:
            return []
        patience = Patience()
    else:
        pattern = None
    found = []
    for item in items:
        name = listing.name(item)
        if pattern is None:
            is_wanted = wanted.lower() in name.lower()
        else:
            is_wanted = matcher.is_in(pattern, name, "a filter", patience)
        if is_wanted:
            found.append(item)
        await turns.rest()
    return found


async def chunks(listing: Listing, query: Query, matcher: Matcher, turns: Turns) -> AsyncGenerator[bytes]:
    """The answer in pieces. Raises: ApiError 400, 503 before the first piece."""
    place = turns.lists.take()
    if place is None:
        raise ApiError(503, "busy", "too many lists are being sent; try again", {"Retry-After": "1"})
    try:
        async with contextlib.aclosing(_chunks(listing, query, matcher, turns)) as pieces:
            async for piece in pieces:
                yield piece
    finally:
        turns.lists.give(place)


async def _chunks(listing: Listing, query: Query, matcher: Matcher, turns: Turns) -> AsyncGenerator[bytes]:
    page, columns, sort = query.page, query.columns, query.text("sort")
    async with turns.few, turns:
        everything = await _gathered(listing, turns)
        items = everything if page is None else await _filtered(listing, everything, query, matcher, turns)
        if sort:
            path, quick = sort.split("."), listing.quick.get(sort)

            def order(item: Any) -> Key | None:
                told = listing.view(item) if quick is None else {sort: quick(item)}
                return None if told is None else sort_key(told, path)

            items = await _sorted(items, order, query.flag("sort_reverse"), turns)
        elif query.flag("sort_reverse"):
            items.reverse()
    if page is not None:
        yield await _page(listing, len(everything), items, page, query.page_size, columns, turns)
        return
    out = bytearray(b"[")
    separator = b""
    at = 0
    while at < len(items):
        async with turns:
            while at < len(items) and len(out) < CHUNK:
                told = listing.view(items[at])
                at += 1
                if told is not None:
                    out += separator + encode(pick(told, columns))
                    separator = b","
                await turns.rest()
        yield bytes(out)
        out.clear()
    yield bytes(out) + b"]"


async def _page(
    listing: Listing, total: int, items: list[Any], page: int, size: int, columns: list[list[str]], turns: Turns
) -> bytes:
    """One page. Raises: ApiError 400 for a page after the last."""
    count = max((len(items) + size - 1) // size, 1)
    if page > count:
        text = f"Page out of range, page: {page} page size: {size}, len: {len(items)}"
        raise ApiError(400, "page_out_of_range", text)
    told: list[msgspec.Raw] = []
    async with turns:
        for item in items[(page - 1) * size : page * size]:
            view = listing.view(item)
            if view is not None:
                told.append(msgspec.Raw(encode(pick(view, columns))))
            await turns.rest()
    return encode(Page(len(items), len(told), told, page, count, size, total))
