"""Patterns of PCRE2: what they mean, which are refused and why, and what a search may cost."""

from __future__ import annotations

import time

import pytest

from leveret.core.policy import patterns
from leveret.core.policy.patterns import (
    CACHED,
    FOUND,
    MAX_LENGTH,
    MISSING,
    UNDECIDED,
    PatternError,
    compile_pattern,
    subject_of,
)

TIME_S = 1.0
"""For a search that takes milliseconds: without a bound it would be hours."""


def found(pattern: str, name: str) -> bool:
    """Whether a pattern is in a name."""
    answer = compile_pattern(pattern).search_patiently(subject_of(name))
    assert answer in (FOUND, MISSING)
    assert compile_pattern(pattern).search(subject_of(name)) in (answer, UNDECIDED)
    return answer == FOUND


@pytest.mark.parametrize(
    ("pattern", "fits", "differs"),
    [
        (r"^[[:alpha:]_-]+$", "ab-C_", "ab1"),
        (r"^[^[:space:]]+$", "ab", "a b"),
        (r"^[[:digit:][:upper:]]$", "A", "a"),
        (r"^[[:^digit:]]$", "a", "1"),
        (r"^[[:punct:]]+$", "!]\\[^~", "a"),
        (r"^(jobs|mail)\..*", "jobs.urgent", "job.urgent"),
        (r"^(?!amq\.).*$", "mine", "amq.gen-x"),
        (r"(?<!dead)-letters$", "live-letters", "dead-letters"),
        (r"^\d{2,3}$", "12", "1"),
        (r"^\Qa.b\E$", "a.b", "axb"),
        (r"^\Q\u\x{41}\E$", r"\u\x{41}", "uA"),
        (r"a\z", "ba", "ab"),
        (r"a(?i)b", "aB", "Ab"),
        (r"^(?<n>a)\k<n>$", "aa", "ab"),
        (r"^a++b$", "aab", "aac"),
        (r"^\x{41}\x42\x{043}$", "ABC", "abc"),
        (r"^[\x{41}-\x{ 43 }]+$", "ABC", "D"),
        (r"^\x9$", "\t", "9"),
        (r"^\\x$", r"\x", "x"),
        (r"^..$", "é", "e"),  # two bytes
        (r"^\w$", "e", "é"),
        (r"(*UTF)^.$", "é", "ee"),
        (r"(*UTF)^\x{e9}\x{142}$", "éł", "el"),
        ("", "", "nothing else"),
        ("^b|c$", "bac", "abca"),
        ("b.c", "ab\nc b.c", "ab\nc"),
        (r"a(?:x|(?R))*b", "zaaxbb", "zax"),
        (r"a\g<0>?b", "zaabb", "za"),
        ("(*NO_START_OPT)(*COMMIT)b", "b", "ab"),
        ("x(*SKIP)(*FAIL)|ab", "xab", "xxa"),
        ("(?x) b # x", "ab", "x"),
        ("(?x)^ b # x|y", "b", "ab"),
        (r"b\Q.", "ab.", "abc"),
        ("(?m)^b", "a\nb", "ab"),
    ],
)
def test_patterns_mean_what_they_mean_in_rabbitmq(pattern: str, fits: str, differs: str) -> None:
    assert found(pattern, fits)
    assert pattern == "" or not found(pattern, differs)


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("(", "missing closing parenthesis at position 1"),
        ("é(", "missing closing parenthesis at position 3"),
        ("^[:alpha:]+$", "POSIX named classes are supported only within a class at position 10"),
        ("[[:nonsense:]]", "unknown POSIX class name at position "),
        ("[a", "missing terminating ] for character class at position 2"),
        ("*", "quantifier does not follow a repeatable item at position 1"),
        ("a{3,1}", "numbers out of order in {} quantifier at position 5"),
        ("a{70000}", "number too big in {} quantifier at position 7"),
        ("(?P<a>x)(?P<a>y)", "two named subpatterns have the same name (PCRE2_DUPNAMES not set) at position "),
        ("(?<=a+)b", "length of lookbehind assertion is not limited at position 0"),
        ("(*NONSENSE)a", "(*VERB) not recognized or malformed at position "),
        (r"\u0041", r"PCRE2 does not support \F, \L, \l, \N{name}, \U, or \u at position 2"),
        (r"[\U]", r"PCRE2 does not support \F, \L, \l, \N{name}, \U, or \u at position 3"),
        (r"\l", r"PCRE2 does not support \F, \L, \l, \N{name}, \U, or \u at position 2"),
        (r"\xg", r"digits missing after \x or in \x{} or \o{} or \N{U+} at position 2"),
        (r"\x{}", r"digits missing after \x or in \x{} or \o{} or \N{U+} at position "),
        (r"\x{zz}", r"non-hex character in \x{} (closing brace missing?) at position "),
        (r"\x{41", r"non-hex character in \x{} (closing brace missing?) at position "),
        (r"\x{141}", r"character code point value in \x{} or \o{} is too large at position "),
        ("(*LIMIT_MATCH=5)a", "only the broker may set limits"),
        ("(*UTF)(*LIMIT_HEAP=5)a", "only the broker may set limits"),
        ("\ud800", "it is not valid Unicode"),
    ],
)
def test_what_is_refused_and_why(pattern: str, reason: str) -> None:
    with pytest.raises(PatternError) as refusal:
        compile_pattern(pattern)
    if reason.endswith(" "):
        assert refusal.value.reason.startswith(reason)
    else:
        assert refusal.value.reason == reason
    assert str(refusal.value) == f"{pattern!r} is not a regular expression: {refusal.value.reason}"


def test_a_refusal_shows_no_more_than_the_beginning() -> None:
    with pytest.raises(PatternError, match=r"^'\({50}\.\.\.' is not a regular expression: missing closing parenthesis"):
        compile_pattern("(" * 60)


def test_the_length_of_a_pattern_is_bounded() -> None:
    longest = "é" * (MAX_LENGTH // 2)
    assert found(longest, longest)
    with pytest.raises(PatternError, match=r"^'é{50}\.\.\.' is not a regular expression: must not exceed 1024 bytes$"):
        compile_pattern(longest + "a")


@pytest.mark.parametrize(
    "pattern",
    [
        r"(?:\B\B\B\B){9000}",
        r"(?:\B\B\B\B){4000}",
        "(((a{1,100}){1,100}){1,100}){1,100}",
        "(?:[ab]){250}",
        r"(*UTF)(?:[ab]){250}",
    ],
)
def test_what_a_pattern_compiles_to_is_bounded(pattern: str) -> None:
    with pytest.raises(PatternError, match="regular expression is too large"):
        compile_pattern(pattern)


@pytest.mark.parametrize(
    "pattern",
    [
        "(?:[ab]){200}",
        "|".join(f"queue-{number}" for number in range(100)),
        r"(*COMMIT)a",
        r"(*UTF)(*UCP)a",
        r"(?|(a)|(b))\1",
        r"(?(DEFINE)(?<x>a))(?&x)b",
        r"(?x)a # what is behind the \Q sign",
        r"\Qa",
    ],
)
def test_the_size_of_a_pattern_can_be_told(pattern: str) -> None:
    assert compile_pattern(pattern).text == pattern


LONG = "a" * 254 + "!"
HOSTILE = [
    ("^(a|aa)+$", LONG),
    ("^(a|aa)+$", "a" * 40 + "!"),
    ("(a|aa)+$", LONG),
    ("^(a+)+$", LONG),
    ("^(.*)+$(?!)", LONG),
    (r"^(\w+\.?)+-retry$", "y" * 26 + "-retr"),
    (r"^(\w+\.?)+-retry$", "y" * 249 + "-retr"),
    (r"^([a-z]+[.-]?)*(retry|dead)$", "orders.created.to.be.retried.some.day"),
    ("^(a?){40}a{40}$", "a" * 39),
    (r"^(?:(?=[a-z]*+[!-~]*+Z)|(?=[b-z]*+[a-x]*+Z)|a|aa)+$", LONG),
    (r"^(?!(a|aa)+$)", LONG),
    (r"(?:(?!" + r"\B" * 400 + r"Z)a){1,6}!!", LONG + "!"),
    (r"(?:\w+\w+\w+)+-retry", "y" * 249 + "-retr"),
    (r"^(?:(?!" + r"\B" * 400 + r"Z)(?:a|aa))+$", LONG),
    (r"^(?:(?!(?:" + r"\B" * 40 + r"){150}Z)(?:a|aa))+$", LONG),
    (r"^(?:(?=" + r"x?+" * 250 + r"Z)|a|aa)+$", LONG),
    (r"^(?:(?<=[a-z]{1,250}Z)|a|aa)+$", LONG),
    (r"^(?:a|aa)+$" + r"|()" * 300, LONG),
    (r"^(?:(a)|(aa)|((a)(a)(a)(a)))+$" + r"|()" * 300, LONG),
    ("^((?1)?a|aa)+$", LONG),
    ("(?=(?2)(?R)+(?<x>([^b])))", LONG),
    ("(*NO_START_OPT)(*NO_AUTO_POSSESS)(a*)*(a*)*(a*)*b", LONG),
]


@pytest.mark.parametrize(("pattern", "name"), HOSTILE, ids=lambda value: value[:30])
def test_a_search_has_a_bound(pattern: str, name: str) -> None:
    compiled = compile_pattern(pattern)
    for search in (compiled.search, compiled.search_patiently):
        start = time.thread_time()
        answer = search(subject_of(name))
        assert time.thread_time() - start < TIME_S
        assert answer in (UNDECIDED, MISSING)
        assert search(subject_of(name)) == answer  # it is a number of steps, no time


def test_the_bound_is_a_number_of_steps() -> None:
    compiled = compile_pattern("^(a|aa)+$")
    answers = [compiled.search_patiently(b"a" * length + b"!") for length in range(40)]
    longest = answers.index(UNDECIDED)
    assert 10 < longest < 20
    assert set(answers[:longest]) == {MISSING}
    assert set(answers[longest:]) == {UNDECIDED}
    assert found("^(a|aa)+$", "a" * 254)  # what is found at once does not care


def test_a_name_that_is_no_utf_8_is_undecided_where_it_has_to_be() -> None:
    assert compile_pattern("(*UTF)a").search_patiently(subject_of("a\udcff")) == UNDECIDED
    assert found("a", "a\udcff")
    assert found(r"^a\xff$", "a\udcff")


def test_few_compiled_patterns_are_kept() -> None:
    for number in range(CACHED * 2 + 10):
        compile_pattern(f"^{number}$")
    assert len(patterns._compiled) <= CACHED
    assert compile_pattern("^x$") is compile_pattern("^x$")
