"""The table of scenarios, and whether the load generator understands all of it."""

from __future__ import annotations

import json
import subprocess
from urllib.parse import urlsplit

import pytest

from bench import generator
from bench.run import command_of, parse_arguments
from bench.scenarios import FULL, QUICK, SCENARIOS, Group, Kind, Scenario, Sizes, chosen

MAX_MESSAGE_SIZE = 16 * 1024 * 1024  # of RabbitMQ


def test_names_are_unique_and_every_group_is_used() -> None:
    assert len({scenario.name for scenario in SCENARIOS}) == len(SCENARIOS)
    assert {scenario.group for scenario in SCENARIOS} == set(Group)
    assert {scenario.kind for scenario in SCENARIOS} == set(Kind)


def test_no_body_is_larger_than_rabbitmq_takes() -> None:
    flags = [scenario.arguments() for scenario in SCENARIOS]
    bodies = [int(words[words.index("--body") + 1]) for words in flags if "--body" in words]
    assert max(bodies) == MAX_MESSAGE_SIZE


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_the_generator_takes_every_flag(scenario: Scenario, closed_port_url: str) -> None:
    generator.build()
    port = str(urlsplit(closed_port_url).port)
    for part in scenario.parts:
        flags = scenario.arguments(part, QUICK)
        if scenario.kind is Kind.START:
            assert flags == []
            continue
        done = subprocess.run(
            [str(generator.PROGRAM), "--port", port, *flags], capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 1, done.stderr  # 2 is for a flag that it does not know
        assert "connect" in json.loads(done.stdout.splitlines()[0])["errors"][0]


def test_what_is_measured_over_tls_is_measured_without_too() -> None:
    flags = {scenario.name: scenario.flags for scenario in SCENARIOS}
    over_tls = [scenario for scenario in SCENARIOS if scenario.tls]
    assert {scenario.group for scenario in over_tls} == {Group.TLS}
    assert len(over_tls) == len([scenario for scenario in SCENARIOS if scenario.group is Group.TLS])
    for scenario in over_tls:
        assert scenario.flags == flags[scenario.name.removeprefix("tls-")] + " --tls"


def test_amounts_are_filled_in() -> None:
    connections, backlog = chosen(["connections", "backlog"], [])
    assert connections.arguments(sizes=QUICK) == ["--connections-only", "500"]
    assert connections.arguments() == ["--connections-only", "5000"]
    assert backlog.parts == ("fill", "drain")
    for part, flag in (("fill", "--publish-only"), ("drain", "--drain")):
        words = backlog.arguments(part, Sizes(backlog=1234))
        assert flag in words
        assert words[words.index("--count") + 1] == "1234"


def test_choosing() -> None:
    assert chosen([], []) == list(SCENARIOS)
    assert [scenario.name for scenario in chosen(["requeue", "ack-16"], [])] == ["ack-16", "requeue"]
    assert {scenario.group for scenario in chosen([], ["churn", "bodies"])} == {Group.CHURN, Group.BODIES}
    names = [scenario.name for scenario in chosen(["start"], ["backlog"])]
    assert names == ["start", "backlog"]
    with pytest.raises(ValueError, match="no such scenario or group: bodie, nothing"):
        chosen(["nothing"], ["bodie"])


def test_the_command_line() -> None:
    full = parse_arguments([])
    assert (full.seconds, full.repeat, full.sizes) == (None, 5, FULL)
    assert [scenario.seconds for scenario in chosen(["ack-16", "latency-1k"], [])] == [3, 10]
    quick = parse_arguments(["--quick"])
    assert (quick.seconds, quick.repeat, quick.sizes) == (2, 1, QUICK)
    assert parse_arguments(["--quick", "--seconds", "4", "--repeat", "2"]).seconds == 4


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--quick"],
        ["--scenario", "ack-16", "--group", "churn", "--peer", "rabbitmq=127.0.0.1:5673"],
        ["--peer", "a=host:1,tls=2,pid=3", "--no-leveret", "--quick", "--seconds", "1", "--repeat", "2"],
    ],
)
def test_the_command_is_told_again_without_files(words: list[str]) -> None:
    given = parse_arguments([*words, "--json", "/some/where.json", "--page", "/some/page.md", "--data-parent", "/some"])
    told = command_of(given)
    assert "/some" not in told
    again = parse_arguments(told.split()[2:])
    for key in ("scenario", "group", "peer", "no_leveret", "quick", "seconds", "repeat"):
        assert getattr(again, key) == getattr(given, key)


def test_arguments_that_make_no_sense(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["--no-leveret"], ["--seconds", "0"], ["--repeat", "-1"]):
        with pytest.raises(SystemExit):
            parse_arguments(words)
    assert "must be at least 1" in capsys.readouterr().err
