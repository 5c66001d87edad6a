"""Schedule against a plain dictionary."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from leveret.core.message import schedule
from leveret.core.message.message import Message, address
from leveret.core.message.schedule import Schedule
from leveret.wire.content import make_content

WHERE = address("x", "k")


def message(number: int) -> Message:
    """Distinguishable messages."""
    return Message(WHERE, make_content(b"\x00\x00", str(number).encode()), False)


def test_a_place_holds_both() -> None:
    place = schedule.place(1_764_000_000_000, 12345)
    assert (schedule.due_ms(place), schedule.position(place)) == (1_764_000_000_000, 12345)
    assert place < schedule.place(1_764_000_000_001, 1)


@given(
    st.lists(st.tuples(st.sampled_from("atfp"), st.integers(0, 400)), max_size=400),
    st.integers(1, 50),
    st.sampled_from([1, 1500]),
)
def test_against_a_dictionary(steps: list[tuple[str, int]], limit: int, repeat: int) -> None:
    """Adds many at once, so that blocks are split, and takes from anywhere, so that blocks become empty."""
    tested = Schedule()
    plain: dict[int, Message] = {}
    position = 0
    for what, number in steps:
        if what == "a":
            for more in range(repeat):
                position += 1
                place = schedule.place((number * 37 + more * 7919) % 1000, position)
                plain[place] = message(position)
                tested.add(place, plain[place])
            repeat = 1
        elif what == "t":
            chosen = sorted(plain)[number % len(plain)] if plain else number
            assert tested.take(chosen) is plain.pop(chosen, None)
        elif what == "f":
            assert tested.take(schedule.place(number, 0)) is None
        else:
            behind = sorted(plain)[number % len(plain)] if plain else 0
            expected = [place for place in sorted(plain) if place > behind][:limit]
            assert [place for place, _ in tested.behind(behind, limit)] == expected
        assert len(tested) == len(plain)
        if plain:
            assert tested.first() == min(plain)
    assert tested.behind(0, len(plain) + 1) == sorted(plain.items())
    for place in sorted(plain):
        assert tested.take(tested.first()) is plain[place]
    assert len(tested) == 0


def test_order_of_arrival_makes_no_difference() -> None:
    count = 10_000
    for step in (1, count - 1, 3):
        tested = Schedule()
        for number in range(count):
            place = schedule.place(number * step % count, 1)
            tested.add(place, message(0))
        assert [schedule.due_ms(place) for place, _ in tested.behind(0, count)] == sorted(
            number * step % count for number in range(count)
        )
