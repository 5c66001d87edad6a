"""A client of the HTTP API, over HTTP or HTTPS."""

from __future__ import annotations

import base64
import http.client
import json
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import quote, unquote, urlencode, urlsplit

CONNECT_S = 10.0
ANSWER_S = 60.0
IDLE_S = 3.0  # after which to reconnect, as brokers and proxies close idle connections
PIECE = 64 << 10  # bytes read at once from a streamed answer
PORT = 15672
GUEST = "guest"
T = TypeVar("T")


class Unreachable(Exception):
    """No broker answered, or the answer was not one of a broker. The text says why, and what to do.

    is_sent: whether the broker may have performed the request.
    """

    def __init__(self, text: str, is_sent: bool = False) -> None:
        super().__init__(text)
        self.is_sent = is_sent


@dataclass(frozen=True)
class Reply:
    """An HTTP response. headers: by name in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def content(self) -> Any:
        """The parsed JSON body; None if empty. Raises: Unreachable if it is not valid JSON."""
        try:
            return json.loads(self.body) if self.body else None
        except ValueError:
            raise Unreachable("the server is not the HTTP API of a broker; check the URL") from None

    @property
    def is_good(self) -> bool:
        """Whether the request succeeded."""
        return 200 <= self.status < 300


@dataclass(frozen=True)
class Place:
    """The address of an HTTP API. path: of its root, without a trailing slash."""

    scheme: str
    host: str
    port: int
    user: str
    password: str | None = field(repr=False)
    path: str = ""

    @property
    def shown(self) -> str:
        """The URL without user and password."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{self.path}"

    @property
    def url(self) -> str:
        """The URL with the user, and the password if there is one."""
        secret = "" if self.password is None else f":{quote(self.password, safe='')}"
        return self.shown.replace("://", f"://{quote(self.user, safe='')}{secret}@", 1)


def read_url(text: str) -> Place:
    """Parse a URL. Raises: ValueError with the reason."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ValueError("not a valid URL: expected http://USER:PASSWORD@HOST:15672") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("not a valid URL: expected http://USER:PASSWORD@HOST:15672, or https://")
    user = GUEST if parts.username is None else unquote(parts.username)
    password = None if parts.password is None else unquote(parts.password)
    if parts.username is None:
        password = GUEST
    path = parts.path.rstrip("/").removesuffix("/api")
    return Place(parts.scheme, parts.hostname, PORT if port is None else port, user, password, path)


BROKEN = (http.client.RemoteDisconnected, http.client.IncompleteRead, BrokenPipeError, ConnectionResetError)
"""The connection was lost during a request."""


class RemoteBroker:
    """Calls an HTTP API. ca_file: CAs to trust in addition to those of the system, for https; may be empty."""

    def __init__(self, place: Place, ca_file: str = "") -> None:
        self.place = place
        self._context = make_context(ca_file) if place.scheme == "https" else None
        self._client: http.client.HTTPConnection | None = None
        self._used_s = 0.0

    def ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Call an operation. path: below /api. body: bytes, or an object to send as JSON. Raises: Unreachable.

        Retries a GET once over a new connection if the connection is lost.
        """
        return self._request(method, path, query, body, headers, _whole)

    def stream(self, method: str, path: str, body: object) -> Reply | Iterator[bytes]:
        """Call an operation with a streamed answer. Returns: its pieces as they arrive, or the reply if it failed.

        Raises: Unreachable, also while reading the pieces.
        """
        found = self._request(method, path, None, body, None, _begun)
        return found if isinstance(found, Reply) else self._pieces(found)

    def _pieces(self, answer: http.client.HTTPResponse) -> Iterator[bytes]:
        try:
            while piece := answer.read1(PIECE):
                yield piece
        except TimeoutError:
            raise Unreachable(f"{self.place.shown} stopped answering") from None
        except (OSError, http.client.HTTPException):
            raise Unreachable(f"{self.place.shown} closed the connection in the middle of its answer") from None
        finally:
            self._used_s = time.monotonic()
            if not answer.isclosed():  # the connection cannot be reused
                self.close()

    def _request(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        body: object,
        headers: Mapping[str, str] | None,
        read: Callable[[http.client.HTTPResponse], T],
    ) -> T:
        place = self.place
        pair = f"{place.user}:{place.password or ''}".encode("utf-8", "surrogateescape")
        given = {name: " ".join(value.split()).encode() for name, value in (headers or {}).items()}
        given["Authorization"] = b"Basic " + base64.b64encode(pair)
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        if data is not None:
            given["Content-Type"] = b"application/octet-stream" if data is body else b"application/json"
        where = f"{place.path}/api{path}" + (f"?{urlencode(query, errors='surrogateescape')}" if query else "")
        if time.monotonic() - self._used_s > IDLE_S:
            self.close()
        try:
            return self._try(method, where, data, given, read)
        except BROKEN as error:
            is_sent = self._client is not None
            self.close()
            if not is_sent or method != "GET":
                text = f"{place.shown} closed the connection before it answered: {error}"
                if isinstance(error, http.client.IncompleteRead):
                    text = f"{place.shown} closed the connection before its answer was complete"
                raise Unreachable(text, is_sent) from None
            return self._last_try(where, given, read)
        except Unreachable:
            self.close()
            raise
        finally:
            self._used_s = time.monotonic()

    def _last_try(self, where: str, headers: dict[str, bytes], read: Callable[[http.client.HTTPResponse], T]) -> T:
        try:
            return self._try("GET", where, None, headers, read)
        except BROKEN:
            raise Unreachable(f"{self.place.shown} closed the connection again before it answered", True) from None
        finally:
            self._used_s = time.monotonic()

    def _try(
        self,
        method: str,
        where: str,
        data: bytes | None,
        headers: dict[str, bytes],
        read: Callable[[http.client.HTTPResponse], T],
    ) -> T:
        place = self.place
        is_sent = False
        try:
            client = self._connected()
            is_sent = True
            client.request(method, where, data, headers)
            return read(client.getresponse())
        except ssl.SSLCertVerificationError as error:
            text = f"{place.shown}: its certificate is not trusted: {error.verify_message}"
            raise Unreachable(f"{text}; give its CA file with --ca-file") from None
        except ssl.SSLError as error:
            reason = error.reason or error
            raise Unreachable(f"{place.shown} does not speak TLS: {reason}; is it http:// or another port?") from None
        except socket.gaierror as error:
            raise Unreachable(f"unknown host '{place.host}': {error.strerror}; check the URL") from None
        except BROKEN:
            raise
        except TimeoutError:
            text = f"{place.shown} does not answer; check the URL, and whether the broker is running"
            raise Unreachable(text, is_sent) from None
        except OSError as error:
            text = f"cannot connect to {place.shown}: {error.strerror or error}"
            text = f"{text}; check the URL, and whether the broker is running with --management-port"
            raise Unreachable(text, is_sent) from None
        except http.client.HTTPException:
            raise Unreachable(f"{place.shown} does not speak HTTP; the API is at port {PORT}, not 5672") from None

    def _connected(self) -> http.client.HTTPConnection:
        if self._client is None:
            place = self.place
            if self._context is None:
                client = http.client.HTTPConnection(place.host, place.port, timeout=CONNECT_S)
            else:
                client = http.client.HTTPSConnection(place.host, place.port, timeout=CONNECT_S, context=self._context)
            client.connect()
            client.sock.settimeout(ANSWER_S)
            self._client = client
        return self._client

    def close(self) -> None:
        """Close the connection."""
        if self._client is not None:
            self._client.close()
            self._client = None


def _whole(answer: http.client.HTTPResponse) -> Reply:
    """Read the complete answer."""
    return Reply(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())


def _begun(answer: http.client.HTTPResponse) -> Reply | http.client.HTTPResponse:
    """An answer whose body is read later; the complete reply if it is an error."""
    return answer if 200 <= answer.status < 300 else _whole(answer)


def make_context(ca_file: str) -> ssl.SSLContext:
    """The TLS context. Raises: Unreachable if the CA file cannot be used."""
    try:
        context = ssl.create_default_context()
        if ca_file:
            context.load_verify_locations(ca_file)
        return context
    except ssl.SSLError:
        raise Unreachable(f"cannot use {ca_file}: it contains no PEM certificate; check --ca-file") from None
    except OSError as error:
        raise Unreachable(f"cannot read {ca_file}: {error.strerror}; check --ca-file") from None
