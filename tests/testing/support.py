"""What the tests of the embedded broker share: clients that cannot hang, and work in other threads."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any, Final, Generic, TypeVar

import pika

from tests.clients.peer import Peer, start_ok

T = TypeVar("T")

PATIENCE_S: Final = 30.0  # longer than anything takes that works, on a machine however busy


def connect(url: str, name: str = "", **more: Any) -> Any:
    """A blocking connection of pika, called `name`, whose waits end."""
    parameters = pika.URLParameters(url)
    parameters.socket_timeout = parameters.stack_timeout = parameters.blocked_connection_timeout = PATIENCE_S
    if name:
        parameters.client_properties = {"connection_name": name}
    for key, value in more.items():
        setattr(parameters, key, value)
    return pika.BlockingConnection(parameters)


def pump(connection: Any, is_so: Callable[[], object], timeout: float = PATIENCE_S) -> None:
    """Let a connection of pika do what is to do until this is so."""
    end = time.monotonic() + timeout
    while not is_so():
        assert time.monotonic() < end, "that has not happened"
        connection.process_data_events(0.05)


def ending(connection: Any) -> Exception:
    """With what a connection of pika ends."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        try:
            connection.process_data_events(0.05)
        except Exception as error:
            return error
    raise AssertionError("the connection goes on")


class Call(Generic[T]):
    """A call in a thread of its own, which may hang without anybody else having to."""

    def __init__(self, function: Callable[[], T]) -> None:
        self._function = function
        self._result: list[T] = []
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._work, daemon=True, name="call")
        self._thread.start()

    def _work(self) -> None:
        try:
            self._result.append(self._function())
        except BaseException as error:
            self._error = error

    @property
    def is_done(self) -> bool:
        """Whether it has returned or raised."""
        return not self._thread.is_alive()

    def result(self, timeout: float = PATIENCE_S) -> T:
        """What it returns. Raises: what it raises, AssertionError if it takes too long."""
        self._thread.join(timeout)
        assert self.is_done, f"it hangs for {timeout} s"
        if self._error is not None:
            raise self._error
        return self._result[0]


def run(work: Callable[[], Coroutine[Any, Any, T]], make_loop: Callable[[], asyncio.AbstractEventLoop]) -> T:
    """Run this in a new event loop; it must not take long."""

    async def in_time() -> T:
        return await asyncio.wait_for(work(), 3 * PATIENCE_S)

    with asyncio.Runner(loop_factory=make_loop) as runner:
        return runner.run(in_time())


def descriptors() -> int:
    """How many files and sockets this process has open."""
    return len(os.listdir("/proc/self/fd"))


def is_listening(port: int, host: str = "127.0.0.1") -> bool:
    """Whether somebody takes connections there."""
    try:
        with socket.create_connection((host, port), PATIENCE_S):
            return True
    except ConnectionRefusedError:
        return False


def raw(host: str, port: int, heartbeat: int = 0) -> Peer:
    """A client that has no capabilities and does what it is told, and nothing else: it answers no heartbeat."""
    return Peer((host, port)).login(start_ok(capabilities={}), heartbeat=heartbeat)


class Noise(logging.Handler):
    """Takes down what goes wrong inside the broker, which nobody would see otherwise."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Something was logged."""
        text = logging.Formatter().format(record)
        if record.name.startswith("leveret") or "/leveret/" in text:
            self.lines.append(text)
