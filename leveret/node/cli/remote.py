"""Remote: the HTTP API of a broker somewhere, over HTTP or HTTPS."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import socket
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, unquote, urlencode, urlsplit

CONNECT_S = 10.0
ANSWER_S = 60.0
PORT = 15672
GUEST = "guest"


class Unreachable(Exception):
    """No broker answers there, or not as one; the text says why, and what to do."""


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


class RemoteBroker:
    """Asks an HTTP API. ca_file: of CAs that are believed beside, for https; empty for those of the system."""

    def __init__(self, place: Place, ca_file: str = "") -> None:
        self.place = place
        self._context = make_context(ca_file) if place.scheme == "https" else None
        self._client: http.client.HTTPConnection | None = None

    def ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Ask an operation. path: below /api. Raises: Unreachable."""
        place, given = self.place, self._headers(headers)
        data = None if body is None else json.dumps(body).encode()
        if data is not None:
            given["Content-Type"] = b"application/json"
        where = f"{place.path}/api{path}" + (f"?{urlencode(query, errors='surrogateescape')}" if query else "")
        try:
            return self._try(method, where, data, given)
        except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError) as error:
            if self._client is None or method != "GET":
                raise Unreachable(f"{place.shown} closed the connection before it answered: {error}") from None
            self.close()
            return self._last_try(where, given)

    def begin(self, method: str, path: str, body: object) -> tuple[Reply, Iterator[bytes]]:
        """Ask an operation whose answer goes on. path: below /api.

        Returns: the head of the answer, and its body in pieces, as they come. Raises: Unreachable, as do the pieces.
        """
        given = {**self._headers(None), "Content-Type": b"application/json"}
        try:
            with self._told():
                client = self._connected()
                client.request(method, f"{self.place.path}/api{path}", json.dumps(body).encode(), given)
                answer = client.getresponse()
        except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError) as error:
            raise Unreachable(f"{self.place.shown} closed the connection before it answered: {error}") from None
        return Reply(answer.status, _headers_of(answer), b""), self._pieces(answer)

    def _pieces(self, answer: http.client.HTTPResponse) -> Iterator[bytes]:
        try:
            while piece := answer.readline():
                yield piece
        except (http.client.HTTPException, OSError):
            raise Unreachable(f"{self.place.shown} was gone before the end of its answer") from None

    def _headers(self, more: Mapping[str, str] | None) -> dict[str, bytes]:
        """Those of a request."""
        pair = f"{self.place.user}:{self.place.password or ''}".encode("utf-8", "surrogateescape")
        found = {name: " ".join(value.split()).encode() for name, value in (more or {}).items()}
        found["Authorization"] = b"Basic " + base64.b64encode(pair)
        return found

    def _last_try(self, where: str, headers: dict[str, bytes]) -> Reply:
        try:
            return self._try("GET", where, None, headers)
        except (http.client.HTTPException, OSError):
            raise Unreachable(f"{self.place.shown} closes the connection before it answers") from None

    def _try(self, method: str, where: str, data: bytes | None, headers: dict[str, bytes]) -> Reply:
        with self._told():
            client = self._connected()
            client.request(method, where, data, headers)
            answer = client.getresponse()
            return Reply(answer.status, _headers_of(answer), answer.read())

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Say what goes wrong in this block. Raises: Unreachable, and OSError of a connection that was closed."""
        place = self.place
        try:
            yield
        except ssl.SSLCertVerificationError as error:
            text = f"{place.shown}: its certificate is not trusted: {error.verify_message}"
            raise Unreachable(f"{text}; name the file of its CA with --ca-file") from None
        except ssl.SSLError as error:
            reason = error.reason or error
            raise Unreachable(f"{place.shown} does not speak TLS: {reason}; is it http:// or another port?") from None
        except socket.gaierror as error:
            raise Unreachable(f"the host '{place.host}' is not known: {error.strerror}; check the URL") from None
        except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
            raise
        except TimeoutError:
            raise Unreachable(f"{place.shown} does not answer; check the URL, and whether the broker runs") from None
        except OSError as error:
            text = f"cannot connect to {place.shown}: {error.strerror or error}"
            raise Unreachable(f"{text}; check the URL, and whether the broker runs with --management-port") from None
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


def _headers_of(answer: http.client.HTTPResponse) -> dict[str, str]:
    return {name.lower(): value for name, value in answer.getheaders()}


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
