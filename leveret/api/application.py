"""The ASGI application: routes each request to its operation and sends the answer.

Authentication comes first: a user without the tags for an operation is refused before the body is read. Any exception
of an operation other than ApiError is a bug in Leveret: the answer is a 500 without details, the log has the details.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable
from urllib.parse import unquote

from starlette.applications import Starlette
from starlette.convertors import Convertor, register_url_convertor
from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from leveret.api.access import Access
from leveret.api.authentication import authenticate, check_site, client_of
from leveret.api.errors import ApiError
from leveret.api.local import FAILED, ask, begun, content_of, reason_of
from leveret.api.metrics.endpoint import Metrics, anybody
from leveret.api.operation import Operation
from leveret.api.operations import OPERATIONS
from leveret.api.query import Query
from leveret.api.request import Answer, Events, Request
from leveret.api.services import Services
from leveret.api.sharing import begin_for
from leveret.api.streaming import PRESENCE, Stream
from leveret.api.ui import WebUi

SECURITY = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": "default-src 'self'; object-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}

log = logging.getLogger("leveret.api")


class Name(Convertor[str]):
    """A name in a path. It may contain a slash as %2F, and may be empty, as for the default exchange."""

    regex = "[^/]*"

    def convert(self, value: str) -> str:
        """The name, unchanged. Raises: ValueError if it is not UTF-8."""
        return value

    def to_string(self, value: str) -> str:
        """Not used: no code builds paths."""
        return value


register_url_convertor("name", Name())


class RawPath:
    """Gives routes the paths as they were sent, so that %2F is not a slash, and removes the prefix, if there is one.

    A slash at the end has no effect, as with RabbitMQ.
    """

    def __init__(self, app: ASGIApp, prefix: str) -> None:
        self._app = app
        self._prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the wrapped application."""
        if scope["type"] == "http":
            path = scope["raw_path"].partition(b"?")[0].decode("latin-1")
            if self._prefix and f"{path}/".startswith(f"{self._prefix}/"):
                path = path[len(self._prefix) :]
            path = path.removesuffix("/") or "/"
            begin_for(scope["client"][0] if scope.get("client") else "")
            scope = {**scope, "path": path, "root_path": ""}

            async def send_safely(message: Message) -> None:
                if message["type"] == "http.response.start":
                    headers = MutableHeaders(scope=message)
                    for name, value in SECURITY.items():
                        headers.setdefault(name, value)
                await send(message)

            await self._app(scope, receive, send_safely)


class Endpoint:
    """All operations on one path."""

    def __init__(self, services: Services, operations: dict[str, Operation]) -> None:
        self._services = services
        self._operations = operations
        self._allowed = ", ".join(["HEAD"] * ("GET" in operations) + [*operations, "OPTIONS"])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        http = HttpRequest(scope, receive)
        try:
            response = await self._respond(http)
        except ApiError as error:
            response = _error(error)
        except ClientDisconnect:
            return
        except Exception:
            log.exception("%s %s failed", http.method, scope["path"])
            response = _error(FAILED)
        await response(scope, receive, send)

    async def _respond(self, http: HttpRequest) -> Response:
        if http.method == "OPTIONS":
            return Response(headers={"Allow": self._allowed})
        operation = self._operations.get("GET" if http.method == "HEAD" else http.method)
        if operation is None:
            return Response(status_code=405, headers={"Allow": self._allowed})
        check_site(http)
        caller = None
        if operation.access is not Access.ANYBODY:
            caller = await authenticate(self._services, http)
            caller.check(operation.access)
        services = self._services
        if operation.before is not None:
            operation.before(services)
        with services.bodies.begin() as body:
            request = Request(
                services,
                http.method,
                {name: unquote(value, errors="surrogateescape") for name, value in http.path_params.items()},
                Query(http.query_params),
                {name: _text(value) for name, value in http.headers.items()},
                await body.read(http, operation.most_for(services.broker.max_message_size)),
                client_of(http),
                caller,
                http.scope["state"][PRESENCE],
            )
            found = await ask(operation, request)
        if isinstance(found, Answer):
            return Response(content_of(found) or None, found.status, found.headers, _media_type(found))
        if isinstance(found, Events):
            if http.method == "HEAD":  # a stream would never end
                await found.pieces.aclose()
                return Response(media_type="text/event-stream")
            return Stream(await begun(found.pieces), "text/event-stream")
        return Stream(found.pieces, found.media_type, headers=found.headers)


def _text(value: str) -> str:
    """The value of a header: decoded as UTF-8 if it is valid, otherwise as Latin-1, as HTTP says."""
    try:
        return value.encode("latin-1").decode()
    except UnicodeDecodeError:
        return value


def _media_type(answer: Answer) -> str | None:
    return None if answer.status == 204 or answer.content is None else answer.media_type


def _error(error: ApiError) -> Response:
    content = reason_of(error)
    return Response(content or None, error.status, error.headers, "application/json" if content else None)


Handler = Callable[[HttpRequest], Awaitable[Response]]


async def _nothing_there(http: HttpRequest, error: Exception) -> Response:
    return _error(ApiError(404, "Object Not Found", "Not Found"))


def _monitors(services: Services) -> Callable[[HttpRequest], Awaitable[Response | None]]:
    """Restricts the metrics to users with the tag monitoring or administrator."""

    async def check(http: HttpRequest) -> Response | None:
        try:
            (await authenticate(services, http)).check(Access.MONITORING)
        except ApiError as error:
            return _error(error)
        return None

    return check


def make_metrics_application(services: Services, metrics: Metrics) -> ASGIApp:
    """The metrics alone, without a login."""
    routes = metrics.routes(anybody)
    return RawPath(Starlette(routes=routes, exception_handlers={404: _nothing_there}), services.prefix)


def make_application(
    services: Services,
    metrics: Metrics,
    open_metrics: bool = False,
    around: Callable[[ASGIApp], ASGIApp] | None = None,
) -> ASGIApp:
    """The whole application. With a prefix, paths without it work as well.

    open_metrics: whether the metrics need no login. around: wraps the application.
    """
    by_path: dict[str, dict[str, Operation]] = defaultdict(dict)
    for operation in OPERATIONS:
        by_path[operation.path][operation.method] = operation
    routes = []
    for path in sorted(by_path, key=lambda path: [part.startswith("{") for part in path.split("/")]):
        template = path.rstrip("/").replace("}", ":name}")
        routes.append(Route(f"/api{template}", Endpoint(services, by_path[path])))
    routes += metrics.routes(anybody if open_metrics else _monitors(services))
    routes += WebUi(services.prefix).routes()
    app = Starlette(routes=routes, exception_handlers={404: _nothing_there})
    app.router.redirect_slashes = False
    return RawPath(app if around is None else around(app), services.prefix)
