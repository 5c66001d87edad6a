"""The benchmark at work: the load generator against a broker, and a run from end to end."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench import brokers, generator, machine
from bench.benchmark import Benchmark
from bench.brokers import REPOSITORY, Broker, BrokerError
from bench.generator import FAULTS
from bench.report import Report
from bench.scenarios import QUICK, chosen

Address = tuple[str, int]


def amqpload(address: Address, flags: str, name: str) -> dict[str, Any]:
    """One second of load on queues of the test's own."""
    generator.build()
    words = [*flags.split(), "--prefix", f"bench-{name}", "--warmup", "0"]
    return generator.run(words, Broker("shared", *address, None, ""), 1, None)


def assert_clean(raw: dict[str, Any]) -> None:
    """Messages went through, all of them, and nothing else."""
    assert raw["errors"] == []
    assert {fault: raw[fault] for fault in FAULTS} == dict.fromkeys(FAULTS, 0)
    assert raw["delivered"] > 0


def test_headers_go_where_the_generator_expects_them(amqp_address: Address) -> None:
    raw = amqpload(amqp_address, "--headers 100 --queues 10 --auto-ack --inflight 2000", "headers")
    assert_clean(raw)
    assert raw["delivered"] > raw["published"]  # some messages match several bindings


def test_requeued_messages_come_until_they_are_acked(amqp_address: Address) -> None:
    raw = amqpload(amqp_address, "--consumers 3 --prefetch 50 --requeue 0.5 --inflight 500", "requeue")
    assert_clean(raw)
    assert raw["acked"] == raw["published"]
    assert raw["requeued"] == raw["redelivered"] == raw["delivered"] - raw["published"]
    assert 0.4 < raw["requeued"] / raw["delivered"] < 0.6


def test_all_publishers_get_their_turn(amqp_address: Address) -> None:
    raw = amqpload(amqp_address, "--producers 50 --count 20000 --inflight 100 --auto-ack", "turns")
    assert_clean(raw)
    assert raw["delivered"] == 20000
    assert raw["published_by_one"]["least"] > 100


def test_a_large_body_in_many_frames(amqp_address: Address) -> None:
    raw = amqpload(amqp_address, "--body 16777216 --count 3 --inflight 1 --auto-ack", "body")
    assert_clean(raw)
    assert raw["delivered"] == 3


def test_a_backlog_is_filled_and_drained(amqp_address: Address) -> None:
    filled = amqpload(amqp_address, "--publish-only --count 3000 --confirm 100", "backlog")
    assert (filled["confirmed"], filled["errors"]) == (3000, [])
    drained = amqpload(amqp_address, "--drain --count 3000 --prefetch 100", "backlog")
    assert_clean(drained)
    assert drained["acked"] == 3000


def test_what_does_not_arrive_is_lost(amqp_address: Address) -> None:
    amqpload(amqp_address, "--publish-only --count 30 --confirm 10", "lost")
    raw = amqpload(amqp_address, "--drain --count 50 --prefetch 10 --drain-wait 0.5", "lost")
    assert raw["lost"] == 20


@pytest.mark.parametrize("kind", ["queues", "queues --persistent", "bindings", "connections"])
def test_churn(amqp_address: Address, kind: str) -> None:
    raw = amqpload(amqp_address, f"--churn {kind} --producers 3", f"churn-{kind.split()[0]}")
    assert raw["errors"] == []
    assert raw["churn"] == kind.split()[0]
    assert raw["cycles"] > 0
    times = raw["cycle_us"]
    assert 0 < times["p50"] <= times["p99"] <= times["p999"] <= times["max"]


def test_churn_with_more_clients_than_there_is_time_for(amqp_address: Address) -> None:
    generator.build()
    words = ["--churn", "queues", "--producers", "150", "--seconds", "0", "--warmup", "0", "--prefix", "bench-crowd"]
    raw = generator.run(words, Broker("shared", *amqp_address, None, ""), 0, None)
    assert raw["errors"] == []


@pytest.fixture
def tls_broker(tmp_path: Path) -> Iterator[Broker]:
    """A Leveret with a port for TLS."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl")
    with brokers.leveret(False, None, tmp_path, tls=True) as leveret:
        assert leveret.tls_port is not None
        yield leveret
        assert leveret.problems == []


@pytest.mark.parametrize(
    "flags",
    [
        "--auto-ack --inflight 5000",
        "--body 1024 --prefetch 250 --inflight 5000",
        "--body 16777216 --count 3 --inflight 2 --auto-ack",
        "--producers 10 --consumers 3 --queues 3 --confirm 50 --count 20000 --prefetch 20",
    ],
)
def test_over_tls(tls_broker: Broker, flags: str) -> None:
    generator.build()
    raw = generator.run([*flags.split(), "--tls", "--warmup", "0"], tls_broker, 1, None)
    assert_clean(raw)
    assert raw["drained"]
    assert raw["delivered"] == raw["published"]


def test_connections_over_tls(tls_broker: Broker) -> None:
    generator.build()
    raw = generator.run(["--tls", "--connections-only", "40"], tls_broker, 1, None)
    assert (raw["alive_after"], raw["errors"]) == (40, [])
    raw = generator.run(["--tls", "--churn", "connections", "--producers", "3", "--warmup", "0"], tls_broker, 1, None)
    assert raw["errors"] == []
    assert raw["cycles"] > 0


def test_a_port_without_tls_is_told_from_one_with_it(amqp_address: Address) -> None:
    generator.build()
    without = Broker("shared", *amqp_address, None, "", tls_port=amqp_address[1])
    raw = generator.run(["--tls", "--count", "1"], without, 1, None)
    assert "wrong version number" in raw["errors"][0]


def test_without_a_port_for_tls_a_broker_is_left_out(
    amqp_address: Address, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # no openssl, no certificate
    shared = Broker("shared", *amqp_address, None, "")
    cores, made = machine.Cores(None, None), Report({}, {}, {"leveret": {}, "shared": {}})
    Benchmark(1, 1, QUICK, tmp_path, cores, [shared], made).measure_all(chosen(["tls-ack-1k"], []))
    assert [result.left_out for result in made.results] == [
        "no openssl to make a certificate with",
        "no port for TLS given",
    ]
    assert made.bad() == []


def test_peers(amqp_address: Address) -> None:
    host, port = amqp_address
    plain = brokers.peer(f"a={host}:{port},pid={os.getpid()}")
    assert (plain.port, plain.tls_port, plain.pid) == (port, None, os.getpid())
    both = brokers.peer(f"a={host}:{port},tls=5671,pid={os.getpid()}")
    assert (both.port, both.tls_port, both.pid) == (port, 5671, os.getpid())
    assert brokers.peer(f"a={host}:{port},tls=5671").tls_port == 5671
    with pytest.raises(BrokerError, match="tls=PORT"):
        brokers.peer(f"a={host}:{port},tls=yes")


def test_the_peak_of_memory_can_be_forgotten() -> None:
    def peak_kib() -> int:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))

    large = bytearray(os.urandom(1)) * 100_000_000
    before = peak_kib()
    del large
    assert machine.forget_peak_rss(os.getpid())
    assert peak_kib() < before - 50_000
    assert not machine.forget_peak_rss(2**22 + 1)  # no such process


def test_from_end_to_end(tmp_path: Path) -> None:
    """A quick run of one scenario, with a file and a page, and the page once more from the file."""
    out = tmp_path / "run.json"
    command = [sys.executable, str(REPOSITORY / "bench" / "run.py")]
    words = ["--quick", "--seconds", "1", "--repeat", "2", "--scenario", "ack-16", "--scenario", "start"]
    files = ["--json", str(out), "--page", str(tmp_path / "page.md"), "--data-parent", str(tmp_path)]
    done = subprocess.run(
        [*command, *words, *files],
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    made = json.loads(out.read_text())
    assert [(each["scenario"], each["repeat"]) for each in made["results"]] == [
        ("start", 1),
        ("start", 2),
        ("ack-16", 1),
        ("ack-16", 2),
    ]
    for result in made["results"][2:]:
        assert_clean(result["raw"])
        assert result["raw"]["drained"] is True
        assert result["raw"]["acked"] == result["raw"]["published"] == result["raw"]["delivered"]
    measured = {(each["scenario"], each["measure"]): each for each in made["summary"]}
    assert {key for _, key in measured} == {"ready_ms", "wall_ms", "idle_rss_mib", "cpu_us", "k_per_s", "peak_rss_mib"}
    assert all(0 < each["least"] <= each["median"] <= each["most"] for each in measured.values())
    assert {each["runs"] for each in measured.values()} == {2}
    assert made["brokers"]["leveret"]["version"].startswith("Leveret ")
    assert made["machine"]["date"]
    assert "ack-16" in done.stdout
    assert "0/0/0/0" in done.stdout
    again = subprocess.run(
        [*command, "--from", str(out), "--page", str(tmp_path / "again.md")],
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert again.returncode == 0
    first, second = ((tmp_path / name).read_text() for name in ("page.md", "again.md"))
    assert first.replace("page/", "again/") == second
    assert (tmp_path / "page" / "throughput.svg").read_bytes() == (tmp_path / "again" / "throughput.svg").read_bytes()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("leveret-bench-")] == []
