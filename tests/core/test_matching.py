"""Searches are bounded, counted and remembered; the operator hears of those that came to no end."""

from __future__ import annotations

import pytest

from leveret.core.policy import matching
from leveret.core.policy.matching import COST, LONG, LONG_COST, REMEMBERED, Matcher, Patience
from leveret.core.policy.patterns import compile_pattern

BAD = compile_pattern("^(a|aa)+$")
ENDLESS = "a" * 60 + "!"  # for that pattern
LENGTHY = "a" * 13 + "!"  # a few hundred steps


@pytest.fixture
def told() -> list[str]:
    """What the operator was told."""
    return []


@pytest.fixture
def matcher(told: list[str]) -> Matcher:
    """A matcher that tells it there."""
    return Matcher(told.append)


def test_what_is_undecided_is_not_found_and_told_once_for_each_kind(matcher: Matcher, told: list[str]) -> None:
    for _ in range(3):
        assert not matcher.is_in(BAD, ENDLESS, "a policy", Patience())
        assert not matcher.is_in(BAD, ENDLESS + "!", "a policy", Patience())
    assert told == [
        f"a search of '{ENDLESS}' for the pattern '^(a|aa)+$' of a policy takes too many steps and counts"
        " as no match; rewrite the pattern with fewer ways to match the same characters"
    ]
    assert not matcher.recall(BAD, ENDLESS, "a permission", Patience())
    assert len(told) == 2
    assert not matcher.is_in(compile_pattern("^(a|aa)+!$|x"), "a" * 60, "a policy", Patience())
    assert len(told) == 3


def test_what_is_told_is_short_and_harmless(matcher: Matcher, told: list[str]) -> None:
    pattern = compile_pattern("^(a|aa)+$" + "|\n" * 300)
    matcher.is_in(pattern, "a" * 250 + "\udcff", "a policy", Patience())
    assert len(told[0]) < 500
    told[0].encode()
    assert "\n" not in told[0]


def test_what_is_decided_is_not_told(matcher: Matcher, told: list[str]) -> None:
    assert matcher.is_in(BAD, "a" * 200, "a policy", Patience())
    assert not matcher.is_in(BAD, LENGTHY, "a policy", Patience())
    assert told == []


def test_costs_are_counted(matcher: Matcher) -> None:
    matcher.is_in(BAD, "b", "a policy", Patience())
    assert (matcher.cost, matcher.long) == (COST, 0)
    matcher.is_in(BAD, ENDLESS, "a policy", Patience())
    assert (matcher.cost, matcher.long) == (2 * COST + LONG_COST, 1)


def test_patience_has_an_end(matcher: Matcher, told: list[str]) -> None:
    lengthy = compile_pattern("^(a|aa)+$|!")
    assert matcher.is_in(lengthy, LENGTHY, "a policy", Patience())
    patience = Patience()
    for _ in range(LONG):
        assert matcher.is_in(lengthy, LENGTHY, "a policy", patience)
    assert told == []
    assert not matcher.is_in(lengthy, LENGTHY, "a policy", patience)
    assert matcher.is_in(lengthy, "a", "a policy", patience)
    assert matcher.long == LONG + 1
    assert len(told) == 1


def test_answers_are_remembered(matcher: Matcher) -> None:
    for _ in range(3):
        assert matcher.recall(BAD, "aa", "a permission", Patience())
        assert not matcher.recall(BAD, ENDLESS, "a permission", Patience())
    assert matcher.long == 1
    assert matcher.recall(compile_pattern("!"), ENDLESS, "a permission", Patience())
    impatient = Patience()
    impatient.left = 0
    assert not matcher.recall(compile_pattern("^(a|aa)+$|!"), LENGTHY, "a permission", impatient)
    assert matcher.recall(compile_pattern("^(a|aa)+$|!"), LENGTHY, "a permission", Patience())


def test_few_answers_are_remembered(matcher: Matcher) -> None:
    for number in range(REMEMBERED * 2 + 10):
        matcher.recall(BAD, str(number), "a permission", Patience())
    before = matcher.cost
    matcher.recall(BAD, str(REMEMBERED * 2 + 9), "a permission", Patience())
    assert matcher.cost == before
    matcher.recall(BAD, "0", "a permission", Patience())
    assert matcher.cost == before + COST


def test_a_name_that_is_no_text_is_in_nothing(matcher: Matcher) -> None:
    assert not matcher.is_in(compile_pattern(""), "\ud800", "a policy", Patience())
    assert matching.SHOWN < 255
