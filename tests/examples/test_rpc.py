"""examples/*/rpc: replies, and all the ways in which there is none."""

from __future__ import annotations

import re
import signal

import pytest

from tests.clients.programs import Program, Programs


@pytest.fixture(params=["client.py", "client_direct.py"])
def client(request: pytest.FixtureRequest, library: str) -> str:
    """The path of a client: one with a reply queue of its own, one with direct reply-to."""
    return f"{library}/rpc/{request.param}"


def start_server(programs: Programs, library: str, *options: str) -> Program:
    """Start a server and return when it consumes requests."""
    server = programs.start(f"{library}/rpc/server.py", *options)
    server.expect("Waiting for requests")
    return server


def test_the_server_answers(programs: Programs, library: str, client: str) -> None:
    start_server(programs, library)
    answers = programs.run(client, "0", "10", "30")
    assert answers.lines == ["fibonacci(0) = 0", "fibonacci(10) = 55", "fibonacci(30) = 832040"]
    programs.assert_no_traceback()


def test_an_absent_server_is_known_at_once(programs: Programs, client: str) -> None:
    caller = programs.start(client, "10", "--timeout", "30")
    assert caller.exit_code() == 1
    (line,) = caller.lines
    found = re.fullmatch(r"fibonacci\(10\): no server, known after ([0-9.]+) s", line)
    assert found, line
    assert float(found[1]) < 25


def test_a_late_reply_is_discarded(programs: Programs, library: str, client: str) -> None:
    server = start_server(programs, library)
    server.signal(signal.SIGSTOP)
    caller = programs.start(client, "10", "20", "--timeout", "3")
    caller.expect("fibonacci(10): no reply in 3 s")
    server.signal(signal.SIGCONT)
    assert caller.exit_code() == 1
    assert caller.lines[1:] == ["Late reply discarded: 55", "fibonacci(20) = 6765"]
    programs.assert_no_traceback()


def test_when_a_server_dies_in_mid_call_another_answers(programs: Programs, library: str) -> None:
    slow = start_server(programs, library, "--delay", "60")
    caller = programs.start(f"{library}/rpc/client.py", "30", "--timeout", "60")
    slow.expect("Working on fibonacci(30)")
    quick = start_server(programs, library)
    slow.kill()
    quick.expect("Working on fibonacci(30), redelivered")
    caller.expect("fibonacci(30) = 832040")
    assert caller.exit_code() == 0
    programs.assert_no_traceback()


def test_when_the_only_server_dies_in_mid_call_the_call_times_out(programs: Programs, library: str) -> None:
    server = start_server(programs, library, "--delay", "60")
    caller = programs.start(f"{library}/rpc/client.py", "30", "10", "--timeout", "3")
    server.expect("Working on fibonacci(30)")
    server.kill()
    caller.expect("fibonacci(30): no reply in 3 s")
    # The queue has gone with its last consumer, so the second call need not wait.
    caller.expect("fibonacci(10): no server")
    assert caller.exit_code() == 1
    programs.assert_no_traceback()
