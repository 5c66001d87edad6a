"""Methods: the generated files are what the generator makes, and every method is read as it was written."""

from __future__ import annotations

import contextlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from librt.strings import BytesWriter

from leveret.wire import methods
from leveret.wire.fields import DecodeError, Table, check_finite, longstr
from leveret.wire.methods import Method, QueueDeclare, decode
from tests.clients import methods as independent
from tests.clients import methods_basic as independent_basic
from tests.clients.strategies import TABLES

ROOT = Path(__file__).resolve().parent.parent.parent
CLASSES: list[type[Method]] = [getattr(methods, name) for name in methods.__all__ if name not in ("Method", "decode")]
SHORT = st.text(max_size=40)
BYTES = st.binary(max_size=60)


def test_files_are_what_the_generator_makes(tmp_path: Path) -> None:
    subprocess.run([sys.executable, str(ROOT / "tools" / "gen_methods.py"), str(tmp_path)], check=True)
    there = ROOT / "leveret" / "wire" / "methods"
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in there.glob("*.py")}
    for path in tmp_path.iterdir():
        assert path.read_text() == (there / path.name).read_text(), path.name


def encoded(method: Method) -> bytes:
    """The payload of the method frame."""
    out = BytesWriter()
    method.encode(out)
    return out.getvalue()


def is_finite(table: Table) -> bool:
    """Whether a method may have this table."""
    with contextlib.suppress(DecodeError):
        check_finite(table)
        return True
    return False


def filled(data: st.DataObject) -> Method:
    """Any method with any arguments that its class takes."""
    draw = data.draw
    made: Method = draw(st.sampled_from(CLASSES))()
    for name in [name for name in dir(made) if not name.startswith("_")]:
        value = getattr(made, name)
        if isinstance(value, bool):
            setattr(made, name, draw(st.booleans()))
        elif isinstance(value, int):
            setattr(made, name, draw(st.integers(0, 255)))
        elif isinstance(value, str):
            setattr(made, name, draw(SHORT))
        elif isinstance(value, bytes):
            setattr(made, name, draw(BYTES))
        elif isinstance(value, dict):
            setattr(made, name, draw(TABLES.filter(is_finite)))
        else:
            assert inspect.isroutine(value)
    return made


@given(st.data())
def test_round_trip(data: st.DataObject) -> None:
    method = filled(data)
    payload = encoded(method)
    again = decode(payload)
    assert type(again) is type(method)
    assert encoded(again) == payload
    for name in [name for name in dir(method) if not name.startswith("_")]:
        if not inspect.isroutine(getattr(method, name)):
            assert getattr(again, name) == getattr(method, name), name


# The tables of the test client hold these rows of the 0-9-1 XML apart from spec/methods.toml.
INDEPENDENT = {**vars(independent), **vars(independent_basic)}
RENAMED = {"exchange_type": "type", "granted_ticket": "ticket"}


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_the_client_of_the_behaviour_tests_writes_the_same(kind: type[Method]) -> None:
    names = [name for name in dir(kind()) if not name.startswith("_") and not inspect.isroutine(getattr(kind(), name))]
    for chosen in names or [""]:  # one argument after the other, so that no two can be mixed up
        ours, arguments = kind(), {}
        for number, name in enumerate(names, 1):
            value = getattr(ours, name)
            if isinstance(value, bool):
                setattr(ours, name, name == chosen)
            elif isinstance(value, int):
                setattr(ours, name, number)
            elif isinstance(value, str):
                setattr(ours, name, name)
            elif isinstance(value, bytes):
                setattr(ours, name, name.encode())
            elif isinstance(value, dict):
                setattr(ours, name, {name: longstr(name)})
            value = getattr(ours, name)
            arguments[RENAMED.get(name, name)] = {name: name} if isinstance(value, dict) else value
        assert INDEPENDENT[kind.__name__](**arguments).payload() == encoded(ours)


@given(st.data())
def test_cut_short(data: st.DataObject) -> None:
    method = filled(data)
    payload = encoded(method)
    if len(payload) > 4:
        with pytest.raises(DecodeError):
            decode(payload[: data.draw(st.integers(4, len(payload) - 1))])


def test_every_id_is_its_own() -> None:
    assert len({encoded(kind())[:4] for kind in CLASSES}) == len(CLASSES)


@pytest.mark.parametrize("payload", [b"", b"\x00\x0a", b"\x00\x3c\x00\x3c", b"\xff\xff\xff\xff", bytes(4)])
def test_what_is_no_method(payload: bytes) -> None:
    if payload == b"\x00\x3c\x00\x3c":
        with pytest.raises(DecodeError):
            decode(payload)
    else:
        assert decode(payload) is None


def test_a_short_string_must_be_utf8() -> None:
    payload = encoded(QueueDeclare("q")).replace(b"\x01q", b"\x01\xff")
    with pytest.raises(DecodeError, match="UTF-8"):
        decode(payload)
