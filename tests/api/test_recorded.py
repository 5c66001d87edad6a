"""What RabbitMQ has answered to the questions of questions.py, Leveret answers as well."""

from __future__ import annotations

import re

import pytest

from tests.api.http import Reply
from tests.api.place import INTERVAL_S, Started
from tests.api.recording import Judgement, judge, read, record
from tests.api.shape import differences, shape
from tests.api.stated import STATED

SHOWS_AFTER_S = 1.0 + 3 * INTERVAL_S  # samples are asked for a second apart


@pytest.fixture(scope="module")
def judgement() -> Judgement:
    """Of a broker of its own: the scene is all that is in it, as it was in RabbitMQ."""
    with Started.start("--metrics-port", "0") as started:
        return judge(read(), record(started.place, SHOWS_AFTER_S))


def test_answers_are_those_of_rabbitmq(judgement: Judgement) -> None:
    assert judgement.unstated == []


def test_stated_differences_are_there(judgement: Judgement) -> None:
    assert judgement.idle == []


def test_reasons_are_sentences() -> None:
    assert [each.reason for each in STATED if not re.fullmatch(r"[A-Z][^.]+\.", each.reason)] == []


@pytest.mark.parametrize(
    ("theirs", "ours", "expected"),
    [
        ({"a": 1}, {"a": 1, "b": 2}, []),
        ({"a": 1}, {}, ["a is missing"]),
        ({"a": {"b": 1}}, {"a": {"b": None}}, ["a.b is None, not 1"]),
        ({"a": "<float>"}, {"a": "<int>"}, []),
        ({"a": "<int>"}, {"a": "<float>"}, ["a is '<float>', not '<int>'"]),
        ([{"name": "x"}, {"name": "y"}], [{"name": "y"}, {"name": "x"}], []),
        ([{"name": "x"}], [{"name": "y"}], ["[x] is missing", "[y] is more than there is"]),
        ([{"name": "x", "n": 1}], [{"name": "z", "n": 1}, {"name": "x", "n": 2}], ["[x].n is 2, not 1", "[z] is more"]),
        ([{"name": "x"}, {"name": "x"}], [{"name": "x"}], ["[x #2] is missing"]),
        (["a", "b"], ["b"], ["[a] is missing"]),
        ([], {}, ["is {}, not []"]),
    ],
)
def test_what_a_difference_is(theirs: object, ours: object, expected: list[str]) -> None:
    found = [each.strip() for each in differences(theirs, ours)]
    assert len(found) == len(expected)
    assert all(one.startswith(other) for one, other in zip(found, expected, strict=True))


def test_order_counts_where_it_was_asked_for() -> None:
    theirs, ours = [{"name": "x"}, {"name": "y"}], [{"name": "y"}, {"name": "x"}]
    assert list(differences(theirs, ours, "body", is_ordered=True)) == [
        "body is in the order ['y', 'x'], not ['x', 'y']"
    ]


def test_what_differs_from_run_to_run_does_not_count() -> None:
    bodies = (
        b'[{"name": "127.0.0.1:5 -> 127.0.0.1:6", "port": 5, "arguments": {"n": 1}}]',
        b'[{"name": "127.0.0.1:7 -> 127.0.0.1:8", "port": 9, "arguments": {"n": 1}}]',
    )
    one, other = (shape(Reply(200, {}, body)) for body in bodies)
    assert one == other
    assert shape(Reply(200, {}, bodies[0].replace(b'"n": 1', b'"n": 2'))) != one
