"""Runs operations, for the HTTP API and for programs on this machine that use the control socket.

The latter do not use HTTP. They have the rights of an administrator with all permissions in all virtual hosts.
"""

from __future__ import annotations

import contextlib
import logging
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator
from typing import Any
from urllib.parse import unquote

from leveret.api.access import Caller
from leveret.api.encoding import encode
from leveret.api.errors import ApiError, bad_request
from leveret.api.listing import Listing, chunks
from leveret.api.operation import Operation
from leveret.api.query import Query
from leveret.api.request import Answer, Client, Events, Pieces, Request
from leveret.api.services import Services
from leveret.auth.operator import Operator
from leveret.core.errors.administration import InvalidError

FAILED = ApiError(500, "internal_error", "the request failed inside the broker; see its log")
SOURCE = Client("the control socket", 0, is_secure=False)

log = logging.getLogger("leveret.api")


async def ask(operation: Operation, request: Request) -> Answer | Events | Pieces:
    """Run an operation: the answer comes at once, as events, or in pieces if it is long.

    Raises: ApiError, also for a bug in Leveret, which is logged.
    """
    try:
        found = await operation.handler(request)
        if isinstance(found, Listing):
            found = Pieces(chunks(found, request.query, request.broker.matcher, request.services.turns))
        if isinstance(found, AsyncGenerator):
            found = Pieces(found)
        if isinstance(found, Pieces):
            return Pieces(await begun(found.pieces), found.media_type, found.headers)
    except ApiError:
        raise
    except Exception:
        log.exception("%s %s failed", request.method, operation.path)
        raise FAILED from None
    return found if isinstance(found, Answer | Events | Pieces) else Answer(content=found)


async def begun(pieces: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    """The same pieces, after the first one was made. Raises: errors that occur before the answer begins."""
    return _behind(await anext(pieces), pieces)


async def _behind(first: bytes, pieces: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    async with contextlib.aclosing(pieces):
        yield first
        async for piece in pieces:
            yield piece


def content_of(answer: Answer) -> bytes:
    """The body of an answer, empty if it has none."""
    if answer.status == 204 or answer.content is None:
        return b""
    return answer.content if isinstance(answer.content, bytes) else encode(answer.content)


def reason_of(error: ApiError) -> bytes:
    """The body of an error answer, empty if it has none."""
    return encode({"error": error.error, "reason": error.reason}) if error.error else b""


class Routes:
    """Operations by method and path. Literal parts of a path take precedence over names in braces."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        self._by_length: dict[int, list[tuple[list[str], Operation]]] = defaultdict(list)
        for operation in operations:
            parts = operation.path.split("/")
            self._by_length[len(parts)].append((parts, operation))
        for found in self._by_length.values():
            found.sort(key=lambda pair: [part.startswith("{") for part in pair[0]])

    def find(self, method: str, path: str) -> tuple[Operation, dict[str, str]]:
        """The operation, and the decoded names in a percent-encoded path. Raises: ApiError 404, 405."""
        parts = path.split("/")
        status = 404
        for template, operation in self._by_length.get(len(parts), ()):
            names = dict(_names(template, parts))
            if len(names) < len(template):
                continue
            if operation.method == method:
                return operation, {name[1:-1]: value for name, value in names.items() if name.startswith("{")}
            status = 405
        if status == 405:
            raise ApiError(405, "method_not_allowed", f"{path} does not support {method}")
        raise ApiError(404, "Object Not Found", "Not Found")


def _names(template: list[str], parts: list[str]) -> Iterator[tuple[str, str]]:
    """The value for each part of a template; fewer than the template has parts if the path does not match."""
    for place, (wanted, part) in enumerate(zip(template, parts, strict=True)):
        if wanted.startswith("{") and part:
            yield wanted, unquote(part, errors="surrogateescape")
        elif wanted == part:
            yield f"{place}", part
        else:
            return


class LocalApi:
    """The operations for programs on this machine. operator: provides the user whose rights they have."""

    def __init__(self, services: Services, operations: Iterable[Operation], operator: Operator) -> None:
        self._services = services
        self._routes = Routes(operations)
        self._operator = operator

    async def ask(self, arguments: dict[str, object]) -> AsyncIterator[tuple[dict[str, object], bytes]]:
        """Answers to a request, each with bytes of the body; `more` is true in all but the last one.

        arguments: method; path below /api; query and headers: strings by name; data: the body. Raises: InvalidError.
        """
        method, path = arguments.get("method", "GET"), arguments.get("path")
        query, body = _texts(arguments, "query"), arguments.get("data", b"")
        headers = {name.lower(): value for name, value in _texts(arguments, "headers").items()}
        if not isinstance(method, str) or not isinstance(path, str) or not isinstance(body, bytes):
            raise InvalidError("method and path must be strings, and data must be bytes")
        try:
            operation, names = self._routes.find(method, path)
            if operation.before is not None:
                operation.before(self._services)
            caller = Caller(self._operator.user())
            request = Request(self._services, method, names, Query(query), headers, body, SOURCE, caller)
            found = await ask(operation, request)
            if isinstance(found, Events):
                raise bad_request("events are available over HTTP only")
        except ApiError as error:
            yield _head(error.status, error.headers), reason_of(error)
            return
        if isinstance(found, Answer):
            yield _head(found.status, found.headers), content_of(found)
            return
        async with contextlib.aclosing(found.pieces) as pieces:
            async for piece in pieces:
                if piece:
                    yield _head(200, found.headers) | {"more": True}, piece
        yield _head(200, found.headers), b""


def _head(status: int, headers: dict[str, str]) -> dict[str, Any]:
    return {"status": status, "headers": headers, "more": False}


def _texts(arguments: dict[str, object], name: str) -> dict[str, str]:
    found = arguments.get(name) or {}
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise InvalidError(f"{name} must be an object whose values are strings")
    return found
