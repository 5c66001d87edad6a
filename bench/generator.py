"""Build and run amqpload, and define the result type.

amqpload prints one JSON object, which is stored in `Result.raw`. The properties only name and scale the values for the
tables, so each number in a table can be traced to a key in amqpload.md.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench import machine
from bench.brokers import Broker

FOLDER = Path(__file__).resolve().parent
SOURCES = (FOLDER / "amqpload.c", FOLDER / "amqpload.h")
PROGRAM = FOLDER / "build" / "amqpload"
QUEUE_PREFIX = "leveret-bench"  # queues of this name are deleted and declared by every run
FAULTS = ("lost", "duplicated", "reordered", "corrupt")
LIMIT_S = 600  # in case amqpload does not end by itself, after draining a backlog
MIB = 1024 * 1024
GENERATOR_BOUND = 0.95  # of its core: above this, amqpload limits the rate more than the broker


@dataclass
class Result:
    """One run of one scenario, or of one half of it, against one broker."""

    scenario: str
    broker: str
    repeat: int
    part: str = ""
    flags: list[str] = field(default_factory=list)
    raw: dict[str, Any] = field(default_factory=dict)

    def number(self, key: str) -> float | None:
        """A number from amqpload; dots access nested objects, as in `latency_us.p99`."""
        value: Any = self.raw
        for part in key.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        return float(value) if isinstance(value, int | float) else None

    @property
    def errors(self) -> list[str]:
        """Errors besides lost, duplicated, reordered or corrupt messages."""
        return [str(error) for error in self.raw.get("errors", [])]

    @property
    def left_out(self) -> str:
        """Why there was no run; empty if there was one."""
        return str(self.raw.get("left_out", ""))

    @property
    def faults(self) -> dict[str, int]:
        """The numbers of lost, duplicated, reordered and corrupt messages, without zeros."""
        return {key: int(count) for key in FAULTS if (count := self.number(key))}

    @property
    def per_s(self) -> float | None:
        """Deliveries per second; publishes if there are no consumers; cycles in churn scenarios."""
        if "churn" in self.raw:
            return self.number("cycles_per_s")
        return self.number("delivered_per_s") or self.number("published_per_s")

    @property
    def k_per_s(self) -> float | None:
        """The rate in thousands per second."""
        return None if self.per_s is None else self.per_s / 1000

    @property
    def cpu_us(self) -> float | None:
        """CPU time of the broker process per message, in microseconds.

        amqpload divides by the larger of deliveries and publishes; this divides by deliveries if there are any.
        """
        if "churn" in self.raw:
            return self.number("broker_us_per_cycle") or None
        cost, per_s = self.number("broker_us_per_msg"), self.per_s
        delivered, published = self.number("delivered_per_s"), self.number("published_per_s")
        if not cost or not per_s or delivered is None or published is None:
            return None
        return cost * max(delivered, published) / per_s

    @property
    def mib_per_s(self) -> float | None:
        """Bodies delivered, in MiB per second."""
        rate = self.number("bytes_per_s")
        return None if rate is None else rate / MIB

    @property
    def cpu_us_per_mib(self) -> float | None:
        """CPU time of the broker process per MiB of bodies delivered."""
        mib, cost, per_s = self.mib_per_s, self.cpu_us, self.per_s
        return None if not mib or cost is None or per_s is None else cost * per_s / mib

    @property
    def delivered_share(self) -> float | None:
        """Deliveries per publish in the measured time."""
        delivered, published = self.number("delivered_per_s"), self.number("published_per_s")
        return None if delivered is None or not published else delivered / published

    @property
    def kib_per_connection(self) -> float | None:
        """Growth of the broker's resident memory per idle connection."""
        before, after = self.number("rss_before_mb"), self.number("broker_rss_mb")
        connections = self.number("connections")
        if before is None or after is None or not connections:
            return None
        return (after - before) * 1024 / connections

    @property
    def idle_cpu_percent(self) -> float | None:
        """CPU usage of the broker with idle connections, in percent of a core."""
        used, held = self.number("broker_cpu_while_idle_s"), self.number("held_s")
        return None if used is None or not held or "rss_before_mb" not in self.raw else 100 * used / held

    @property
    def confirm_per_sync(self) -> float | None:
        """The median time to a confirm, divided by the median of a bare append with fdatasync."""
        confirm, bare = self.number("confirm_latency_us.p50"), self.number("synced_append_us.p50")
        return None if confirm is None or not bare else confirm / bare

    @property
    def generator_bound(self) -> bool:
        """Whether amqpload itself was at its limit."""
        return (self.number("own_cpu") or 0.0) >= GENERATOR_BOUND


def build() -> None:
    """Compile amqpload unless it is newer than its sources. Safe if run concurrently."""
    if PROGRAM.exists() and PROGRAM.stat().st_mtime >= max(source.stat().st_mtime for source in SOURCES):
        return
    PROGRAM.parent.mkdir(exist_ok=True)
    compiler = os.environ.get("CC", "gcc")
    with tempfile.TemporaryDirectory(dir=PROGRAM.parent) as directory:
        made = Path(directory, PROGRAM.name)
        subprocess.run([compiler, "-O2", "-pthread", "-o", str(made), str(SOURCES[0]), "-ldl"], check=True)
        made.replace(PROGRAM)


def run(flags: list[str], broker: Broker, seconds: int, core: int | None) -> dict[str, Any]:
    """Run amqpload once against a broker; with --tls, on its TLS port.

    Returns: its JSON object, with `errors` if it failed.
    """
    port = broker.tls_port if "--tls" in flags else broker.port
    command = [str(PROGRAM), "--host", broker.host, "--port", str(port), "--prefix", QUEUE_PREFIX]
    command += ["--seconds", str(seconds), *flags]
    before_kib, peak_is_of_run = None, False
    if broker.pid is not None:
        command += ["--pid", str(broker.pid)]
        before_kib = machine.rss_kib(broker.pid)
        peak_is_of_run = machine.forget_peak_rss(broker.pid)
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
            preexec_fn=functools.partial(machine.pin_self, core),
        )
    except subprocess.TimeoutExpired:
        return {"errors": [f"amqpload was stopped after {LIMIT_S} s"]}
    try:
        raw: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        return {"errors": [f"amqpload ended with status {done.returncode}: {done.stderr.strip()[-300:]}"]}
    if before_kib is not None:
        raw["rss_before_mb"] = round(before_kib / 1024, 1)
    if not peak_is_of_run:
        raw.pop("broker_peak_rss_mb", None)
    alive, connections = raw.get("alive_after"), raw.get("connections")
    if alive != connections:
        raw["errors"].append(f"{alive} of {connections} connections still open at the end")
    if done.returncode != 0 and not raw["errors"] and not any(raw.get(fault) for fault in FAULTS):
        raw["errors"].append(f"amqpload ended with status {done.returncode}, drained: {raw.get('drained')}")
    return raw
