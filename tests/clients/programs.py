"""Example scripts as processes: start them, wait for what they print, kill them.

Nothing here sleeps: every wait is for a line of output or for the end of a process, with a deadline that is
generous because the machine may be slow. All programs of one test share one condition, so that a test can
wait for whichever of several programs speaks first.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

import pika

EXAMPLES = Path(__file__).parents[2] / "examples"
DEADLINE_S = 40.0


@contextmanager
def without_leftovers(amqp_url: str, queues: list[str], exchanges: list[str]) -> Iterator[None]:
    """Delete all this before and after, where the broker is not the test's own; it is no error if there is none."""

    def delete() -> None:
        with pika.BlockingConnection(pika.URLParameters(amqp_url)) as connection:
            channel = connection.channel()
            for queue in queues:
                channel.queue_delete(queue)
            for exchange in exchanges:
                channel.exchange_delete(exchange)

    is_shared = bool(os.environ.get("LEVERET_TEST_URL"))
    if is_shared:
        delete()
    yield
    if is_shared:
        delete()


class Program:
    """One running script; `lines` grows as it prints, standard output and standard error together."""

    def __init__(self, name: str, process: subprocess.Popen[str], printed: threading.Condition) -> None:
        self.name = name
        self.process = process
        self.lines: list[str] = []
        self._printed = printed
        self._ended = False
        self._seen = 0
        self._reader = threading.Thread(target=self._read, name=f"output of {name}")
        self._reader.start()

    def expect(self, text: str, deadline_s: float = DEADLINE_S) -> str:
        """Wait for the next line that contains `text`, and return it; lines before it are passed over."""
        found = self._wait(lambda: self.find(text) or self._ended, deadline_s) and self.find(text)
        assert found, f"{self.name} did not print {text!r}\n{self.transcript()}"
        self._seen = self.lines.index(found, self._seen) + 1
        return found

    def find(self, text: str) -> str | None:
        """Return the next line that contains `text` if it has been printed, without waiting."""
        return next((line for line in self.lines[self._seen :] if text in line), None)

    def exit_code(self, deadline_s: float = DEADLINE_S) -> int:
        """Wait for the end of the program, and of its output, and return its exit code."""
        assert self._wait(lambda: self._ended, deadline_s), f"{self.name} does not end\n{self.transcript()}"
        return self.process.wait(deadline_s)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the program alone, as `kill` would."""
        self.process.send_signal(number)

    def kill(self) -> None:
        """End the program and its children with kill -9."""
        if self.process.returncode is None:  # not waited for yet, so its number still belongs to it
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(DEADLINE_S)
        self._reader.join(DEADLINE_S)

    def transcript(self) -> str:
        """Return everything printed so far, for the message of a failing test."""
        return "\n".join([f"--- {self.name}", *self.lines, "---"])

    def _wait(self, happened: Callable[[], object], deadline_s: float) -> bool:
        with self._printed:
            return bool(self._printed.wait_for(happened, deadline_s))

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as output:
            for line in output:
                with self._printed:
                    self.lines.append(line.rstrip("\n"))
                    self._printed.notify_all()
        with self._printed:
            self._ended = True
            self._printed.notify_all()


class Programs:
    """Starts programs for one test, and leaves none of them running."""

    def __init__(self, amqp_url: str) -> None:
        self._amqp_url = amqp_url
        self._printed = threading.Condition()
        self._started: list[Program] = []

    def __enter__(self) -> Programs:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for program in self._started:
            program.kill()

    def start(self, script: str, *arguments: str, amqp_url: str | None = None) -> Program:
        """Start `examples/<script>` and return at once; `amqp_url` stands in for the broker of the test."""
        return self._start(script, [str(EXAMPLES / script), *arguments], EXAMPLES, amqp_url)

    def start_module(self, module: str, *arguments: str, folder: str) -> Program:
        """Start `python -m <module>` in one folder of the examples."""
        return self._start(f"{module} {' '.join(arguments)}", ["-m", module, *arguments], EXAMPLES / folder)

    def run(self, script: str, *arguments: str) -> Program:
        """Start a script that ends by itself, and wait until it has, without an error."""
        program = self.start(script, *arguments)
        assert program.exit_code() == 0, program.transcript()
        return program

    def first_to_print(self, text: str, *programs: Program) -> Program:
        """Wait until one of several programs prints a line that contains `text`, and return that program."""

        def printed_it() -> list[Program]:
            return [program for program in programs if program.find(text)]

        self.wait_until(printed_it, *programs)
        return printed_it()[0]

    def wait_until(self, happened: Callable[[], object], *programs: Program) -> None:
        """Wait until something is true of what these programs have printed."""
        with self._printed:
            in_time = self._printed.wait_for(happened, DEADLINE_S)
        assert in_time, "\n".join(program.transcript() for program in programs)

    def assert_no_traceback(self) -> None:
        """Fail if a script ended, or went on, with a traceback on the screen."""
        for program in self._started:
            assert not any("Traceback" in line for line in program.lines), program.transcript()

    def _start(self, name: str, arguments: list[str], folder: Path, amqp_url: str | None = None) -> Program:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=folder,
            env={**os.environ, "AMQP_URL": amqp_url or self._amqp_url, "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        program = Program(name, process, self._printed)
        self._started.append(program)
        return program
