"""The page of a run, and its plots."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench import page, plots
from bench.generator import Result
from bench.measures import Spread
from bench.report import Report
from tests.benchmark.made_up import load, report, runs

WHITE, DARK = "#ffffff", "#0d1117"
SVG = "{http://www.w3.org/2000/svg}"


def whole() -> Report:
    """A run with something for every plot; the peer is better in one number."""
    churn = [
        Result(
            "churn-queues",
            name,
            1,
            raw={"churn": "queues", "cycles_per_s": 5, "broker_us_per_cycle": cost, "errors": []},
        )
        for name, cost in (("leveret", 60), ("rabbitmq", 70))
    ]
    return report(
        *runs("ack-16", "leveret", [1.0, 1.1, 1.2]),
        *runs("ack-16", "rabbitmq", [41.0, 42.0, 43.0]),
        *runs("body-16m", "leveret", [9.0]),
        *runs("body-16m", "rabbitmq", [8.0]),
        *(each for part in ("fill", "drain") for each in runs("backlog", "leveret", [7.0], part)),
        *runs("latency-1k", "leveret", [50.0]),
        *runs("latency-1k", "rabbitmq", [60.0]),
        *runs("latency-5k", "leveret", [50.0]),
        *churn,
    )


def text_of(path: Path) -> set[str]:
    """The words in a plot."""
    return {"".join(each.itertext()).strip() for each in ElementTree.parse(path).getroot().iter(f"{SVG}text")}


def test_the_page_says_when_where_and_how(tmp_path: Path) -> None:
    page.write(whole(), tmp_path / "run.md")
    text = (tmp_path / "run.md").read_text()
    for said in (
        "2026-01-02 03:04 +0000",
        "    python bench/run.py --quick\n",
        "A Processor, 2 cores, Linux 6.1; brokers on core 0",
        "leveret: Leveret 0.1.0 (compiled), CPython 3.11.7",
        "rabbitmq: 4.3",
        "medians of 3 runs",
        "No message was lost, duplicated, reordered or corrupt",
        "| ack-16 | leveret | 1.10 (1.00..1.20) | - |",
        "|  | rabbitmq | 42.0 (41.0..43.0) | 38.2x |",
        "| backlog drain | leveret | 7.00 |",
    ):
        assert said in text, said
    assert "1 000 000 messages of 1 KiB" in text
    assert (
        text.index("## Throughput") < text.index("## Large bodies") < text.index("## Latency") < text.index("## Churn")
    )
    assert "## At rest" not in text  # nothing was measured there


def test_every_picture_of_the_page_is_there_and_no_other(tmp_path: Path) -> None:
    stale = tmp_path / "run" / "gone.svg"
    stale.parent.mkdir()
    stale.write_text("<svg/>")
    page.write(whole(), tmp_path / "run.md")
    named = re.findall(r"!\[[^]]+\]\((run/[a-z]+\.svg)\)", (tmp_path / "run.md").read_text())
    assert sorted(named) == sorted(f"run/{path.name}" for path in (tmp_path / "run").iterdir())
    assert {Path(name).stem for name in named} == {"throughput", "bodies", "backlog", "latency", "churn"}


def test_bars_carry_their_numbers(tmp_path: Path) -> None:
    page.write(whole(), tmp_path / "run.md")
    assert {"ack-16", "1.10", "42.0", "leveret", "rabbitmq", "CPU µs per message"} <= text_of(
        tmp_path / "run/throughput.svg"
    )
    assert {"p50", "p99.9", "max", "latency-1k, ms", "latency-5k, ms", "0.1"} <= text_of(tmp_path / "run/latency.svg")
    assert {"backlog fill", "backlog drain"} <= text_of(tmp_path / "run/backlog.svg")


def test_where_the_peer_is_better_is_said(tmp_path: Path) -> None:
    page.write(whole(), tmp_path / "run.md")
    text = (tmp_path / "run.md").read_text()
    section = text[text.index("## Where a peer is better") : text.index("## Throughput")]
    assert "| body-16m | CPU µs/MiB | rabbitmq |" in section
    assert "ack-16" not in section


def test_without_a_peer_nothing_is_compared(tmp_path: Path) -> None:
    made = report(*runs("ack-16", "leveret", [1.0]))
    del made.brokers["rabbitmq"]
    page.write(made, tmp_path / "run.md")
    assert "better" not in (tmp_path / "run.md").read_text()


def test_what_went_wrong_stands_at_the_top(tmp_path: Path) -> None:
    made = report(Result("ack-16", "leveret", 2, raw=load(1.0, 10, lost=7)), *runs("ack-16", "rabbitmq", [1.0]))
    page.write(made, tmp_path / "run.md")
    text = (tmp_path / "run.md").read_text()
    assert text.index("* ack-16, leveret, run 2: 7 LOST") < text.index("## ")
    assert "No message was lost" not in text


def test_the_same_numbers_make_the_same_files(tmp_path: Path) -> None:
    for name in ("one", "two"):
        page.write(whole(), tmp_path / name / "run.md")
    for path in (tmp_path / "one").rglob("*.*"):
        assert path.read_bytes() == (tmp_path / "two" / path.relative_to(tmp_path / "one")).read_bytes()


def test_a_plot_without_any_number_for_a_broker(tmp_path: Path) -> None:
    values: dict[str, list[Spread | None]] = {"one": [Spread(1, 1, 2, 2)], "two": [None]}
    plots.bars(tmp_path / "bars.svg", ["here"], [plots.Panel("what", values)])
    plots.lines(tmp_path / "lines.svg", ["here"], [plots.Panel("what", values)])
    assert {"1.00", "two"} <= text_of(tmp_path / "bars.svg")
    assert {"what", "two"} <= text_of(tmp_path / "lines.svg")


def luminance(colour: str) -> float:
    """Of a colour, as WCAG 2 defines it."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("ground", [WHITE, DARK])
@pytest.mark.parametrize(("colour", "least"), [(plots.TEXT, 4), *((colour, 3) for colour in plots.COLOURS)])
def test_colours_can_be_seen_on_light_and_dark(colour: str, least: float, ground: str) -> None:
    darker, lighter = sorted((luminance(colour), luminance(ground)))
    assert (lighter + 0.05) / (darker + 0.05) >= least
