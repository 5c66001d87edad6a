"""One run of the benchmark: scenario by scenario, with the brokers in turn.

This module does not interpret numbers. It makes sure that every broker is measured in the same way: idle before the
run, pinned to the same core, and with a different broker first in each repeat.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import brokers, generator, machine
from bench.brokers import LEVERET, Broker, BrokerError
from bench.generator import Result
from bench.report import Report
from bench.scenarios import Kind, Scenario, Sizes

SETTLE_S = 1.0  # how long Leveret idles before its memory is read


@dataclass
class Benchmark:
    """Measures scenarios with brokers on a machine, and fills the report."""

    seconds: int | None  # of a run; None for the default of the scenario
    repeats: int
    sizes: Sizes
    data_parent: Path
    cores: machine.Cores
    peers: list[Broker]
    report: Report

    def measure_all(self, scenarios: list[Scenario]) -> None:
        """Run all scenarios. Repeats alternate between the brokers."""
        started = time.monotonic()
        for scenario in scenarios:
            # A peer's heap grows in the first run, so only that run shows the memory per connection.
            repeats = 1 if scenario.kind is Kind.CONNECTIONS else self.repeats
            for repeat in range(1, repeats + 1):
                order = list(self.report.brokers)
                turn = (repeat - 1) % len(order)
                for name in order[turn:] + order[:turn]:
                    if scenario.kind is Kind.START and name != LEVERET:
                        continue
                    for result in self.measure(scenario, name, repeat):
                        self.report.results.append(result)
                        label = f"{result.scenario} {result.part}".strip()
                        progress(f"{label}, {name}, run {repeat} of {repeats}: {summary(result)}")
            self.report.options["minutes"] = round((time.monotonic() - started) / 60, 1)

    def measure(self, scenario: Scenario, name: str, repeat: int) -> list[Result]:
        """Run one scenario once with one broker. Returns: a result for each half."""
        results = [
            Result(scenario.name, name, repeat, part, scenario.arguments(part, self.sizes)) for part in scenario.parts
        ]
        if scenario.kind is not Kind.CONFIRM:
            self._measure(scenario, results)
            return results
        spent = self.synced_append_us()
        self._measure(scenario, results)
        spent += self.synced_append_us()
        marks = statistics.quantiles(spent, n=100)
        results[0].raw["synced_append_us"] = {"p50": round(marks[49], 1), "p99": round(marks[98], 1)}
        return results

    def synced_append_us(self) -> list[float]:
        """The duration of a bare sync on the broker's core, which depends on the distance to the disk's interrupts."""
        with machine.pinned(os.getpid(), self.cores.broker):
            return machine.synced_append_us(self.data_parent)

    def _measure(self, scenario: Scenario, results: list[Result]) -> None:
        name = results[0].broker
        seconds = self.seconds or scenario.seconds
        if name != LEVERET:
            peer = next(peer for peer in self.peers if peer.name == name)
            for result in results:
                result.raw = self.load(result.flags, peer, seconds)
            return
        try:
            with brokers.leveret(scenario.durable, self.cores.broker, self.data_parent, tls=scenario.tls) as leveret:
                self.report.brokers[LEVERET] = {"version": leveret.version, "build": leveret.build}
                for result in results:
                    if scenario.kind is Kind.START:
                        result.raw = idle(leveret)
                    else:
                        result.raw = self.load(result.flags, leveret, seconds)
            results[-1].raw["errors"] += leveret.problems
        except BrokerError as error:
            results[-1].raw.setdefault("errors", []).append(str(error))

    def load(self, flags: list[str], broker: Broker, seconds: int) -> dict[str, Any]:
        """Wait until the brokers are idle, then run amqpload, unless the broker lacks a required TLS port.

        Returns: the output of amqpload, or under `left_out` why it did not run.
        """
        if "--tls" in flags and broker.tls_port is None:
            why = "no openssl to make a certificate with" if broker.name == LEVERET else "no port for TLS given"
            return {"left_out": why, "errors": []}
        pids = [pid for pid in (broker.pid, *(peer.pid for peer in self.peers)) if pid is not None]
        quiet = machine.wait_until_quiet(pids)
        raw = generator.run(flags, broker, seconds, self.cores.generator)
        return raw if quiet else {**raw, "broker_was_busy": True}


def idle(leveret: brokers.Leveret) -> dict[str, Any]:
    """Start time and memory of a Leveret without clients."""
    time.sleep(SETTLE_S)
    rss = machine.rss_kib(leveret.pid or 0)
    return {
        "ready_ms": leveret.ready_ms,
        "wall_ms": round(leveret.wall_ms, 1),
        "rss_mb": None if rss is None else round(rss / 1024, 1),
        "errors": [],
    }


def progress(text: str) -> None:
    """Print progress on standard error, so that standard output only contains the tables."""
    print(text, file=sys.stderr, flush=True)


def summary(result: Result) -> str:
    """The most important numbers of a run, for the progress output."""
    if result.left_out:
        return f"left out: {result.left_out}"
    parts = [f"{count} {fault.upper()}" for fault, count in result.faults.items()] + result.errors[:1]
    for value, unit in (
        (result.cpu_us, "µs"),
        (result.per_s, "/s"),
        (result.kib_per_connection, "KiB per connection"),
        (result.number("ready_ms"), "ms to ready"),
        (result.number("confirm_latency_us.p50") if result.confirm_per_sync else None, "µs to the confirm"),
        (result.confirm_per_sync, "synced appends"),
    ):
        if value is not None:
            parts.append(f"{value:.1f} {unit}")
    return ", ".join(parts)
