"""examples/*/routing: one queue may be bound by several severities."""

from __future__ import annotations

from tests.clients.programs import Programs


def test_a_subscriber_gets_the_severities_it_asked_for(programs: Programs, library: str) -> None:
    quiet = programs.start(f"{library}/routing/receive_logs.py", "warning", "error")
    curious = programs.start(f"{library}/routing/receive_logs.py", "info", "error")
    for subscriber in quiet, curious:
        subscriber.expect("Waiting for lines of severity")
    for severity, line in [("info", "one"), ("warning", "two"), ("debug", "three"), ("error", "four")]:
        programs.run(f"{library}/routing/emit_log.py", severity, line)
    # A queue keeps its order: with the last line here, what was to come before it has come.
    for subscriber in quiet, curious:
        subscriber.expect("Received error: four")
    assert quiet.lines[1:] == ["Received warning: two", "Received error: four"]
    assert curious.lines[1:] == ["Received info: one", "Received error: four"]
    programs.assert_no_traceback()
