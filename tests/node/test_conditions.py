"""Conditions, durations and sizes as people write them; and the command with which somebody goes on."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest
import typer

from leveret.node.cli import going_on
from leveret.node.cli.conditions import parse, seconds, size


@pytest.mark.parametrize(
    ("text", "field", "op", "value"),
    [
        ("headers.x-tenant=acme", "headers.x-tenant", "=", "acme"),
        ("headers.x-tenant = acme", "headers.x-tenant", "=", "acme"),
        ("headers.n!=5", "headers.n", "!=", 5),
        ("size>=1000", "size", ">=", 1000),
        ("age <= 1.5", "age", "<=", 1.5),
        ("age<-1", "age", "<", -1),
        ("json:$.order.total>100", "json:$.order.total", ">", 100),
        ("json:$.lines[*].sku='a=b'", "json:$.lines[*].sku", "=", "a=b"),
        ("json:$['a=b']!=null", "json:$['a=b']", "!=", None),
        ("json:$['it\\'s<1']=1", "json:$['it\\'s<1']", "=", 1),
        ("json:$.*=5", "json:$.*", "=", 5),
        ("json:$.*.name*=x", "json:$.*.name", "contains", "x"),
        ("json:$.* exists", "json:$.*", "exists", None),
        ("redelivered=true", "redelivered", "=", True),
        ("headers.n='5'", "headers.n", "=", "5"),
        ('headers.n="5"', "headers.n", "=", "5"),
        ('headers.n="a\\u00e4\\n"', "headers.n", "=", "aä\n"),
        ('headers.n="a\\q"', "headers.n", "=", "a\\q"),
        ("headers.n=", "headers.n", "=", ""),
        ("headers.n=NaN", "headers.n", "=", "NaN"),
        ("headers.n=1e999", "headers.n", "=", "1e999"),
        ("headers.n=[1]", "headers.n", "=", "[1]"),
        ("headers.n={", "headers.n", "=", "{"),
        ("headers.n=" + "[" * 100_000, "headers.n", "=", "[" * 100_000),
        ("body*=42", "body", "contains", "42"),
        ('body ~ ^{"a": [0-9]+=', "body", "matches", '^{"a": [0-9]+='),
        ("routing_key~'^a'", "routing_key", "matches", "^a"),
        ("body = it exists", "body", "=", "it exists"),
        ("headers.x exists", "headers.x", "exists", None),
        (" headers.x y  missing ", "headers.x y", "missing", None),
    ],
)
def test_conditions(text: str, field: str, op: str, value: object) -> None:
    found = parse(text)
    assert (found["field"], found["op"], found["value"]) == (field, op, value)
    assert type(found["value"]) is type(value)


@pytest.mark.parametrize("text", ["", "body", "=5", " != x", "exists", " exists", "body is x"])
def test_what_is_no_condition(text: str) -> None:
    with pytest.raises(typer.BadParameter, match=r"as in 'headers\.x-tenant=acme'"):
        parse(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [("30s", 30), ("5m", 300), ("1h30m", 5400), ("2d", 172_800), ("0.5h", 1800), ("9" * 400 + "d", (1 << 53) - 1)],
)
def test_durations(text: str, value: float) -> None:
    assert seconds(text, "--older") == value


@pytest.mark.parametrize(
    ("text", "value"),
    [("0", 0), ("500", 500), ("10k", 10_240), ("2M", 2 << 20), ("1GB", 1 << 30), ("9" * 400, (1 << 53) - 1)],
)
def test_sizes(text: str, value: int) -> None:
    assert size(text, "--larger") == value


@pytest.mark.parametrize("text", ["", "5", "5x", "-5m", "m", "1.s", "٣m", "1h 5m"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="is not a duration"):
        seconds(text, "--older")


@pytest.mark.parametrize("text", ["", "k", "-5", "1.5k", "5 k", "5t", "٣"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="is not a size"):
        size(text, "--larger")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["messages", "search", "q"], "messages search q --from P"),
        (["messages", "search", "q", "--from", "O", "--json"], "messages search q --json --from P"),
        (["messages", "search", "--from=O", "q"], "messages search q --from P"),
        (
            ["messages", "search", "--where", "a = 'b c'", "q"],
            "messages search --where 'a = '\"'\"'b c'\"'\"'' q --from P",
        ),
        (["messages", "search", "--json", "--", "-q"], "messages search --json --from P -- -q"),
        (["messages", "search", "--json", "--", "--from", "x"], "messages search --json --from P -- --from x"),
        (["search", "q", "--url", "http://u:secret@h:1"], "search q --url http://u@h:1 --from P"),
        (["search", "q", "--url=https://u:secret@h/x"], "search q --url=https://u@h:15672/x --from P"),
        (["search", "q", "--url", "http://h"], "search q --url http://h --from P"),
        (["search", "q", "--export", "a.jsonl"], "search q --export a.jsonl.2 --from P"),
        (["search", "q", "--export=-"], "search q --export=- --from P"),
    ],
)
def test_the_command_that_goes_on(
    given: list[str], expected: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["leveret", *given])
    found = going_on.command("P")
    assert found == f"leveret {expected}"
    assert "secret" not in found
    assert shlex.split(found)


def test_the_file_that_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert going_on.next_file("a.jsonl") == "a.jsonl.2"
    Path("a.jsonl.2").touch()
    Path("a.jsonl.3").touch()
    assert going_on.next_file("a.jsonl") == "a.jsonl.4"
    assert going_on.next_file("a.jsonl.3") == "a.jsonl.4"
    assert going_on.next_file("x.7") == "x.8"
    assert going_on.next_file(".7") == ".7.2"
