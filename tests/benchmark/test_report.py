"""Medians, spreads, ratios and faults, and the file that holds them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from bench.generator import Result
from bench.measures import CPU, MEASURES, Spread, number
from bench.report import Report, as_text
from bench.scenarios import chosen
from tests.benchmark.made_up import load, report, runs

(ACK,), (BACKLOG,) = chosen(["ack-16"], []), chosen(["backlog"], [])


def cells(made: Report, row: int) -> dict[str, str]:
    """A line of the first table by the heads of its columns; of two that are alike, the first."""
    table = made.tables(made.scenarios)[0]
    return dict(reversed(list(zip(table.head, table.rows[row], strict=True))))


def test_median_spread_and_ratio() -> None:
    made = report(*runs("ack-16", "leveret", [3.0, 1.0, 2.0]), *runs("ack-16", "rabbitmq", [30.0, 50.0, 40.0]))
    assert made.spread(ACK, "leveret", CPU) == Spread(2.0, 1.0, 3.0, 3)
    assert made.ratio(ACK, "rabbitmq", CPU) == 20.0
    assert made.ratio(ACK, "leveret", CPU) is None
    ours, theirs = cells(made, 0), cells(made, 1)
    assert (ours["scenario"], ours["broker"], ours["CPU µs/msg"]) == ("ack-16", "leveret", "2.00 (1.00..3.00)")
    assert (theirs["scenario"], theirs["CPU µs/msg"], theirs["/Leveret"]) == ("", "40.0 (30.0..50.0)", "20.0x")


def test_a_run_without_a_process_has_no_cpu_and_no_ratio() -> None:
    theirs = runs("ack-16", "rabbitmq", [10.0])
    del theirs[0].raw["broker_us_per_msg"], theirs[0].raw["broker_peak_rss_mb"]
    line = cells(report(*runs("ack-16", "leveret", [1.0]), *theirs), 1)
    assert (line["CPU µs/msg"], line["/Leveret"], line["peak RSS MiB"], line["k msg/s"]) == ("-", "-", "-", "0.10")


def test_cpu_is_for_what_was_delivered_or_else_published() -> None:
    behind = Result("flood", "leveret", 1, raw=load(2.0, 1000) | {"delivered_per_s": 500})
    assert behind.cpu_us == 4.0  # amqpload divided by the 1000 published
    fill = Result("backlog", "leveret", 1, "fill", raw=load(2.0, 1000) | {"delivered_per_s": 0})
    assert (fill.cpu_us, fill.per_s) == (2.0, 1000)
    churn = Result("churn-queues", "leveret", 1, raw={"churn": "queues", "cycles_per_s": 7, "broker_us_per_cycle": 9})
    assert (churn.cpu_us, churn.per_s) == (9, 7)


def test_cpu_per_mib() -> None:
    body = Result("body-1m", "leveret", 1, raw=load(500.0, 100) | {"bytes_per_s": 100 * 1024 * 1024})
    assert (body.mib_per_s, body.cpu_us_per_mib) == (100, 500)


def test_halves_are_lines_of_their_own() -> None:
    made = report(*runs("backlog", "leveret", [5.0], "fill"), *runs("backlog", "leveret", [2.0], "drain"))
    assert [row[0] for row in made.tables(made.scenarios)[0].rows] == ["backlog fill", "backlog drain"]
    assert cells(made, 1)["CPU µs/msg"] == "2.00"


def test_faults_are_summed_and_never_hidden() -> None:
    results = runs("ack-16", "leveret", [1.0, 1.0, 1.0])
    results[0].raw["lost"] = 2
    results[2].raw["lost"] = 3
    results[2].raw["reordered"] = 1
    made = report(*results, *runs("ack-16", "rabbitmq", [1.0]))
    assert cells(made, 0)["lost/dup/reord/corr"] == "!! 5 LOST 1 REORDERED"
    assert cells(made, 1)["lost/dup/reord/corr"] == "0/0/0/0"
    assert made.bad() == ["ack-16, leveret, run 1: 2 LOST", "ack-16, leveret, run 3: 3 LOST; 1 REORDERED"]


@pytest.mark.parametrize(("scenario", "place"), [("ack-16", -2), ("churn-queues", -1)])
def test_a_run_that_broke_off_is_seen(scenario: str, place: int) -> None:
    made = report(Result(scenario, "leveret", 1, raw={"errors": ["broker closed the connection"]}))
    table = made.tables(made.scenarios)[0]
    assert table.rows[0][place] in ("NO RESULT", "!! ERROR")
    assert made.bad() == [f"{scenario}, leveret, run 1: broker closed the connection"]


def test_a_broker_that_was_left_out_has_dashes_and_is_no_fault() -> None:
    left_out = Result("tls-ack-1k", "rabbitmq", 1, raw={"left_out": "no port for TLS given", "errors": []})
    made = report(*runs("tls-ack-1k", "leveret", [1.0]), left_out)
    line = cells(made, 1)
    assert [line[key] for key in ("broker", "CPU µs/msg", "k msg/s", "lost/dup/reord/corr")] == [
        "rabbitmq",
        "-",
        "-",
        "-",
    ]
    assert line[""] == "no port for TLS given"
    assert made.bad() == []
    assert list(made.better()) == []


def test_where_a_peer_is_better() -> None:
    made = report(
        *runs("ack-16", "leveret", [2.0, 2.0, 2.2]),
        *runs("ack-16", "rabbitmq", [1.0, 1.9, 2.1], broker_peak_rss_mb=500.0),
        *runs("body-1m", "leveret", [1.0]),
        *runs("body-1m", "rabbitmq", [9.0]),
    )
    found = {each.measure.key: each for each in made.better()}
    assert {(each.line, each.broker) for each in found.values()} == {("ack-16", "rabbitmq")}
    assert set(found) == {"cpu_us", "k_per_s"}  # less time and more messages, but more memory
    assert found["cpu_us"].theirs.overlaps(found["cpu_us"].ours)


def test_equal_is_not_better() -> None:
    assert list(report(*runs("ack-16", "leveret", [1.0]), *runs("ack-16", "rabbitmq", [1.0])).better()) == []


def test_the_file_holds_everything_and_can_be_read_again(tmp_path: Path) -> None:
    made = report(
        *runs("ack-16", "leveret", [1.0, 2.0, 3.0]),
        *runs("ack-16", "rabbitmq", [10.0, 20.0, 60.0]),
        *runs("backlog", "leveret", [5.0], "fill"),
    )
    path = tmp_path / "run.json"
    made.write_json(path)
    assert Report.read(path) == made
    summary = json.loads(path.read_text())["summary"]
    line = next(each for each in summary if (each["broker"], each["measure"]) == ("rabbitmq", "cpu_us"))
    assert line == {
        "scenario": "ack-16",
        "part": "",
        "broker": "rabbitmq",
        "measure": "cpu_us",
        "median": 20.0,
        "least": 10.0,
        "most": 60.0,
        "runs": 3,
        "ratio_to_leveret": 10.0,
    }
    assert len(summary) == 2 * len(MEASURES[ACK.kind]) + len(MEASURES[BACKLOG.kind])


def test_columns_of_text_are_aligned() -> None:
    made = report(*runs("ack-16", "leveret", [1.0]), *runs("ack-16", "rabbitmq", [111.0]))
    lines = as_text(made.tables(made.scenarios)[0]).splitlines()
    assert lines[1].startswith("--------  --------  ----------  ")
    assert [re.split(r" {2,}", line.strip())[:3] for line in lines[2:]] == [
        ["ack-16", "leveret", "1.00"],
        ["rabbitmq", "111", "111x"],
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.394, "0.39"), (9.99, "9.99"), (12.34, "12.3"), (123.4, "123"), (28449.8, "28450"), (0, "0.00")],
)
def test_numbers(value: float, text: str) -> None:
    assert number(value) == text
