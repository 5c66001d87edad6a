"""Operations of the HTTP API through the control socket, as any program may ask for them."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.brokers.process import Server

QUEUES = 2_000  # more than one piece of an answer


class Asker:
    """Somebody at the control socket."""

    def __init__(self, data: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(20)
        self._socket.connect(str(data / "control.sock"))
        self._answers = self._socket.makefile("rb")
        self.pieces = 0  # of the last answer

    def send(self, arguments: object, body: bytes = b"") -> dict[str, Any]:
        """A request, and the first line of its answer."""
        request: dict[str, object] = {"verb": "ask", "arguments": arguments}
        if body:
            request["bytes"] = len(body)
        self._socket.sendall(json.dumps(request).encode() + b"\n" + body)
        answer = json.loads(self._answers.readline())
        assert isinstance(answer, dict)
        return answer

    def ask(self, method: str, path: str, body: object = None, **query: str) -> tuple[int, Any]:
        """The status, and the body as it is read."""
        data = b"" if body is None else json.dumps(body).encode()
        answer = self.send({"method": method, "path": path, "query": query}, data)
        found = b""
        self.pieces = 0
        while True:
            self.pieces += 1
            found += self._answers.read(answer.get("bytes", 0))
            if not answer["result"]["more"]:
                break
            answer = json.loads(self._answers.readline())
        return answer["result"]["status"], json.loads(found) if found else None

    def close(self) -> None:
        """Hang up."""
        self._answers.close()
        self._socket.close()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The data directory of a broker without a port for its API, and with many queues."""
    place = tmp_path_factory.mktemp("broker")
    queues = [
        {"name": f"q{number}", "vhost": "/", "durable": True, "auto_delete": False, "arguments": {}}
        for number in range(QUEUES)
    ]
    (place / "definitions.json").write_text(json.dumps({"queues": queues}))
    options = ("--management-port", "off", "--definitions", str(place / "definitions.json"))
    server = Server.start("--data-dir", str(place / "data"), *options)
    try:
        yield place / "data"
    finally:
        server.stop()


@pytest.fixture
def asker(data: Path) -> Iterator[Asker]:
    """Somebody who asks it."""
    found = Asker(data)
    yield found
    found.close()


def test_a_long_list_comes_in_pieces(asker: Asker) -> None:
    status, found = asker.ask("GET", "/queues")
    assert (status, len(found)) == (200, QUEUES)
    assert asker.pieces > 10
    assert asker.ask("GET", "/queues", columns="name", page="2", page_size="3")[1]["items"] == [
        {"name": name} for name in ("q100", "q1000", "q1001")
    ]


def test_names_in_paths(asker: Asker) -> None:
    assert asker.ask("PUT", "/vhosts/a%2Fb") == (201, None)
    assert asker.ask("PUT", "/queues/a%2Fb/x%20y%C3%BC", {"durable": True}) == (201, None)
    status, found = asker.ask("GET", "/queues/a%2Fb/x%20y%C3%BC")
    assert (status, found["name"], found["vhost"]) == (200, "x yü", "a/b")
    assert asker.ask("GET", "/queues/detailed", columns="name", page="1", name="x y")[1]["item_count"] == 1
    assert asker.ask("DELETE", "/vhosts/a%2Fb")[0] == 204


def test_it_may_do_what_an_administrator_may(asker: Asker) -> None:
    who = asker.ask("GET", "/whoami")[1]
    assert (who["name"], who["tags"]) == ("(control socket)", ["administrator", "impersonator"])
    assert [user["name"] for user in asker.ask("GET", "/users")[1]] == ["guest"]
    assert asker.ask("PUT", "/vhosts/new")[0] == 201
    assert asker.ask("PUT", "/queues/new/q", {}) == (201, None)
    routed = {"routing_key": "q", "payload": "x", "payload_encoding": "string", "properties": {}}
    assert asker.ask("POST", "/exchanges/new/amq.default/publish", routed) == (200, {"routed": True})
    assert asker.ask("DELETE", "/vhosts/new")[0] == 204


@pytest.mark.parametrize(
    ("method", "path", "status", "reason"),
    [
        ("GET", "/nothing", 404, "Not Found"),
        ("GET", "queues", 404, "Not Found"),
        ("GET", "", 404, "Not Found"),
        ("GET", "/queues//q", 404, "Not Found"),
        ("PATCH", "/queues", 405, "/queues does not support PATCH"),
        ("GET", "/queues?page=0", 404, "Not Found"),
        ("GET", "/queues/%2F/none", 404, "Not Found"),
        ("POST", "/leveret/verbs/export_messages", 400, "export_messages is available on the control socket only"),
        ("POST", "/leveret/verbs/nonsense", 404, "nonsense"),
    ],
)
def test_what_is_refused(method: str, path: str, status: int, reason: str, asker: Asker) -> None:
    found, answer = asker.ask(method, path)
    assert (found, reason in answer["reason"]) == (status, True), answer
    assert asker.ask("GET", "/queues/%2F/q1", columns="name") == (200, {"name": "q1"})


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({}, "method and path must be strings, and data must be bytes"),
        ({"path": 1}, "method and path must be strings, and data must be bytes"),
        ({"path": "/queues", "method": None}, "method and path must be strings, and data must be bytes"),
        ({"path": "/queues", "query": {"page": 1}}, "query must be an object whose values are strings"),
        ({"path": "/queues", "headers": [1]}, "headers must be an object whose values are strings"),
    ],
)
def test_what_is_no_request(arguments: dict[str, object], error: str, asker: Asker) -> None:
    assert asker.send(arguments) == {"error": error}
    assert asker.ask("GET", "/queues/%2F/q1", columns="name") == (200, {"name": "q1"})


def test_verbs(asker: Asker) -> None:
    assert asker.ask("POST", "/leveret/verbs/list_users")[1]["result"][0]["name"] == "guest"
    assert asker.ask("GET", "/leveret/status", seconds="5")[1]["result"]["recent_s"] == 5
    status, answer = asker.ask("POST", "/leveret/verbs/delete_user", {"name": "gest"})
    assert (status, answer["reason"]) == (404, "user 'gest' does not exist; did you mean 'guest'?")
    assert asker.ask("POST", "/leveret/verbs/list_users", [1])[0] == 400
