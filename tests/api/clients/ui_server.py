"""A web server with RabbitMQ's management UI, in front of an API that is somewhere else."""

from __future__ import annotations

import contextlib
import http.client
import mimetypes
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

BOOTSTRAP = "/js/oidc-oauth/bootstrap.js"
"""The one file that RabbitMQ writes when it is asked for."""
HELPERS = (
    *("oauth_initialize_if_required", "hasAnyResourceServerReady", "oauth_initialize", "oauth_initiate"),
    *("oauth_initiateLogin", "oauth_initiateLogout", "oauth_completeLogin", "oauth_completeLogout"),
    "set_oauth_settings",
)
NOT_PASSED_ON = {"connection", "transfer-encoding", "content-length", "host"}


def bootstrap() -> str:
    """Of a broker without OAuth."""
    names = ",".join(HELPERS)
    lines = [f"window.{name} = {name};" for name in HELPERS]
    return f"import {{{names}}} from './helper.js';set_oauth_settings({{'oauth_enabled':false}});{''.join(lines)}"


class Handler(BaseHTTPRequestHandler):
    """One request: for a file, or for the API."""

    protocol_version = "HTTP/1.1"
    files: Path
    api: str

    def handle_any(self) -> None:
        """Answer it."""
        path = urlsplit(self.path).path
        if path.startswith("/api/") and path != "/api/":
            self._pass_on()
        elif path == BOOTSTRAP:
            self._say(200, "text/javascript", bootstrap().encode())
        else:
            file = self.files / (path.strip("/") or "index.html")
            file = file / "index.html" if file.is_dir() else file
            if file.is_file():
                self._say(200, mimetypes.guess_type(file)[0] or "application/octet-stream", file.read_bytes())
            else:
                self._say(404, "text/plain", b"")

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = handle_any

    def _pass_on(self) -> None:
        where = urlsplit(self.api)
        assert where.hostname is not None
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name: value for name, value in self.headers.items() if name.lower() not in NOT_PASSED_ON}
        connection = http.client.HTTPConnection(where.hostname, where.port, timeout=60)
        with contextlib.closing(connection):
            connection.request(self.command, self.path, body or None, headers)
            answer = connection.getresponse()
            content = answer.read()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in NOT_PASSED_ON:
                    self.send_header(name, value)
            self._finish(content)

    def _say(self, status: int, kind: str, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self._finish(content)

    def _finish(self, content: bytes) -> None:
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        with contextlib.suppress(OSError):  # the browser has gone to another page
            self.wfile.write(content)

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def serving(files: Path, api: str) -> Iterator[str]:
    """The URL of the UI, while the block runs. files: those of RabbitMQ. api: as in http://127.0.0.1:15672."""
    handler = type("Handler", (Handler,), {"files": files, "api": api})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, name="management UI")
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
