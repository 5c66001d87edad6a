"""Traces: report events of selected messages while they happen.

A trace ends with its HTTP response, and its duration is limited. Only administrators may start a trace, because it
shows what all clients of a virtual host do with individual messages. The same is true for the firehose.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator
from typing import Annotated, Final

import msgspec

from leveret.api.access import Access
from leveret.api.encoding import encode
from leveret.api.errors import ApiError, bad_request
from leveret.api.operation import Operation
from leveret.api.request import Pieces, Request
from leveret.core.vhost import VirtualHost
from leveret.management.trace import Filter, Trace, TraceEvent, pattern_error

MOST_TRACES: Final = 5
TELL_S: Final = 1.0  # seconds between two progress lines
CHUNK: Final = 64 << 10  # bytes of one chunk of an answer

log = logging.getLogger("leveret.api")


class TraceRequest(Filter, kw_only=True):
    """Which messages to trace, and for how long. events, seconds: limits; the first one reached ends the trace."""

    events: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 1_000
    seconds: Annotated[float, msgspec.Meta(gt=0, le=3_600)] = 60.0


class TraceProgress(msgspec.Struct):
    """Progress of a trace. events: sent so far. dropped: lost because the client reads too slowly. seconds: left."""

    events: int
    dropped: int
    seconds: float


class TraceLine(msgspec.Struct, omit_defaults=True):
    """One line of a trace. It has exactly one of these fields. end: why the trace ended."""

    event: TraceEvent | None = None
    progress: TraceProgress | None = None
    end: str | None = None


class AccessCheck:
    """Checks whether the caller of a running request still has access."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._credential = request.caller.user.credential
        self._is_listed = self._is_user()  # False for a local program: it has no user account

    def _is_user(self) -> bool:
        user = self._request.caller.user
        return self._request.broker.users.get(user.name) is user

    @property
    def is_good(self) -> bool:
        """Whether the caller still has access."""
        if not self._is_listed:
            return True
        caller, sessions = self._request.caller, self._request.services.sessions
        if caller.session is not None and not sessions.is_good(caller.session):
            return False
        is_same = self._is_user() and caller.user.credential is self._credential
        return is_same and caller.has(Access.ADMINISTRATOR)


class Watch:
    """A running trace. It ends at its time limit, even if the client does not read the response."""

    def __init__(self, request: Request, vhost: VirtualHost, wanted: TraceRequest) -> None:
        following = Filter(**{name: getattr(wanted, name) for name in Filter.__struct_fields__})
        self.trace = Trace(following, request.broker.clock, wanted.events, self._wake)
        self._has_more = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._until_s = self._loop.time() + wanted.seconds
        self._services = request.services
        self._vhost = vhost
        self._is_on = True
        self._access = AccessCheck(request)
        self._who = f"user '{request.caller.user.name}' ({request.host})"
        self._services.traces += 1
        vhost.join(self.trace)
        self._timer = self._loop.call_at(self._until_s, self.end)
        log.warning("%s traces messages in vhost '%s', %s, for %g s", self._who, vhost.name, following, wanted.seconds)

    def _wake(self) -> None:
        self._has_more.set()
        if self.trace.is_over:
            self._loop.call_soon(self.end)  # not while the trace handles an event

    def end(self) -> None:
        """Stop tracing."""
        if self._is_on:
            self._is_on = False
            self._timer.cancel()
            self._vhost.leave(self.trace)
            self._services.traces -= 1
            self._has_more.set()
            log.warning("%s has traced %d events in vhost '%s'", self._who, self.trace.told, self._vhost.name)

    async def wait(self, until_s: float) -> None:
        """Wait until there is an event to send, or until this time of the event loop's clock."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(until_s):
                await self._has_more.wait()
        self._has_more.clear()

    @property
    def now_s(self) -> float:
        """The time of the event loop's clock."""
        return self._loop.time()

    @property
    def left_s(self) -> float:
        """Seconds until the time limit."""
        return max(self._until_s - self._loop.time(), 0.0)

    @property
    def why_over(self) -> str:
        """Why the trace ended; empty while it runs."""
        if self.trace.is_over:
            return "the requested number of events is reached"
        if not self._is_on or not self.left_s:
            return "the time limit is reached"
        if self._services.broker.vhosts.get(self._vhost.name) is not self._vhost:
            return "the virtual host was deleted"
        return "" if self._access.is_good else "the user no longer has access"

    def progress(self) -> bytes:
        """The progress line."""
        return _line(progress=TraceProgress(self.trace.told, self.trace.dropped, round(self.left_s, 3)))


async def trace(request: Request) -> Pieces:
    """Trace messages."""
    vhost = request.vhost()
    wanted = request.read(TraceRequest)
    error = pattern_error(wanted.routing_key or "")
    if error:
        raise bad_request(error)
    return Pieces(_pieces(request, vhost, wanted), "application/x-ndjson")


async def _pieces(request: Request, vhost: VirtualHost, wanted: TraceRequest) -> AsyncGenerator[bytes]:
    """The lines. Raises: ApiError 503 before the first one."""
    if request.services.traces >= MOST_TRACES:
        raise ApiError(503, "busy", f"{MOST_TRACES} traces are already running; try again later", {"Retry-After": "10"})
    watch = Watch(request, vhost, wanted)
    try:
        while not (why := watch.why_over):
            yield watch.progress()
            tell_s = watch.now_s + TELL_S
            while watch.now_s < tell_s and not watch.why_over:
                await watch.wait(tell_s)
                while piece := await _told(request, watch.trace):
                    yield piece
        watch.end()
        while piece := await _told(request, watch.trace):
            yield piece
        yield watch.progress() + _line(end=why)
    finally:
        watch.end()


async def _told(request: Request, found: Trace) -> bytes:
    """The lines of the next waiting events; empty if no event waits."""
    told = bytearray()
    async with request.services.turns:
        while len(told) < CHUNK and (event := found.take()) is not None:
            told += _line(event=event)
            await request.services.turns.rest()
    return bytes(told)


def _line(event: TraceEvent | None = None, progress: TraceProgress | None = None, end: str | None = None) -> bytes:
    return encode(TraceLine(event, progress, end)) + b"\n"


OPERATIONS = [
    Operation(
        "POST",
        "/leveret/traces/{vhost}",
        trace,
        Access.ADMINISTRATOR,
        "Trace messages in a virtual host; the answer is one event per line, as JSON.",
        takes=TraceRequest,
        answers=TraceLine,
        media_type="application/x-ndjson",
    ),
]
