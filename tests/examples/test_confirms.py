"""examples/*/confirms: three speeds, and refusals."""

from __future__ import annotations

import re

from tests.clients.programs import Programs


def test_three_speeds_and_the_refusals_of_a_full_queue(programs: Programs, library: str) -> None:
    lines = programs.run(f"{library}/confirms/publish.py", "350").lines
    speed = r"350 messages in [0-9]+\.[0-9]{3} s, [0-9]+ messages/s"
    for way, line in zip(["One by one", "In batches of 100", "Asynchronously"], lines, strict=False):
        assert re.fullmatch(f"{way}: {speed}", line), line
    # The queue holds ten of fifteen; the others are answered with basic.nack.
    assert lines[3:] == [f"Refused by the full queue: message {number}" for number in range(11, 16)]
    programs.assert_no_traceback()
