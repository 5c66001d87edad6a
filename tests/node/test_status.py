"""leveret status, and what it says of the event loop."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pika

from tests.brokers.process import Server
from tests.clients.command_line import leveret


def test_status(tmp_path: Path) -> None:
    result = leveret("status", "--data-dir", str(tmp_path))
    assert result.returncode == 1
    assert "there is no data" in result.stderr
    server = Server.start("--data-dir", str(tmp_path))
    connection = pika.BlockingConnection(pika.URLParameters(server.url))
    connection.channel().queue_declare("q")
    found = json.loads(leveret("status", "--json", "--seconds", "10", "--data-dir", str(tmp_path)).stdout)
    assert (found["connections"], found["queues"], found["virtual_hosts"], found["alarm"]) == (1, 1, 1, "")
    assert 0 < found["loop_longest_ms_recent"] <= found["loop_longest_ms"]
    assert found["recent_s"] == 10
    lines = leveret("status", "--data-dir", str(tmp_path)).stdout.splitlines()
    assert lines[0].split() == ["what", "value"]
    assert ["connections", "1"] in [line.split() for line in lines]
    refused = leveret("status", "--seconds", "61", "--data-dir", str(tmp_path))
    assert (refused.returncode, refused.stderr) == (1, "leveret: seconds: expected 1 to 60\n")
    connection.close()
    assert server.stop() == 0
    assert "this command needs one" in leveret("status", "--data-dir", str(tmp_path)).stderr


def test_a_stall_is_counted_and_told(tmp_path: Path) -> None:
    server = Server.start("--data-dir", str(tmp_path))
    os.kill(server.process.pid, signal.SIGSTOP)
    time.sleep(1.5)
    os.kill(server.process.pid, signal.SIGCONT)
    found = json.loads(leveret("status", "--json", "--data-dir", str(tmp_path)).stdout)
    assert found["loop_longest_ms"] > 300
    assert found["loop_stalls"] >= 1
    assert server.stop() == 0
