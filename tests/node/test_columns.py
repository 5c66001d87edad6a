"""What lists show: numbers with units, and columns within the width of a terminal."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from leveret.node.cli.columns import Column, count, duration, plain, rate, size, table_lines

WIDTHS = st.integers(min_value=20, max_value=200)
COLUMNS = (
    Column("name", "name"),
    Column("other", "inner.text", rank=2),
    Column("ready", "ready", count),
    Column("size", "size", size, 1),
    Column("in/s", "rate", rate, 3),
)
ITEMS = st.fixed_dictionaries(
    {
        "name": st.text(max_size=300),
        "inner": st.fixed_dictionaries({"text": st.text(max_size=50)}),
        "ready": st.integers(min_value=0, max_value=10**12),
        "size": st.integers(min_value=0, max_value=10**15),
        "rate": st.floats(min_value=0, max_value=10**7),
    }
)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (150 << 10, "150 KiB"),
        (3 << 30, "3.0 GiB"),
        (1 << 60, "1024 PiB"),
    ],
)
def test_sizes(value: int, shown: str) -> None:
    assert size(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0"),
        (0.25, "0.2"),
        (12.34, "12.3"),
        (99.9, "99.9"),
        (123.4, "123"),
        (999.6, "1.0k"),
        (45_678, "45.7k"),
        (2e6, "2.0M"),
    ],
)
def test_rates(value: float, shown: str) -> None:
    assert rate(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "0s"), (59_999, "59s"), (60_000, "1m"), (3_661_000, "1h 1m"), (90_000_000, "1d 1h")],
)
def test_durations(value: int, shown: str) -> None:
    assert duration(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, ""),
        ({}, ""),
        ([], ""),
        (True, "yes"),
        (False, "no"),
        ({"a": 1}, '{"a": 1}'),
        ([1, "b"], "1, b"),
        (0.5, "0.5"),
    ],
)
def test_values(value: Any, shown: str) -> None:
    assert plain(value) == shown
    assert count(value) == rate(value) == size(value) == shown or isinstance(value, float)


@given(st.lists(ITEMS, max_size=5), WIDTHS)
def test_no_line_is_wider_than_the_terminal(items: list[dict[str, Any]], width: int) -> None:
    lines = [line.plain for line in table_lines(items, COLUMNS, width)]
    assert len(lines) == len(items) + 1
    for line in lines:
        assert cell_len(line) <= width
        assert line.isprintable()


def test_what_goes_first_where_there_is_no_room() -> None:
    item = {"name": "n" * 30, "inner": {"text": "t"}, "ready": 1_234_567, "size": 2048, "rate": 1.5}

    def head(width: int) -> list[str]:
        return str(next(iter(table_lines([item], COLUMNS, width))).plain).split()

    assert head(80) == ["name", "other", "ready", "size", "in/s"]
    assert head(63) == ["name", "other", "ready", "size", "in/s"]
    assert head(62) == ["name", "other", "ready", "size"]
    assert head(50) == ["name", "ready", "size"]
    assert head(24) == ["name", "ready"]
    line = list(table_lines([item], COLUMNS, 30))[1].plain
    assert "1,234,567" in line
    assert "n…" in line
