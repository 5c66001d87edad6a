"""The rule finds what grows, and only that."""

from __future__ import annotations

import random

import pytest

from tests.soak.flat import LEAST, judge

MINUTES = 60
EVERY_S = 2
SHARE, SLACK = 0.1, 4.0  # as for megabytes of memory


def series(base: float, swing: float, per_hour: float, warm_up: float = 0.0) -> list[float]:
    """An hour of a value that swings, and grows. warm_up: what it takes in its first ten minutes, once."""
    chance = random.Random(1)
    values = []
    for when_s in range(0, MINUTES * 60, EVERY_S):
        once = warm_up * min(when_s / 600, 1)
        values.append(base + swing * chance.random() + once + per_hour * when_s / 3600)
    return values


def test_what_swings_is_flat() -> None:
    assert judge("memory", series(60, 40, 0), SHARE, SLACK).is_flat


def test_a_warm_up_is_no_leak() -> None:
    assert judge("memory", series(40, 20, 0, warm_up=200), SHARE, SLACK).is_flat


@pytest.mark.parametrize("per_hour", [60, 200])
def test_a_leak_is_found_though_the_value_swings(per_hour: float) -> None:
    verdict = judge("memory", series(60, 40, per_hour), SHARE, SLACK)
    assert not verdict.is_flat
    assert "GROWS" in str(verdict)


def test_one_leaked_file_a_minute_is_found() -> None:
    assert not judge("files", series(60, 20, 60), SHARE, 4).is_flat


def test_a_leap_in_the_last_third_is_found() -> None:
    values = series(60, 10, 0)
    values[-3] = 90
    assert not judge("memory", values, SHARE, SLACK).is_flat


def test_too_short_a_series_says_nothing() -> None:
    with pytest.raises(ValueError, match="too few"):
        judge("memory", [1.0] * (LEAST - 1), SHARE, SLACK)
    assert judge("memory", [1.0] * LEAST, SHARE, SLACK).is_flat
