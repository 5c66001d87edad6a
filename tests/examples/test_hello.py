"""examples/*/hello: one queue, one sender, one receiver."""

from __future__ import annotations

from tests.clients.programs import Programs


def test_a_message_waits_for_the_receiver_and_another_finds_it(programs: Programs, library: str) -> None:
    assert programs.run(f"{library}/hello/send.py", "sent", "before").lines == ["Sent: sent before"]
    receiver = programs.start(f"{library}/hello/receive.py")
    receiver.expect("Received: sent before")
    programs.run(f"{library}/hello/send.py", "sent after")
    receiver.expect("Received: sent after")
    programs.assert_no_traceback()
