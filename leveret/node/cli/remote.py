"""Remote: the HTTP API of a broker somewhere, over HTTP or HTTPS."""

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
IDLE_S = 3.0  # after which a connection is not used again: brokers and proxies close those that are idle
PIECE = 64 << 10  # bytes of an answer that goes on
PORT = 15672
GUEST = "guest"
T = TypeVar("T")


class Unreachable(Exception):
    """No broker answers there, or not as one; the text says why, and what to do.

    is_sent: whether the broker may have done what it was asked for.
    """

    def __init__(self, text: str, is_sent: bool = False) -> None:
        super().__init__(text)
        self.is_sent = is_sent


@dataclass(frozen=True)
class Reply:
    """What came back. headers: by their names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def content(self) -> Any:
        """The body, read; None for none. Raises: Unreachable for what is no JSON."""
        try:
            return json.loads(self.body) if self.body else None
        except ValueError:
            raise Unreachable("what answers there is no HTTP API of a broker; check the URL") from None

    @property
    def is_good(self) -> bool:
        """Whether it is done."""
        return 200 <= self.status < 300


@dataclass(frozen=True)
class Place:
    """Where an HTTP API is. path: that of its root, without a slash at the end."""

    scheme: str
    host: str
    port: int
    user: str
    password: str | None = field(repr=False)
    path: str = ""

    @property
    def shown(self) -> str:
        """Without the password."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{self.path}"

    @property
    def url(self) -> str:
        """As it is given to --url, with the password if there is one."""
        secret = "" if self.password is None else f":{quote(self.password, safe='')}"
        return self.shown.replace("://", f"://{quote(self.user, safe='')}{secret}@", 1)


def read_url(text: str) -> Place:
    """What a URL says. Raises: ValueError with what is wrong."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ValueError("the URL is wrong: it is http://USER:PASSWORD@HOST:15672") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("the URL is wrong: it is http://USER:PASSWORD@HOST:15672, or https://")
    user = GUEST if parts.username is None else unquote(parts.username)
    password = None if parts.password is None else unquote(parts.password)
    if parts.username is None:
        password = GUEST
    path = parts.path.rstrip("/").removesuffix("/api")
    return Place(parts.scheme, parts.hostname, PORT if port is None else port, user, password, path)


BROKEN = (http.client.RemoteDisconnected, http.client.IncompleteRead, BrokenPipeError, ConnectionResetError)
"""A connection has ended in the middle."""


class RemoteBroker:
    """Asks an HTTP API. ca_file: of CAs that are believed beside, for https; empty for those of the system."""

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
        """Ask an operation. path: below /api. body: bytes as they are, or what becomes JSON. Raises: Unreachable.

        What only looks is asked once more over another connection when this one breaks.
        """
        return self._request(method, path, query, body, headers, _whole)

    def stream(self, method: str, path: str, body: object) -> Reply | Iterator[bytes]:
        """Ask an operation whose answer goes on. Returns: its pieces as they come, or why it is refused.

        Raises: Unreachable, the pieces too.
        """
        found = self._request(method, path, None, body, None, _begun)
        return found if isinstance(found, Reply) else self._pieces(found)

    def _pieces(self, answer: http.client.HTTPResponse) -> Iterator[bytes]:
        try:
            while piece := answer.read1(PIECE):
                yield piece
        except TimeoutError:
            raise Unreachable(f"{self.place.shown} does not answer any more") from None
        except (OSError, http.client.HTTPException):
            raise Unreachable(f"{self.place.shown} closed the connection in the middle of its answer") from None
        finally:
            self._used_s = time.monotonic()
            if not answer.isclosed():  # nothing else can be asked behind it
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
                    text = f"{place.shown} closed the connection before it has answered"
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
            raise Unreachable(f"{self.place.shown} closes the connection before it answers", True) from None
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
            raise Unreachable(f"{text}; name the file of its CA with --ca-file") from None
        except ssl.SSLError as error:
            reason = error.reason or error
            raise Unreachable(f"{place.shown} does not speak TLS: {reason}; is it http:// or another port?") from None
        except socket.gaierror as error:
            raise Unreachable(f"the host '{place.host}' is not known: {error.strerror}; check the URL") from None
        except BROKEN:
            raise
        except TimeoutError:
            text = f"{place.shown} does not answer; check the URL, and whether the broker runs"
            raise Unreachable(text, is_sent) from None
        except OSError as error:
            text = f"cannot connect to {place.shown}: {error.strerror or error}"
            text = f"{text}; check the URL, and whether the broker runs with --management-port"
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
        """Ask no more."""
        if self._client is not None:
            self._client.close()
            self._client = None


def _whole(answer: http.client.HTTPResponse) -> Reply:
    """All of an answer."""
    return Reply(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())


def _begun(answer: http.client.HTTPResponse) -> Reply | http.client.HTTPResponse:
    """An answer of which the rest is read later; all of one that is a refusal."""
    return answer if 200 <= answer.status < 300 else _whole(answer)


def make_context(ca_file: str) -> ssl.SSLContext:
    """What TLS needs. Raises: Unreachable for a file of CAs that is none."""
    try:
        context = ssl.create_default_context()
        if ca_file:
            context.load_verify_locations(ca_file)
        return context
    except ssl.SSLError:
        raise Unreachable(f"cannot use {ca_file}: there is no certificate in PEM in it; check --ca-file") from None
    except OSError as error:
        raise Unreachable(f"cannot read {ca_file}: {error.strerror}; check --ca-file") from None
