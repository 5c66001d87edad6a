"""Lists: filters, order, pages and columns, against an implementation that does not care how long it takes."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leveret.api import listing as listing_module
from leveret.api.errors import ApiError
from leveret.api.listing import CHUNK, Listing, chunks, pick
from leveret.api.query import DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE, Query
from leveret.api.turns import Turns
from leveret.core.policy.matching import Matcher


class Inner(msgspec.Struct):
    """Something inside."""

    rate: float


class Item(msgspec.Struct):
    """What a list is of."""

    name: str
    size: int | None
    details: Inner
    arguments: dict[str, Any]


def body_of(items: list[Item], **parameters: str) -> bytes:
    """The whole answer. Raises: ApiError."""

    async def collect() -> bytes:
        listing = Listing(items, lambda item: item, lambda item: item.name)
        pieces = chunks(listing, Query(parameters), Matcher(print), Turns())
        return b"".join([piece async for piece in pieces])

    return asyncio.run(collect())


def answer(items: list[Item], **parameters: str) -> Any:
    """The whole answer, read."""
    return json.loads(body_of(items, **parameters))


def items_of(*sizes: int | None) -> list[Item]:
    """Items with these sizes, named by their places."""
    return [Item(f"item {at}", size, Inner(at / 2), {"x": {"deep": at}}) for at, size in enumerate(sizes)]


NAMES = st.text(st.sampled_from("abAB.*( é"), max_size=4)
ITEMS = st.lists(
    st.builds(
        Item,
        name=NAMES,
        size=st.none() | st.integers(-3, 3),
        details=st.builds(Inner, rate=st.sampled_from([0.0, 0.5, 2.0])),
        arguments=st.dictionaries(st.sampled_from(["x", "y"]), st.integers(0, 3) | st.text("ab", max_size=2)),
    ),
    max_size=30,
)
SORTS = st.sampled_from(["", "name", "size", "details.rate", "arguments.x", "arguments", "nothing", "name.nothing"])


def rank(item: dict[str, Any], sort: str) -> tuple[int, Any]:
    """Nothing, then numbers, then texts, then the rest."""
    value: Any = item
    for name in sort.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    if value is None:
        return 0, 0
    if isinstance(value, int | float):
        return 1, value
    return (2, value) if isinstance(value, str) else (3, str(value))


def expected_items(items: list[Item], parameters: dict[str, str]) -> list[dict[str, Any]]:
    """What is in the list, in its order, before it is cut into pages."""
    found: list[dict[str, Any]] = [msgspec.to_builtins(item) for item in items]
    wanted = parameters.get("name", "")
    if "page" in parameters and wanted:
        if parameters.get("use_regex") == "true":
            try:
                found = [item for item in found if re.search(wanted, item["name"])]
            except re.error:
                found = []
        else:
            found = [item for item in found if wanted.lower() in item["name"].lower()]
    is_reversed = parameters.get("sort_reverse") == "true"
    if parameters.get("sort"):
        return sorted(found, key=lambda item: rank(item, parameters["sort"]), reverse=is_reversed)
    return found[::-1] if is_reversed else found


@given(ITEMS, SORTS, st.booleans(), NAMES, st.booleans(), st.integers(1, 5), st.integers(1, 12))
def test_a_page_is_a_part_of_what_is_filtered_and_sorted(
    items: list[Item], sort: str, is_reversed: bool, name: str, is_pattern: bool, page: int, size: int
) -> None:
    parameters = {"page": str(page), "page_size": str(size), "name": name, "sort": sort}
    parameters |= {"sort_reverse": str(is_reversed).lower(), "use_regex": str(is_pattern).lower()}
    expected = expected_items(items, parameters)
    count = max(-(-len(expected) // size), 1)
    if page > count:
        with pytest.raises(ApiError) as caught:
            answer(items, **parameters)
        assert (caught.value.status, caught.value.error) == (400, "page_out_of_range")
        return
    cut = expected[(page - 1) * size : page * size]
    assert answer(items, **parameters) == {
        "items": cut,
        "item_count": len(cut),
        "filtered_count": len(expected),
        "total_count": len(items),
        "page": page,
        "page_count": count,
        "page_size": size,
    }


@given(ITEMS, SORTS, st.booleans())
def test_a_list_without_pages_is_whole(items: list[Item], sort: str, is_reversed: bool) -> None:
    parameters = {"sort": sort, "sort_reverse": str(is_reversed).lower(), "name": "a"}
    assert answer(items, **parameters) == expected_items(items, parameters)


def test_many_are_sorted_in_runs_and_sent_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing_module, "RUN", 7)
    items = items_of(*((at * 7_919) % 1_000 for at in range(1_000)))
    parameters = {"sort": "size"}
    assert answer(items, **parameters) == expected_items(items, parameters)
    assert len(body_of(items)) > CHUNK


def test_what_is_gone_by_now_is_left_out() -> None:
    async def collect(**parameters: str) -> bytes:
        listing = Listing([1, 2, 3], lambda item: None if item == 2 else {"n": item}, str)
        return b"".join([piece async for piece in chunks(listing, Query(parameters), Matcher(print), Turns())])

    assert json.loads(asyncio.run(collect())) == [{"n": 1}, {"n": 3}]
    assert json.loads(asyncio.run(collect(sort="n", sort_reverse="true"))) == [{"n": 3}, {"n": 1}]
    assert json.loads(asyncio.run(collect(page="1")))["items"] == [{"n": 1}, {"n": 3}]


def test_pages_have_bounds() -> None:
    items = items_of(*range(3))
    assert answer(items, page="1")["page_size"] == DEFAULT_PAGE_SIZE
    assert answer(items, page="1", page_size=str(MAX_PAGE_SIZE))["page_size"] == MAX_PAGE_SIZE
    for wrong in ({"page": "0"}, {"page": "1", "page_size": "0"}, {"page": "1", "page_size": str(MAX_PAGE_SIZE + 1)}):
        with pytest.raises(ApiError) as caught:
            answer(items, **wrong)
        assert (caught.value.status, caught.value.error) == (400, "invalid_pagination_parameters")
    for wrong in (
        {"page": "x"},
        {"page": "-1"},
        {"page": "1", "page_size": "x"},
        {"page": "1e9"},
        {"page": "9" * 5_000},
    ):
        with pytest.raises(ApiError) as caught:
            answer(items, **wrong)
        assert (caught.value.status, caught.value.error) == (400, "bad_request")


def test_a_pattern_that_takes_forever_finds_nothing() -> None:
    items = [Item("a" * 200 + "!", 1, Inner(0.0), {}) for _ in range(30)]
    assert answer(items, page="1", name="^(a+)+$", use_regex="true")["filtered_count"] == 0


KEYS = st.sampled_from(["a", "b", "c"])
TREES = st.recursive(
    st.integers(0, 9) | st.none() | st.lists(st.integers(0, 3), max_size=2),
    lambda inner: st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)


def leaves(value: Any, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    """All values by their paths; an object that is empty is one."""
    if isinstance(value, dict) and value:
        return {key: each for name, inner in value.items() for key, each in leaves(inner, (*path, name)).items()}
    return {path: value}


@given(st.dictionaries(KEYS, TREES, max_size=3), st.lists(st.lists(KEYS, min_size=1, max_size=3), max_size=4))
def test_columns_pick_paths_and_nothing_else(item: dict[str, Any], columns: list[list[str]]) -> None:
    found = pick(item, columns)
    if not columns:
        assert found == item
        return
    everything, picked = leaves(item), leaves(found)
    for path, value in everything.items():
        # what ends before the column does is there as well: a number has nothing inside
        if path and any(list(path[: len(column)]) == column[: len(path)] for column in columns):
            assert picked.get(path) == value
    for path in picked:
        assert any(list(path[: len(column)]) == column[: len(path)] for column in columns) or path == ()


def test_columns_of_structures() -> None:
    (item,) = items_of(7)
    assert pick(item, [["name"], ["details", "rate"], ["nothing"]]) == {"name": "item 0", "details": {"rate": 0.0}}
    assert pick(item, [["arguments", "x", "deep"], ["arguments", "y"]]) == {"arguments": {"x": {"deep": 0}}}
    assert pick(item, [["arguments", "x"], ["arguments"]]) == {"arguments": {"x": {"deep": 0}}}


def test_names_that_are_no_text_are_sent_all_the_same() -> None:
    body = body_of([Item("bad\udcff", 1, Inner(0.0), {})])
    assert json.loads(body)[0]["name"] == "bad\udcff"
