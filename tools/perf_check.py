"""Count the broker's instructions per message, and compare them with the budget.

    python tools/perf_check.py                     # exit status 1 if a count grew by more than 3 %
    python tools/perf_check.py --scenario ack-16
    python tools/perf_check.py --update            # make the current counts the budget

The counts come from callgrind, part of valgrind, and do not depend on the load of the machine; those of durable
scenarios vary slightly with the number of messages per write. They do not include the kernel. They depend on the
compiler and the Python version, which the budget names. See docs/performance.md.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import brokers, generator
from bench.scenarios import SCENARIOS, Scenario

os.environ["LEVERET_MANAGEMENT_PORT"] = "off"  # the start of the HTTP API would be counted

REPOSITORY = Path(__file__).resolve().parent.parent
BUDGET = REPOSITORY / "bench" / "budget.toml"
COUNTED = (
    *("auto-ack-16", "auto-ack-1k", "ack-16", "ack-1k"),
    *("durable-16", "durable-1k", "fanout-16", "fanout-1k", "topic-16", "headers-16"),
)
MESSAGES = 40_000  # published; each counts as many times as it is delivered
WARM_UP = 5_000
DURABLE_RUNS = 3  # use the minimum, as the number of messages per write varies
TOLERANCE = 0.03


class Count:
    """One scenario: instructions per delivered message, and the budget."""

    def __init__(self, name: str, instructions: float, budget: int | None) -> None:
        self.name = name
        self.instructions = round(instructions)
        self.budget = budget

    @property
    def change(self) -> float | None:
        """The relative difference to the budget, 0.01 for 1 % more; None without a budget."""
        return None if not self.budget else self.instructions / self.budget - 1

    @property
    def is_exceeded(self) -> bool:
        """Whether the count exceeds the tolerance."""
        return self.change is not None and self.change > TOLERANCE

    def __str__(self) -> str:
        if self.change is None:
            return f"{self.name:<14}{self.instructions:>8}  no budget"
        verdict = "  EXCEEDED" if self.is_exceeded else ""
        return f"{self.name:<14}{self.instructions:>8}{self.budget:>8}{self.change:>+8.1%}{verdict}"


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenario", action="append", choices=COUNTED, metavar="NAME", help="repeatable (all)")
    parser.add_argument("--update", action="store_true", help=f"write {BUDGET.relative_to(REPOSITORY)}")
    return parser.parse_args()


def toolchain() -> str:
    """The toolchain that the counts depend on."""
    return f"{platform.machine()}, CPython {platform.python_version()}, {platform.python_compiler()}"


def chosen(names: list[str] | None) -> list[Scenario]:
    """The scenarios to count, in the order of the table."""
    return [scenario for scenario in SCENARIOS if scenario.name in (names or COUNTED)]


@contextmanager
def counted(durable: bool, directory: Path) -> Iterator[tuple[brokers.Leveret, Path]]:
    """A broker under callgrind, and the prefix of its dumps."""
    dumps = directory / ("durable" if durable else "memory")
    under = ["valgrind", "--quiet", "--tool=callgrind", f"--callgrind-out-file={dumps}"]
    with brokers.leveret(durable, None, directory, under) as broker:
        yield broker, dumps


def count(scenario: Scenario, broker: brokers.Leveret, dumps: Path) -> float:
    """Instructions per delivered message. Raises: SystemExit, if the run had errors."""
    flags = [*scenario.arguments(), "--count"]
    _run([*flags, str(WARM_UP)], broker)
    _control("--zero", broker)
    delivered = _run([*flags, str(MESSAGES)], broker)
    before = set(dumps.parent.glob(f"{dumps.name}.*"))
    _control("--dump", broker)
    (dump,) = set(dumps.parent.glob(f"{dumps.name}.*")) - before
    found = re.search(r"^(?:summary|totals): (\d+)", dump.read_text(), re.MULTILINE)
    assert found is not None, dump
    return int(found[1]) / delivered


def _run(flags: list[str], broker: brokers.Leveret) -> int:
    raw = generator.run(flags, broker, 0, None)
    faults = {name: raw.get(name) for name in generator.FAULTS if raw.get(name)}
    if raw["errors"] or faults:
        raise SystemExit(f"amqpload {' '.join(flags)}: {raw['errors']} {faults}")
    delivered: int = raw["delivered"]
    return delivered


def _control(what: str, broker: brokers.Leveret) -> None:
    subprocess.run(["callgrind_control", what, str(broker.pid)], check=True, capture_output=True)


def write(counts: list[Count]) -> None:
    """Write these counts to the budget. Other scenarios stay unchanged."""
    kept = {**_budget()[1], **{each.name: each.instructions for each in counts}}
    lines = ["# Instructions for a delivered message. Written by tools/perf_check.py --update.", ""]
    lines += [f'toolchain = "{toolchain()}"', "", "[instructions]"]
    lines += [f"{name} = {kept[name]}" for name in COUNTED if name in kept]
    BUDGET.write_text("\n".join(lines) + "\n")


def _budget() -> tuple[str, dict[str, int]]:
    """The toolchain of the budget, and the allowed counts."""
    if not BUDGET.exists():
        return toolchain(), {}
    found = tomllib.loads(BUDGET.read_text())
    return found["toolchain"], found["instructions"]


def main() -> int:
    """Count, compare and report."""
    arguments = parse()
    if shutil.which("valgrind") is None:
        print("perf-check needs valgrind; install it with the system's package manager", file=sys.stderr)
        return 2
    generator.build()
    made_for, budget = _budget()
    if made_for != toolchain():
        print(f"the budget was made for {made_for}, this is {toolchain()}: expect other numbers")
    counts: list[Count] = []
    print(f"{'scenario':<14}{'now':>8}{'budget':>8}{'change':>8}   (instructions for a delivered message)")
    with tempfile.TemporaryDirectory(prefix="leveret-perf-") as directory:
        for durable in (False, True):
            scenarios = [scenario for scenario in chosen(arguments.scenario) if scenario.durable == durable]
            if not scenarios:
                continue
            with counted(durable, Path(directory)) as (broker, dumps):
                if broker.build != "compiled":
                    print(f"this is the {broker.build} build; run make first", file=sys.stderr)
                    return 2
                for scenario in scenarios:
                    found = min(count(scenario, broker, dumps) for _ in range(DURABLE_RUNS if durable else 1))
                    counts.append(Count(scenario.name, found, budget.get(scenario.name)))
                    print(counts[-1], flush=True)
    if arguments.update:
        write(counts)
    elif any(each.is_exceeded for each in counts):
        print(f"more than {TOLERANCE:.0%} over the budget: fix it, or run with --update and explain why in the commit")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
