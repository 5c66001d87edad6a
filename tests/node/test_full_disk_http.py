"""The HTTP API beside a disk that takes nothing: reads go on, and no write is told to be done that is not kept."""

from __future__ import annotations

import contextlib
import json
import resource
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from leveret.api.operations import OPERATIONS
from tests.api.http import Http, Reply
from tests.brokers.process import Server
from tests.clients.waiting import eventually
from tests.node.conftest import DISK_MB

ENDLESS = "/leveret/events"
PATIENT_S = 60.0  # longer than an answer waits for the disk
PUBLISH = "exchanges/%2F/amq.default/publish"
NAMES = {"vhost": "%2F", "exchange": "amq.direct", "source": "amq.direct", "destination": "q", "queue": "q"}
NAMES |= {"dtype": "q", "user": "guest", "node": "x", "unit": "days", "within": "1"}


@dataclass(frozen=True)
class Write:
    """Something that the data directory keeps. seen: where it is when it is done, or no more for a deletion."""

    method: str
    path: str
    body: object = None
    seen: str = ""

    @property
    def is_there(self) -> str:
        """Where one sees whether it is done."""
        return self.seen or self.path


POLICY = {"pattern": "^new", "definition": {"max-length": 7}, "apply-to": "queues"}
EVERYTHING = {"configure": ".*", "write": ".*", "read": ".*"}
WRITES = [
    Write("PUT", "queues/%2F/new", {"durable": True}),
    Write("PUT", "exchanges/%2F/new", {"type": "fanout", "durable": True}),
    Write("POST", "bindings/%2F/e/amq.direct/q/q", {"routing_key": "new"}, "bindings/%2F/e/amq.direct/q/q/new"),
    Write("PUT", "users/new", {"password": "secret", "tags": "management"}),
    Write("PUT", "permissions/%2F/old", EVERYTHING),
    Write("PUT", "topic-permissions/%2F/old", {"exchange": "amq.topic", "write": "", "read": ""}),
    Write("PUT", "policies/%2F/new", POLICY),
    Write("PUT", "operator-policies/%2F/new", POLICY),
    Write("PUT", "parameters/shovel/%2F/new", {"value": {"a": 1}}),
    Write("PUT", "global-parameters/new", {"value": 1}),
    Write("PUT", "vhosts/new", {"description": "", "protected_from_deletion": True}, "permissions/new/guest"),
    Write("POST", "definitions", {"users": [{"name": "brought", "password_hash": "", "tags": ""}]}, "users/brought"),
    Write("POST", "leveret/verbs/add_user", {"name": "verbal", "password": "secret"}, "users/verbal"),
    Write("DELETE", "queues/%2F/doomed"),
    Write("DELETE", "users/doomed"),
    Write("POST", "users/bulk-delete", {"users": ["doomed1", "doomed2"]}, "users/doomed2"),
]


class Disk:
    """Where a broker has its data, and what happens to it. http: who asks."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.log = directory.parent / "log"
        self.http = Http("")
        self.server: Server | None = None
        self.start()

    def start(self) -> None:
        """Start a broker."""
        options = ("--data-dir", str(self.directory), "--log-level", "error", "--disk-free-limit", "0")
        self.server = Server.start(*options, "--management-port", "0", log=self.log)
        self.http = Http(self.server.api, timeout_s=PATIENT_S)

    def end(self, sig: int = signal.SIGTERM) -> int:
        """End it. Returns: the exit code."""
        assert self.server is not None
        code = self.server.stop(sig)
        assert "Traceback" not in self.log.read_text()
        return code

    @contextlib.contextmanager
    def failing(self) -> Iterator[None]:
        """No file grows any more."""
        assert self.server is not None
        pid = self.server.process.pid
        unlimited = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (1, unlimited[1]))
        try:
            yield
        finally:
            resource.prlimit(pid, resource.RLIMIT_FSIZE, unlimited)

    def publish(self, mode: int = 2) -> Reply:
        """Publish a message."""
        text = {"routing_key": "q", "payload": "x" * 5000, "payload_encoding": "string"}
        return self.http.ask("POST", PUBLISH, {**text, "properties": {"delivery_mode": mode}})

    def furnish(self) -> None:
        """Make what writes are about."""
        for queue in ("q", "doomed"):
            self.http.ask("PUT", f"queues/%2F/{queue}", {"durable": True}).expect(201)
        for user in ("old", "doomed", "doomed1", "doomed2"):
            self.http.ask("PUT", f"users/{user}", {"password_hash": "", "tags": ""}).expect(201)

    def is_done(self, write: Write) -> bool:
        """Whether one can see it."""
        status = self.http.ask("GET", write.is_there).expect(200, 404).status
        is_gone = write.method == "DELETE" or write.path.endswith("bulk-delete")
        return (status == 404) is is_gone


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """A broker with its data in an empty directory."""
    disk = Disk(tmp_path / "data")
    yield disk
    assert disk.server is not None
    disk.server.stop(signal.SIGKILL)


def reason(reply: Reply) -> str:
    """Why something was refused."""
    found: Any = reply.json
    assert found["error"]
    return str(found["reason"])


def at_once(asks: list[Callable[[], Reply]]) -> list[Future[Reply]]:
    """Ask all of them at the same time."""
    pool = ThreadPoolExecutor(len(asks))
    try:
        return [pool.submit(ask) for ask in asks]
    finally:
        pool.shutdown(wait=False)


def ask(disk: Disk, write: Write) -> Callable[[], Reply]:
    """Asks for a write."""
    return lambda: disk.http.ask(write.method, write.path, write.body)


def test_writes_wait_for_the_disk_and_nothing_else_does(disk: Disk) -> None:
    disk.furnish()
    disk.publish().expect(200)
    with disk.failing():
        assert "cannot be written to the data directory" in reason(disk.publish().expect(503))
        eventually(lambda: "low on disk" in reason(disk.publish().expect(503)))
        waiting = at_once([ask(disk, write) for write in WRITES])
        eventually(lambda: all(map(disk.is_done, WRITES)))
        for operation in OPERATIONS:
            if operation.method == "GET" and operation.path != ENDLESS:
                path = operation.path.format_map(dict.fromkeys(operation.parameters, "x") | NAMES)
                reply = disk.http.ask("GET", f"/api{path}")
                assert reply.status in (200, 400, 404) or "reason" in json.loads(reply.body), (path, reply)
                assert reply.status != 500
        for path in ("leveret/status", "definitions", "queues", "overview"):
            disk.http.ask("GET", path).expect(200)
        disk.http.ask("POST", "leveret/verbs/list_users", {}).expect(200)
        disk.http.ask("PUT", "queues/%2F/fleeting", {"durable": False}).expect(201)
        disk.http.ask("PUT", "exchanges/%2F/fleeting", {"type": "direct", "durable": False}).expect(201)
        between = "bindings/%2F/e/fleeting/q/fleeting"
        disk.http.ask("POST", between, {"routing_key": "k"}).expect(201)
        disk.http.ask("DELETE", f"{between}/k").expect(204)
        got = disk.http.ask("POST", "queues/%2F/q/get", {"count": 2, "ackmode": "ack_requeue_true", "encoding": "auto"})
        assert got.expect(200).body.count(b"payload_encoding") == 2  # one of them only as long as the broker runs
        disk.http.ask("DELETE", "queues/%2F/q/contents").expect(204)
        disk.http.ask("DELETE", "exchanges/%2F/fleeting").expect(204)
        disk.http.ask("DELETE", "queues/%2F/fleeting").expect(204)
        for write, answer in zip(WRITES, waiting, strict=True):
            text = reason(answer.result().expect(503))
            assert "is done, but cannot be written to the data directory" in text, write
    eventually(lambda: disk.publish().status == 200)
    disk.end(signal.SIGKILL)
    disk.start()
    for write in WRITES:
        assert disk.is_done(write), write
        disk.http.ask(write.method, write.path, write.body).expect(
            200, 201, 204, 404, 400 if "verbs" in write.path else 204
        )
    disk.publish().expect(200)
    assert disk.end() == 0


def test_writes_that_wait_are_answered_when_the_disk_works(disk: Disk) -> None:
    disk.furnish()
    binding = WRITES[2]
    assert binding.path.startswith("bindings")
    with disk.failing():
        waiting = at_once([ask(disk, write) for write in WRITES])
        eventually(lambda: all(map(disk.is_done, WRITES)))
        waiting += at_once([lambda: disk.http.ask("DELETE", binding.seen)])
        eventually(lambda: disk.http.ask("GET", binding.seen).status == 404)
    for write, answer in zip([*WRITES, binding], waiting, strict=True):
        assert answer.result().status in (200, 201, 204), (write, answer.result())
    disk.end(signal.SIGKILL)
    disk.start()
    for write in WRITES:
        assert disk.is_done(write) is (write is not binding), write
    assert disk.end() == 0


def test_what_was_answered_before_the_disk_was_full_is_there(small_disk: Path) -> None:
    disk = Disk(small_disk / "data")
    try:
        disk.furnish()
        (small_disk / "ballast").write_bytes(bytes(max(shutil.disk_usage(small_disk).free - (1 << 20), 0)))
        done = set()
        pad = "x" * 60_000
        for number in range(2_000):
            reply = disk.http.ask("PUT", f"global-parameters/p{number}", {"value": pad})
            if reply.expect(201, 503).status == 503:
                break
            done.add(f"p{number}")
        assert "cannot be written" in reason(reply)
        assert "low on disk" in reason(disk.publish().expect(503))
        assert disk.http.ask("GET", "queues").expect(200)
        disk.end(signal.SIGKILL)
        (small_disk / "ballast").unlink()
        subprocess.run(["mount", "-o", f"remount,size={10 * DISK_MB}m", str(small_disk)], check=True)
        disk.start()
        found: Any = disk.http.ask("GET", "global-parameters").expect(200).json
        assert done <= {each["name"] for each in found}
        disk.http.ask("PUT", "global-parameters/last", {"value": pad}).expect(201)
        disk.publish().expect(200)
        assert disk.end() == 0
    finally:
        assert disk.server is not None
        disk.server.stop(signal.SIGKILL)
