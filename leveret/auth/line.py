"""Line: the queue of slow password checks; a few run at the same time, in their own threads.

Clients that have logged in from the same address before come first; those that have failed lately come last, the most
recent failure at the end. Only one check of the latter runs at a time, so that a thread stays free for the others. When
the line is full, in total or for an address or a name, its last check is dropped for a new one that ranks higher, and a
check from an address with recent failures is refused. Checks whose clients have gone are skipped.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from leveret.auth.authenticator import ClientGone, TooBusy
from leveret.auth.history import History

THREADS: Final = 2  # simultaneous checks: each takes megabytes
NICENESS: Final = 10  # of these threads, so that logged-in clients come first
MOST: Final = 500  # waiting checks
MOST_OF_SITE: Final = 400  # from one address
MOST_OF_NAME: Final = 50  # of one name


class _Check:
    """One check, and the callers that wait for its result."""

    __slots__ = ("asking", "key", "name", "number", "site", "work")

    def __init__(self, key: Hashable, site: str, name: bytes, number: int, work: Callable[[], bool]) -> None:
        self.key = key
        self.site = site
        self.name = name
        self.number = number
        self.work = work
        self.asking: dict[asyncio.Future[bool], Callable[[], bool]] = {}  # with whether the client has gone

    def fail(self, error: Exception) -> None:
        """Pass the error to all waiting callers."""
        for future in self.asking:
            if not future.done():
                future.set_exception(error)


class Line:
    """The password checks, ordered by history."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._waiting: dict[Hashable, _Check] = {}
        self._running: dict[Hashable, _Check] = {}
        self._count = 0
        self._threads: ThreadPoolExecutor | None = None

    async def check(
        self, key: Hashable, site: str, name: bytes, work: Callable[[], bool], is_gone: Callable[[], bool]
    ) -> bool:
        """Run a check in a thread. Returns: its result; calls with the same key share it.

        Raises: TooBusy, ClientGone.
        """
        check = self._running.get(key) or self._waiting.get(key)
        if check is None:
            self._count += 1
            check = _Check(key, site, name, self._count, work)
            self._admit(check)
            self._waiting[key] = check
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        check.asking[future] = is_gone
        self._begin()
        try:
            return await future
        finally:
            del check.asking[future]
            if not check.asking and self._waiting.get(key) is check:
                del self._waiting[key]

    def _admit(self, check: _Check) -> None:
        """Make room if the line is full. Raises: TooBusy when the new check does not rank higher than another."""
        for group, most in (
            ([each for each in self._waiting.values() if each.name == check.name], MOST_OF_NAME),
            ([each for each in self._waiting.values() if each.site == check.site], MOST_OF_SITE),
            (list(self._waiting.values()), MOST),
        ):
            if len(group) < most:
                continue
            if self._history.failed_s(check.site):
                raise TooBusy
            last = max(group, key=self._order)
            if self._order(last) < self._order(check) and not self._is_left(last):
                raise TooBusy
            self._waiting.pop(last.key, None)
            last.fail(TooBusy())

    def _is_left(self, check: _Check) -> bool:
        """Whether all clients of a check have gone."""
        for future, is_gone in check.asking.items():
            if not future.done() and is_gone():
                future.set_exception(ClientGone())
        return all(future.done() for future in check.asking)

    def _order(self, check: _Check) -> tuple[bool, float, float, int]:
        history = self._history
        site_s, name_s = history.failed_s(check.site), history.failed_s(check.name)
        is_new = not history.has_succeeded(check.site, check.name)
        return is_new, max(site_s, name_s), min(site_s, name_s), check.number

    def _is_suspect(self, check: _Check) -> bool:
        is_new, failed_s, _, _ = self._order(check)
        return is_new and failed_s > 0

    def _begin(self) -> None:
        """Start as many checks as may run."""
        while self._waiting and len(self._running) < THREADS:
            check = min(self._waiting.values(), key=self._order)
            if self._is_suspect(check) and any(self._is_suspect(each) for each in self._running.values()):
                return
            del self._waiting[check.key]
            if self._is_left(check):
                continue
            self._running[check.key] = check
            if self._threads is None:
                self._threads = ThreadPoolExecutor(THREADS, "leveret-password", _step_back)
            running = asyncio.get_running_loop().run_in_executor(self._threads, check.work)
            running.add_done_callback(lambda done, check=check: self._done(check, done))  # type: ignore[misc]

    def _done(self, check: _Check, done: asyncio.Future[bool]) -> None:
        del self._running[check.key]
        if done.cancelled():
            check.fail(TooBusy())
            return
        error = done.exception()
        for future in check.asking:
            if future.done():
                continue
            if error is None:
                future.set_result(done.result())
            else:
                future.set_exception(error)
        asyncio.get_running_loop().call_soon(self._begin)  # after the callers have noted the result


def _step_back() -> None:
    """Give this thread a lower CPU priority than the event loop."""
    with contextlib.suppress(OSError, AttributeError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
