"""Asking an HTTP API, without a library that mends what is sent or what comes."""

from __future__ import annotations

import base64
import http.client
import json
from dataclasses import dataclass
from urllib.parse import urlsplit

TIMEOUT_S = 20


@dataclass(frozen=True)
class Reply:
    """What came back. headers: by their names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> object:
        """The body, read; None if there is none."""
        return json.loads(self.body) if self.body else None

    def expect(self, *statuses: int) -> Reply:
        """Fail unless it has one of these."""
        assert self.status in statuses, (self.status, self.body)
        return self


class Http:
    """Somebody who asks. api: as in http://127.0.0.1:15672. user: empty for nobody. source: the address to ask from.

    timeout_s: for each step.
    """

    def __init__(
        self,
        api: str,
        user: str = "guest",
        password: str = "guest",
        source: str = "",
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self.api = api
        self._timeout_s = timeout_s
        self._where = urlsplit(api)
        self._user = user
        self._password = password
        self._source = (source, 0) if source else None

    def ask(self, method: str, path: str, body: object = None, **headers: str) -> Reply:
        """Ask for a path below /api, or one that begins with a slash. body: bytes as they are, or what becomes JSON.

        headers: with underscores in the place of hyphens.
        """
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        if self._user:
            pair = f"{self._user}:{self._password}".encode()
            given["Authorization"] = f"Basic {base64.b64encode(pair).decode()}"
        if data is not None:
            given.setdefault("Content-Type", "application/json")
        assert self._where.hostname is not None
        connection = http.client.HTTPConnection(self._where.hostname, self._where.port, self._timeout_s, self._source)
        try:
            where = path if path.startswith("/") else f"{self._where.path}/api/{path}"
            connection.request(method, where, data, given)
            answer = connection.getresponse()
            return Reply(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
        finally:
            connection.close()
