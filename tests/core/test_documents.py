"""JSON from outside: what it says, or what is wrong with it."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leveret.core.policy.documents import is_too_deep, read_json
from leveret.wire.fields import MAX_DEPTH

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(value=VALUES)
def test_what_is_good_is_read(value: object) -> None:
    text = json.dumps(value)
    assert read_json(text) == value
    assert read_json(text.encode()) == value


@given(data=st.binary() | st.text('[]{},:"\\/0123456789eE+-.unltrfasNI \u00e4').map(str.encode))
def test_any_bytes_are_read_or_explained(data: bytes) -> None:
    with contextlib.suppress(ValueError):
        read_json(data)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"[" * 100_000, "nested more than 128 deep"),
        (b'{"a":' * 3000, "nested more than 128 deep"),
        (b"\xff", "not UTF-8"),
        (b"NaN", "NaN is not a number"),
        (b"[-Infinity]", "-Infinity is not a number"),
        (b"1e999", "1e999 is too large"),
        (b"9" * 5000, "too many digits"),
        (b"", "Expecting value"),
        (b'{"a": 1', "delimiter"),
    ],
)
def test_what_is_wrong_is_said(data: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        read_json(data)


@pytest.mark.parametrize("is_list", [True, False])
def test_as_deep_as_a_field_table(is_list: bool) -> None:
    value: object = [] if is_list else {}
    for _ in range(MAX_DEPTH - 1):
        value = [value] if is_list else {"k": value}
    assert not is_too_deep(value)
    assert is_too_deep([value])
    assert not is_too_deep([1, {"k": 2}])
