"""Paths into JSON: a body that is read for one of them has what is found in all of it."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from leveret.api.searching.paths import Path, PathError

NAMES = st.sampled_from(["a", "b", "a b", 'quo"te', "back\\slash", "ü", "", "value", "line\nend"])
STEPS = st.lists(st.one_of(NAMES, st.integers(-2, 2), st.none()), max_size=6)
LEAVES = st.one_of(st.none(), st.booleans(), st.integers(-(2**53), 2**53), st.text(max_size=3))
DOCUMENTS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=4)),
    max_leaves=12,
)


def written(steps: list[str | int | None]) -> str:
    """A path as RFC 9535 has it."""
    return "$" + "".join("[*]" if step is None else f"[{json.dumps(step)}]" for step in steps)


def walked(value: object, steps: list[str | int | None]) -> list[object]:
    """What is there, by the letter of the standard."""
    if not steps:
        return [value]
    step, rest = steps[0], steps[1:]
    found: list[object] = []
    if isinstance(value, dict):
        found = [each for name, each in value.items() if step is None or step == name]
    elif isinstance(value, list) and step is None:
        found = value
    elif isinstance(value, list) and isinstance(step, int):
        found = value[step:][:1] if step >= -len(value) else []
    return [each for inside in found for each in walked(inside, rest)]


@given(steps=STEPS, document=DOCUMENTS)
@example(steps=[], document=None)
@example(steps=["a"], document={"a": None})
@example(steps=["a", "b"], document={"a": [{"b": 1}]})
@example(steps=["a", "b"], document={"a": {"a": 1}})
@example(steps=["a", "a", "a", "a", "a"], document={"a": {"a": {"a": {"a": {"a": 5}}}}})
@example(steps=["value", None, 0], document={"value": {"x": [1], "y": [2, 3], "z": {}}})
def test_read_for_a_path_and_decoded_as_a_whole_a_body_has_the_same(
    steps: list[str | int | None], document: object
) -> None:
    path = Path(written(steps))
    expected = walked(document, steps)
    assert path.find(document) == expected
    assert path.read(json.dumps(document).encode()) == expected
    assert path.read(json.dumps(document, ensure_ascii=False).encode()) == expected


@pytest.mark.parametrize("body", [b"", b"{", b"no", b'{"a":1} x', b'{"a":1', b"\xff", b"[" * 100_000, b'{"a":' * 9_000])
def test_what_is_no_json_has_nothing(body: bytes) -> None:
    assert Path("$.a").read(body) == []
    assert Path("$").read(body) == []


@pytest.mark.parametrize("text", ["$..a", "$[?@.a]", "$.a[", "a | b", "$[1:2]", "$[0,1]"])
def test_other_paths_are_refused(text: str) -> None:
    with pytest.raises(PathError):
        Path(text)
