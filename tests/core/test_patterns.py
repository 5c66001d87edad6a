"""Patterns of PCRE that mean the same here, and those that are refused."""

from __future__ import annotations

import pytest

from leveret.core.administration import InvalidError
from leveret.core.patterns import CLASSES, compile_pattern


@pytest.mark.parametrize(
    ("pattern", "fits", "differs"),
    [
        (r"^[[:alpha:]_-]+$", "ab-C_", "ab1"),
        (r"^[^[:space:]]+$", "ab", "a b"),
        (r"^[[:digit:][:upper:]]$", "A", "a"),
        (r"^[[:punct:]]+$", "!]\\[^~", "a"),
        (r"^(jobs|mail)\..*", "jobs.urgent", "job.urgent"),
        (r"^(?!amq\.).*$", "mine", "amq.gen-x"),
        (r"^\d{2,3}$", "12", "1"),
    ],
)
def test_patterns_mean_what_they_mean_in_rabbitmq(pattern: str, fits: str, differs: str) -> None:
    compiled = compile_pattern(pattern)
    assert compiled.search(fits)
    assert not compiled.search(differs)


@pytest.mark.parametrize("name", CLASSES)
def test_classes_say_the_same_of_ascii_as_their_names(name: str) -> None:
    within = {chr(code) for code in range(128) if compile_pattern(f"^[[:{name}:]]$").search(chr(code))}
    tests = {
        "alnum": str.isalnum,
        "alpha": str.isalpha,
        "digit": str.isdigit,
        "lower": str.islower,
        "upper": str.isupper,
        "print": str.isprintable,
    }
    if name in tests:
        assert within == {chr(code) for code in range(128) if tests[name](chr(code))}
    if name == "punct":
        printable = {chr(code) for code in range(33, 127)}
        assert within == {char for char in printable if not char.isalnum()}


@pytest.mark.parametrize("pattern", ["(", "[[:nonsense:]]", "[[:^alpha:]]", r"\Qa.b\E", r"a\z", "a(?i)b", "(?<n>a)"])
def test_what_is_refused(pattern: str) -> None:
    with pytest.raises(InvalidError, match="is not a regular expression"):
        compile_pattern(pattern)
