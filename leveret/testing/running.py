"""Run a server in a thread with its own event loop, or in the running event loop."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

from leveret.testing.server import NotRunning, Options, Server

T = TypeVar("T")

STOPPED: Final = "the broker was stopped meanwhile"
EXPECTED: Final = (NotRunning, TimeoutError, ValueError, LookupError)  # errors meant for tests
__tracebackhide__ = True  # so that pytest shows the line of the test


class ThreadServer(Server):
    """A broker in a separate thread."""

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._owed: set[concurrent.futures.Future[Any]] = set()  # futures that other threads wait for
        self._failure: Exception | None = None

    def call(self, function: Callable[[], T]) -> T:
        """See Server. Raises: NotRunning."""
        loop = self._running_loop()
        if threading.current_thread() is self._thread:
            return self._called(function)
        done: concurrent.futures.Future[T] = concurrent.futures.Future()
        self._owed.add(done)
        done.add_done_callback(self._owed.discard)

        def begin() -> None:
            try:
                result = self._called(function)
            except BaseException as error:
                done.set_exception(error)
            else:
                loop.call_soon(loop.call_soon, done.set_result, result)  # after everything was sent

        self._send(loop, begin)
        try:
            return done.result()
        except EXPECTED as error:
            raise error.with_traceback(None) from error.__cause__  # the inner traceback is of no use to the test

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the event loop and wait for it. Raises: NotRunning."""
        try:
            loop = self._running_loop()
        except NotRunning:
            work.close()
            raise
        future = self._begin(work, loop)
        try:
            return future.result()
        except concurrent.futures.CancelledError:
            raise NotRunning(STOPPED) from None
        except EXPECTED as error:
            raise error.with_traceback(None) from error.__cause__
        except BaseException:
            future.cancel()
            raise

    async def arun(self, work: Coroutine[Any, Any, T]) -> T:
        """See Server. Raises: NotRunning."""
        try:
            loop = self._running_loop()
        except NotRunning:
            work.close()
            raise
        return await asyncio.wrap_future(self._begin(work, loop))

    def _begin(self, work: Coroutine[Any, Any, T], loop: asyncio.AbstractEventLoop) -> concurrent.futures.Future[T]:
        try:
            future = asyncio.run_coroutine_threadsafe(work, loop)
        except RuntimeError:
            work.close()
            raise NotRunning(STOPPED) from None
        self._owed.add(future)
        future.add_done_callback(self._owed.discard)
        return future

    @staticmethod
    def _send(loop: asyncio.AbstractEventLoop, function: Callable[[], None]) -> None:
        try:
            loop.call_soon_threadsafe(function)
        except RuntimeError:  # the loop is closed
            raise NotRunning(STOPPED) from None

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            raise NotRunning("the broker is not running; start it with `with` or start()")
        return self._loop

    def launch(self) -> None:
        """Start the thread and the broker in it. Raises: StartError, StoreError."""
        if self.is_running:
            return
        self.end()  # after a failed restart
        ready = threading.Event()
        self._thread = threading.Thread(target=self._work, args=(ready,), name="leveret", daemon=True)
        self._thread.start()
        ready.wait()
        if self._loop is None:
            self._thread.join()
            self._thread = None
            assert self._failure is not None
            raise self._failure
        try:
            self.run(self.start())
        except BaseException:
            self.end()
            raise

    def end(self) -> None:
        """Stop the broker and wait for its thread."""
        if self._thread is None or self._loop is None:
            return
        self.run(self.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._thread = None

    def _work(self, ready: threading.Event) -> None:
        try:
            with asyncio.Runner(loop_factory=_new_loop) as runner:
                self._loop = runner.get_loop()
                ready.set()
                self._loop.run_forever()
        except Exception as error:
            self._failure = error
        finally:
            self._loop = None
            ready.set()
            for future in list(self._owed):
                if not future.done():
                    future.set_exception(NotRunning(STOPPED))


class LoopServer(Server):
    """A broker in the event loop that starts it."""

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._loop: asyncio.AbstractEventLoop | None = None

    async def start(self) -> None:
        """Start the broker. Raises: StartError, StoreError."""
        self._loop = asyncio.get_running_loop()
        await super().start()

    def call(self, function: Callable[[], T]) -> T:
        """See Server, except that nothing is sent before the event loop continues.

        Raises: NotRunning; RuntimeError, if called outside of its event loop.
        """
        if self.is_running and asyncio._get_running_loop() is not self._loop:
            raise RuntimeError("an AsyncBroker only works in the event loop that started it; elsewhere use a Broker")
        return self._called(function)

    async def arun(self, work: Coroutine[Any, Any, T]) -> T:
        """See Server. Raises: NotRunning."""
        if not self.is_running:
            work.close()
            self.check_running()
        return await work


def _new_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()
