"""Results as the benchmark would have them, with numbers that a test chooses."""

from __future__ import annotations

from typing import Any

from bench.generator import Result
from bench.report import Report

MACHINE = {
    "cpu": "A Processor",
    "cores": 2,
    "python": "CPython 3.11.7",
    "kernel": "Linux 6.1",
    "date": "2026-01-02 03:04 +0000",
    "load_average": 0.25,
    "pinning": "brokers on core 0, generator on core 1",
    "data_filesystem": "ext4",
}


def load(cpu_us: float, per_s: float, **more: Any) -> dict[str, Any]:
    """What amqpload prints after a load in which everything that was published was delivered."""
    return {
        "published_per_s": per_s,
        "delivered_per_s": per_s,
        "delivered": per_s,
        "broker_us_per_msg": cpu_us,
        "bytes_per_s": per_s * 1024,
        "broker_peak_rss_mb": 50.0,
        "own_cpu": 0.5,
        **dict.fromkeys(("lost", "duplicated", "reordered", "corrupt"), 0),
        "latency_us": {"p50": 100, "p99": 200, "p999": 300, "max": 400},
        "errors": [],
        **more,
    }


def report(*results: Result, repeat: int = 3) -> Report:
    """A run of Leveret and one peer, called rabbitmq."""
    brokers = {"leveret": {"version": "Leveret 0.1.0 (compiled)", "build": "compiled"}, "rabbitmq": {"version": "4.3"}}
    options = {"command": "python bench/run.py --quick", "repeat": repeat, "backlog": 1_000_000, "minutes": 1.5}
    return Report(dict(MACHINE), options, dict(brokers), list(results))


def runs(scenario: str, broker: str, costs: list[float], part: str = "", **more: Any) -> list[Result]:
    """A run of a scenario for each CPU time per message."""
    return [
        Result(scenario, broker, repeat, part, [], load(cost, 1000 / cost, **more))
        for repeat, cost in enumerate(costs, 1)
    ]
