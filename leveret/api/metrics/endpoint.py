"""The paths of the metrics. They need a login on the port of the HTTP API, but not on a separate port."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from starlette.requests import Request as HttpRequest
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from leveret.api.metrics.pages import PAGES, pieces
from leveret.api.metrics.scrape import AGGREGATED, Scrape, Scrapes
from leveret.api.metrics.text import CONTENT_TYPE
from leveret.api.services import Services
from leveret.api.sharing import Parts
from leveret.api.streaming import PRESENCE, Presence

SCRAPE_S = 120.0  # maximum seconds of a scrape, if the client reads slowly
MOST = 10  # scrapes at once: each holds a list of all objects
ALLOWED = "HEAD, GET, OPTIONS"

Check = Callable[[HttpRequest], Awaitable[Response | None]]
"""Checks access. Returns: the refusal, None if access is allowed."""

log = logging.getLogger("leveret.api")


async def anybody(http: HttpRequest) -> Response | None:
    """Allow access without a login."""
    return None


class Metrics:
    """The metrics of one API, on one or more ports."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._scrapes = Scrapes()
        self._running = Parts(MOST)

    def routes(self, check: Check) -> list[Route]:
        """The routes of the metrics. check: decides about access."""

        async def endpoint(scope: Scope, receive: Receive, send: Send) -> None:
            http = HttpRequest(scope, receive)
            refusal = _refusal(http) or await check(http)
            if refusal is not None:
                await refusal(scope, receive, send)
            else:
                await self._answer(http, scope, receive, send)

        return [Route(path, _Endpoint(endpoint)) for path in ("/metrics", "/metrics/{page}")]

    async def _answer(self, http: HttpRequest, scope: Scope, receive: Receive, send: Send) -> None:
        page = http.path_params.get("page", AGGREGATED)
        if page not in PAGES or (page == AGGREGATED and "page" in http.path_params):
            await PlainTextResponse("Unknown Registry", 404)(scope, receive, send)
            return
        place = self._running.take()
        if place is None:
            busy = PlainTextResponse("too many scrapes at once; try again\n", 503, {"Retry-After": "5"})
            await busy(scope, receive, send)
            return
        families, vhosts = (frozenset(http.query_params.getlist(name)) for name in ("family", "vhost"))
        scrape = Scrape(self._services, self._scrapes, page, families, vhosts)
        try:
            async with asyncio.timeout(SCRAPE_S):
                await self._send(scrape, http.method == "HEAD", receive, send)
        except TimeoutError:
            log.info("a scrape of the metrics took longer than %d s; the client was disconnected", SCRAPE_S)
            presence: Presence = scope["state"][PRESENCE]
            presence.cut()
        finally:
            self._running.give(place)

    async def _send(self, scrape: Scrape, is_head: bool, receive: Receive, send: Send) -> None:
        headers = [(b"content-type", CONTENT_TYPE.encode())]
        start = {"type": "http.response.start", "status": 200, "headers": headers}
        if is_head:
            await send(start)
            await send({"type": "http.response.body", "body": b""})
            return
        has_begun = False
        gone = asyncio.create_task(_until_gone(receive))
        try:
            async for piece in pieces(scrape):
                if gone.done():
                    return
                if not has_begun:
                    has_begun = True
                    await send(start)
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        except Exception:
            log.exception("cannot serve the metrics")
            if not has_begun:
                await send({**start, "status": 500})
                await send(
                    {"type": "http.response.body", "body": b"the request failed inside the broker; see its log\n"}
                )
            return
        finally:
            gone.cancel()
        await send({"type": "http.response.body", "body": b""})


async def _until_gone(receive: Receive) -> None:
    """Wait until the client disconnects."""
    while (await receive())["type"] != "http.disconnect":
        pass


class _Endpoint:
    """Makes starlette treat a function as an application, so that it does not check the method."""

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]]) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)


def _refusal(http: HttpRequest) -> Response | None:
    if http.method == "OPTIONS":
        return Response(headers={"Allow": ALLOWED})
    if http.method not in ("GET", "HEAD"):
        return Response(status_code=405, headers={"Allow": ALLOWED})
    return None
