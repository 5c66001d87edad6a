"""What the applications have in common with the other examples: one sentence when there is no broker."""

from __future__ import annotations

import re

from tests.clients.programs import Programs

SCRIPTS = [
    ("celery/order.py", "bake"),
    ("kombu/send.py", "kitchen", "20"),
    ("kombu/worker.py",),
    ("faststream/customer.py", "stock", "apple"),
    ("dramatiq/post.py", "send", "book"),
    ("dramatiq/post.py", "dead"),
    ("taskiq/ask.py", "observe", "Vega"),
]


def test_without_a_broker_one_sentence_says_so(programs: Programs, closed_port_url: str) -> None:
    started = [
        programs.start(f"frameworks/{script}", *arguments, amqp_url=closed_port_url) for script, *arguments in SCRIPTS
    ]
    for program in started:
        assert program.exit_code() == 1, program.transcript()
        (sentence,) = program.lines
        assert re.fullmatch(r"No broker \(\w+\): is the broker running\? start it with `make run`", sentence), (
            program.transcript()
        )
