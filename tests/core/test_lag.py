"""The recorded lag of the event loop."""

from __future__ import annotations

from leveret.core.turn.lag import MINUTE, STALL_US, Lag


def test_a_stall_is_remembered_for_a_minute_and_counted_for_ever() -> None:
    lag = Lag()
    lag.note(STALL_US)
    lag.note(STALL_US + 1)
    lag.note(90_000)
    lag.note(10)
    assert (lag.longest_us, lag.stalls, lag.second_us) == (90_000, 2, 90_000)
    assert lag.recent(MINUTE) == lag.recent(1) == (90_000, 2)
    for second in range(MINUTE):
        lag.next_second()
        lag.note(100 + second)
        assert lag.recent(MINUTE) == (90_000, 2)
    lag.next_second()
    assert lag.recent(MINUTE) == (100 + MINUTE - 1, 0)
    assert (lag.longest_us, lag.stalls) == (90_000, 2)


def test_the_last_seconds_can_be_asked_for() -> None:
    lag = Lag()
    lag.note(50_000)
    for _ in range(10):
        lag.next_second()
    assert lag.recent(9) == (0, 0)
    assert lag.recent(10) == (50_000, 1)
