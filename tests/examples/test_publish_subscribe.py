"""examples/*/publish_subscribe: everybody who listens gets everything, and nothing from before."""

from __future__ import annotations

from tests.clients.programs import Programs


def test_every_subscriber_gets_every_line_from_now_on(programs: Programs, library: str) -> None:
    programs.run(f"{library}/publish_subscribe/emit_log.py", "nobody listens")
    subscribers = [programs.start(f"{library}/publish_subscribe/receive_logs.py") for _ in range(2)]
    for subscriber in subscribers:
        subscriber.expect("Waiting for log lines")
    programs.run(f"{library}/publish_subscribe/emit_log.py", "the", "disk", "is", "full")
    for subscriber in subscribers:
        subscriber.expect("Received: the disk is full")
        assert len(subscriber.lines) == 2, subscriber.transcript()
    programs.assert_no_traceback()
