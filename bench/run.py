"""Measure Leveret, side by side with any other AMQP 0-9-1 broker, on this machine.

    python bench/run.py                                     every scenario, Leveret alone
    python bench/run.py --peer rabbitmq=127.0.0.1:5672      the same, alternating with a running RabbitMQ
    python bench/run.py --scenario ack-16 --repeat 5        one scenario, five times

Standard library and gcc only. README.md in this folder says what is measured and how to read it. Exit status
1 means that a message was lost, duplicated, reordered or corrupt, or that a run failed; 2 that nothing could
run at all.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # for `python bench/run.py`

from bench import brokers, generator, machine, report
from bench.brokers import LEVERET, Broker, BrokerError
from bench.generator import Result
from bench.scenarios import IDLE_CONNECTIONS, QUICK_IDLE_CONNECTIONS, SCENARIOS, Kind, Scenario, chosen

SETTLE_S = 1.0  # how long Leveret idles before its memory is read
SPARE_FILES = 500  # open files a broker needs besides those for connections


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Measure Leveret, and other brokers next to it.")
    parser.add_argument("--scenario", action="append", default=[], metavar="NAME", help="repeatable (all)")
    parser.add_argument(
        "--peer",
        action="append",
        default=[],
        metavar="NAME=HOST:PORT[,pid=N]",
        help="a running broker to alternate with (repeatable); a local pid is found by itself",
    )
    parser.add_argument("--no-leveret", action="store_true", help="measure the peers only")
    parser.add_argument("--seconds", type=int, metavar="N", help="measured seconds of a run (5)")
    parser.add_argument("--repeat", type=int, metavar="N", help="alternating runs of a scenario (3)")
    parser.add_argument("--quick", action="store_true", help=f"2 s, one run, {QUICK_IDLE_CONNECTIONS} idle connections")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every result, raw")
    parser.add_argument(
        "--data-parent",
        type=Path,
        default=Path(tempfile.gettempdir()),
        metavar="DIR",
        help="where durable runs of Leveret keep their data for a while (the system's temporary directory)",
    )
    parser.add_argument("--list", action="store_true", help="print the scenarios and end")
    arguments = parser.parse_args()
    arguments.seconds = arguments.seconds or (2 if arguments.quick else 5)
    arguments.repeat = arguments.repeat or (1 if arguments.quick else 3)
    arguments.connections = QUICK_IDLE_CONNECTIONS if arguments.quick else IDLE_CONNECTIONS
    if arguments.no_leveret and not arguments.peer and not arguments.list:
        parser.error("--no-leveret needs at least one --peer")
    if arguments.seconds < 1 or arguments.repeat < 1:
        parser.error("--seconds and --repeat must be at least 1")
    return arguments


@dataclass
class Benchmark:
    """One run of this program: what to measure, with whom, where."""

    arguments: argparse.Namespace
    cores: machine.Cores
    peers: list[Broker]
    report: report.Report

    def measure_all(self, scenarios: list[Scenario]) -> None:
        """Every scenario, its repeats alternating between the brokers."""
        for scenario in scenarios:
            # A peer's heap has grown after the first time, so only that one tells memory per connection.
            repeats = 1 if scenario.kind is Kind.CONNECTIONS else self.arguments.repeat
            for repeat in range(1, repeats + 1):
                order = list(self.report.brokers)
                turn = (repeat - 1) % len(order)
                for name in order[turn:] + order[:turn]:
                    if scenario.kind is Kind.START and name != LEVERET:
                        continue
                    result = self.measure(scenario, name, repeat)
                    self.report.results.append(result)
                    progress(f"{scenario.name}, {name}, run {repeat} of {repeats}: {summary(result)}")

    def measure(self, scenario: Scenario, name: str, repeat: int) -> Result:
        """One scenario, once, with one broker."""
        result = Result(scenario.name, name, repeat, scenario.arguments(self.arguments.connections))
        if scenario.kind is not Kind.CONFIRM:
            return self._measure(scenario, result)
        spent = self.synced_append_us()
        self._measure(scenario, result)
        spent += self.synced_append_us()
        marks = statistics.quantiles(spent, n=100)
        result.raw["synced_append_us"] = {"p50": round(marks[49], 1), "p99": round(marks[98], 1)}
        return result

    def synced_append_us(self) -> list[float]:
        """What a bare sync takes on the broker's core: the farther from the disk's interrupts, the longer."""
        with machine.pinned(os.getpid(), self.cores.broker):
            return machine.synced_append_us(self.arguments.data_parent)

    def _measure(self, scenario: Scenario, result: Result) -> Result:
        name = result.broker
        if name != LEVERET:
            peer = next(peer for peer in self.peers if peer.name == name)
            result.raw = self.load(result.flags, peer)
            return result
        try:
            with brokers.leveret(scenario.durable, self.cores.broker, self.arguments.data_parent) as leveret:
                self.report.brokers[LEVERET] = {"version": leveret.version, "build": leveret.build}
                if scenario.kind is Kind.START:
                    result.raw = idle(leveret)
                else:
                    result.raw = self.load(result.flags, leveret)
            result.raw["errors"] += leveret.problems
        except BrokerError as error:
            result.raw.setdefault("errors", []).append(str(error))
        return result

    def load(self, flags: list[str], broker: Broker) -> dict[str, Any]:
        """Let the brokers come to rest, then run amqpload."""
        pids = [pid for pid in (broker.pid, *(peer.pid for peer in self.peers)) if pid is not None]
        quiet = machine.wait_until_quiet(pids)
        raw = generator.run(flags, broker, self.arguments.seconds, self.cores.generator)
        return raw if quiet else {**raw, "broker_was_busy": True}


def idle(leveret: brokers.Leveret) -> dict[str, Any]:
    """Start time and memory of a Leveret that nobody has connected to."""
    time.sleep(SETTLE_S)
    rss = machine.rss_kib(leveret.pid or 0)
    return {
        "ready_ms": leveret.ready_ms,
        "wall_ms": round(leveret.wall_ms, 1),
        "rss_mb": None if rss is None else round(rss / 1024, 1),
        "errors": [],
    }


def progress(text: str) -> None:
    """Say on stderr what is going on; the tables on stdout stay clean."""
    print(text, file=sys.stderr, flush=True)


def summary(result: Result) -> str:
    """The few numbers of a run that are worth watching while the others are made."""
    parts = [f"{count} {fault.upper()}" for fault, count in result.faults.items()] + result.errors[:1]
    for value, unit in (
        (result.cpu_us_per_delivery, "us/msg"),
        (result.delivered_k_per_s, "k msg/s"),
        (result.kib_per_connection, "KiB per connection"),
        (result.number("ready_ms"), "ms to ready"),
        (result.number("confirm_latency_us.p50") if result.confirm_per_sync else None, "us to the confirm"),
        (result.confirm_per_sync, "synced appends"),
    ):
        if value is not None:
            parts.append(f"{value:.1f} {unit}")
    return ", ".join(parts)


def print_scenarios() -> None:
    """The table behind --list."""
    width = max(len(scenario.name) for scenario in SCENARIOS)
    for scenario in SCENARIOS:
        print(f"{scenario.name.ljust(width)}  {scenario.meaning}")
        if scenario.flags:
            print(f"{' ' * width}  amqpload {scenario.flags}")


def run(arguments: argparse.Namespace) -> int:
    """Prepare the machine, measure, print; returns the exit status."""
    scenarios = chosen(arguments.scenario)
    generator.build()
    peers = [brokers.peer(text) for text in arguments.peer]
    names = ([] if arguments.no_leveret else [LEVERET]) + [peer.name for peer in peers]
    if len(set(names)) != len(names):
        raise BrokerError(f"two peers have the same name: {', '.join(names)}")
    cores = machine.Cores.available()
    wanted = arguments.connections + SPARE_FILES
    before, now = machine.raise_open_files(wanted)
    progress(
        f"open files (RLIMIT_NOFILE): {now}"
        + (f", raised from {before}" if now != before else "")
        + (f"; too few: {wanted} are needed" if now < wanted else "")
    )
    facts = {
        **machine.description(),
        "pinning": str(cores),
        "open_files": now,
        "data_filesystem": machine.filesystem(arguments.data_parent),
    }
    about: dict[str, dict[str, Any]] = {name: {"version": "not started"} for name in names}
    for peer in peers:
        about[peer.name] = {"version": peer.version, "host": peer.host, "port": peer.port, "pid": peer.pid}
    options = {key: arguments.__dict__[key] for key in ("seconds", "repeat", "connections")}
    made = report.Report(facts, options, about)
    with contextlib.ExitStack() as pins:
        for peer in peers:
            progress(str(peer))
            pins.enter_context(machine.pinned(peer.pid, cores.broker))
        benchmark = Benchmark(arguments, cores, peers, made)
        try:
            benchmark.measure_all(scenarios)
        except KeyboardInterrupt:
            progress("interrupted; this is what was measured so far")
    print(report.tables(made, scenarios))
    print()
    for name, facts_of in made.brokers.items():
        print(f"{name}: {facts_of['version']}")
    print(report.machine_line(made))
    if made.brokers.get(LEVERET, {}).get("build") not in (None, "compiled"):
        print("Note: this Leveret is not the compiled build; its CPU time is not what a release needs.")
    if arguments.json:
        made.write_json(arguments.json)
    bad = made.bad()
    if bad:
        print(f"\n{'!' * 20} WRONG {'!' * 20}", *bad, sep="\n")
    return 1 if bad or not made.results else 0


def main() -> int:
    """Entry point; returns the exit status."""
    arguments = parse_arguments()
    if arguments.list:
        print_scenarios()
        return 0
    try:
        return run(arguments)
    except (BrokerError, ValueError, subprocess.CalledProcessError, FileNotFoundError) as error:
        progress(f"bench: {error}")
        return 2


if __name__ == "__main__":
    sys.exit(main())
