"""Measure Leveret, side by side with any other AMQP 0-9-1 broker, on this machine.

    python bench/run.py                                     every scenario, Leveret alone
    python bench/run.py --peer rabbitmq=127.0.0.1:5672      the same, alternating with a running RabbitMQ
    python bench/run.py --scenario ack-16 --repeat 9        one scenario, nine times
    python bench/run.py --peer ... --page benchmarks.md     and a page with plots

Needs only the standard library and gcc, except for the plots of a page. README.md in this folder explains the
measurements. Exit status 1: a message was lost, duplicated, reordered or corrupt, or a run failed; 2: nothing could
run.
"""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # for `python bench/run.py`

from bench import brokers, generator, machine, report
from bench.benchmark import Benchmark, progress
from bench.brokers import LEVERET, BrokerError
from bench.scenarios import FULL, LATENCY_SECONDS, QUICK, QUICK_SECONDS, SCENARIOS, SECONDS, Group, chosen

SPARE_FILES = 500  # open files of a broker besides connections
REPEATS = 5


def parse_arguments(given: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Measure Leveret, and other brokers next to it.")
    parser.add_argument("--scenario", action="append", default=[], metavar="NAME", help="repeatable (all)")
    parser.add_argument("--group", action="append", default=[], metavar="NAME", help=f"repeatable: {', '.join(Group)}")
    parser.add_argument(
        "--peer",
        action="append",
        default=[],
        metavar="NAME=HOST:PORT[,tls=PORT][,pid=N]",
        help="a running broker to alternate with (repeatable); a local pid is found by itself",
    )
    parser.add_argument("--no-leveret", action="store_true", help="measure the peers only")
    parser.add_argument(
        "--seconds", type=int, metavar="N", help=f"measured seconds of a run ({SECONDS}, for latency {LATENCY_SECONDS})"
    )
    parser.add_argument("--repeat", type=int, metavar="N", help=f"alternating runs of a scenario ({REPEATS})")
    parser.add_argument(
        "--quick",
        action="store_true",
        help=f"{QUICK_SECONDS} s, one run, {QUICK.connections} connections, a backlog of {QUICK.backlog}",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write medians and every result, raw")
    parser.add_argument(
        "--page", type=Path, metavar="FILE", help="write a Markdown page, its plots in a folder beside it"
    )
    parser.add_argument(
        "--from", type=Path, metavar="FILE", dest="source", help="measure nothing: show an earlier --json"
    )
    parser.add_argument(
        "--data-parent",
        type=Path,
        default=Path(tempfile.gettempdir()),
        metavar="DIR",
        help="where durable runs of Leveret keep their data for a while (the system's temporary directory)",
    )
    parser.add_argument("--list", action="store_true", help="print the scenarios and end")
    arguments = parser.parse_args(given)
    if arguments.quick:
        arguments.seconds = arguments.seconds or QUICK_SECONDS
    arguments.repeat = arguments.repeat or (1 if arguments.quick else REPEATS)
    arguments.sizes = QUICK if arguments.quick else FULL
    if arguments.no_leveret and not arguments.peer and not arguments.list:
        parser.error("--no-leveret needs at least one --peer")
    if (arguments.seconds is not None and arguments.seconds < 1) or arguments.repeat < 1:
        parser.error("--seconds and --repeat must be at least 1")
    return arguments


def command_of(arguments: argparse.Namespace) -> str:
    """The command line, without options that do not affect the numbers."""
    parts = ["python bench/run.py"]
    parts += [f"--scenario {name}" for name in arguments.scenario] + [f"--group {name}" for name in arguments.group]
    parts += [f"--peer {text}" for text in arguments.peer]
    parts += ["--no-leveret"] if arguments.no_leveret else []
    parts += ["--quick"] if arguments.quick else []
    if arguments.seconds is not None and not (arguments.quick and arguments.seconds == QUICK_SECONDS):
        parts.append(f"--seconds {arguments.seconds}")
    if arguments.repeat != (1 if arguments.quick else REPEATS):
        parts.append(f"--repeat {arguments.repeat}")
    return " ".join(parts)


def print_scenarios() -> None:
    """Print the table for --list."""
    width = max(len(scenario.name) for scenario in SCENARIOS)
    for group in Group:
        print(f"{group}:")
        for scenario in SCENARIOS:
            if scenario.group is not group:
                continue
            print(f"  {scenario.name.ljust(width)}  {scenario.meaning}")
            for part in scenario.parts:
                if flags := scenario.arguments(part):
                    print(f"  {' ' * width}  amqpload {' '.join(flags)}")


def measure(arguments: argparse.Namespace) -> report.Report:
    """Prepare the machine and measure. After an interrupt, returns the results so far."""
    scenarios = chosen(arguments.scenario, arguments.group)
    generator.build()
    peers = [brokers.peer(text) for text in arguments.peer]
    names = ([] if arguments.no_leveret else [LEVERET]) + [peer.name for peer in peers]
    if len(set(names)) != len(names):
        raise BrokerError(f"two peers have the same name: {', '.join(names)}")
    cores = machine.Cores.available()
    wanted = arguments.sizes.connections + SPARE_FILES
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
        if peer.tls_port is not None:
            about[peer.name]["tls_port"] = peer.tls_port
    sizes = arguments.sizes
    options = {
        "command": command_of(arguments),
        "seconds": arguments.seconds,
        "repeat": arguments.repeat,
        "connections": sizes.connections,
        "backlog": sizes.backlog,
    }
    made = report.Report(facts, options, about)
    with contextlib.ExitStack() as pins:
        for peer in peers:
            progress(str(peer))
            pins.enter_context(machine.pinned(peer.pid, cores.broker))
        benchmark = Benchmark(arguments.seconds, arguments.repeat, sizes, arguments.data_parent, cores, peers, made)
        try:
            benchmark.measure_all(scenarios)
        except KeyboardInterrupt:
            progress("interrupted; this is what was measured so far")
    return made


def show(made: report.Report, arguments: argparse.Namespace) -> int:
    """Print the tables and write the requested files. Returns: the exit status."""
    for table in made.tables(made.scenarios):
        print(report.as_text(table), end="\n\n")
    for name, facts_of in made.brokers.items():
        print(f"{name}: {facts_of['version']}")
    print(report.machine_line(made))
    if made.brokers.get(LEVERET, {}).get("build") not in (None, "compiled"):
        print("Note: this Leveret is not the compiled build; its CPU time is not what a release needs.")
    if arguments.json:
        made.write_json(arguments.json)
    if arguments.page:
        from bench import page  # the plots need an extra library

        page.write(made, arguments.page)
    bad = made.bad()
    if bad:
        print(f"\n{'!' * 20} WRONG {'!' * 20}", *bad, sep="\n")
    return 1 if bad or not made.results else 0


def main() -> int:
    """Entry point; returns the exit status."""
    arguments = parse_arguments(sys.argv[1:])
    if arguments.list:
        print_scenarios()
        return 0
    try:
        made = report.Report.read(arguments.source) if arguments.source else measure(arguments)
    except (BrokerError, ValueError, KeyError, subprocess.CalledProcessError, OSError) as error:
        progress(f"bench: {error}")
        return 2
    return show(made, arguments)


if __name__ == "__main__":
    sys.exit(main())
