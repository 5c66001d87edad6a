"""Serves the files of the web UI (`leveret/ui`) unchanged: modules, styles and one page that loads them.

They need no login: the data that they show comes from the API, which does. The URL of a file contains the version of
all files, so that browsers can cache it forever, and a page never mixes files of two versions.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
import time
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from starlette.requests import Request as HttpRequest
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

FOLDER: Final = Path(__file__).parent.parent / "ui"
INDEX: Final = "index.html"
LOOK_S: Final = 1.0  # minimum seconds between two checks for changed files
PIECE: Final = 32 << 10  # bytes that are compressed in one step
MEDIA_TYPES: Final[Mapping[str, str]] = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".py": "text/plain; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
FOR_GOOD: Final = "public, max-age=31536000, immutable"
STYLES: Final = "all.css"  # the style sheets in one file: each file costs the browser time before its first rendering
SHEETS: Final = (
    *(f"css/{name}.css" for name in ("tokens", "base", "components", "pages", "admin", "playground")),
    *("css/messages.css", "css/topology.css", "vendor/uplot.css"),
)
INLINE_SCRIPT: Final = re.compile(rb'<script(?: type="importmap")?>(.*?)</script>', re.DOTALL)
BASE: Final = b"{base}"  # placeholder in the page for the URL of the files
PREFIX: Final = b"{prefix}"


@dataclass(frozen=True)
class File:
    """A file of the web UI. packed: compressed with gzip."""

    plain: bytes
    packed: bytes
    media_type: str


async def _pack(content: bytes) -> bytes:
    """Compress in steps, so that the event loop is not blocked."""
    packer = zlib.compressobj(9, wbits=31)
    packed = bytearray()
    for at in range(0, len(content), PIECE):
        packed += packer.compress(content[at : at + PIECE])
        await asyncio.sleep(0)
    return bytes(packed + packer.flush())


class WebUi:
    """The files, read on first request. prefix: of all URLs, behind a proxy.

    now: a monotonic clock, in seconds.
    """

    def __init__(self, prefix: str, folder: Path = FOLDER, now: Callable[[], float] = time.monotonic) -> None:
        self._prefix = prefix
        self._folder = folder
        self._now = now
        self._looks_at_s = now()
        self._version = ""
        self._files: dict[str, File] = {}
        self._policy = ""

    def routes(self) -> list[Route]:
        """The routes of the page and its files."""
        return [Route("/", self._show), Route("/ui/{version}/{path:path}", self._send)]

    async def _show(self, http: HttpRequest) -> Response:
        self._look()
        page = await self._file(INDEX)
        assert page is not None, f"{self._folder} has no {INDEX}"
        return _respond(http, page, {"Content-Security-Policy": self._policy})

    async def _send(self, http: HttpRequest) -> Response:
        version, path = http.path_params["version"], http.path_params["path"]
        if version != self._version:
            self._look()
        file = await self._file(path)
        if file is None:
            return PlainTextResponse("Not Found", 404)
        return _respond(http, file, {"Cache-Control": FOR_GOOD if version == self._version else "no-cache"})

    def _look(self) -> None:
        """Check whether files have changed, as during development. At most once in LOOK_S: any client may trigger this,
        and it takes milliseconds.
        """
        if self._now() < self._looks_at_s:
            return
        self._looks_at_s = self._now() + LOOK_S
        digest = hashlib.sha256(self._prefix.encode())
        for path in sorted(self._folder.rglob("*")):
            if path.is_file():
                status = path.stat()
                digest.update(f"{path.relative_to(self._folder)} {status.st_mtime_ns} {status.st_size}\n".encode())
        version = digest.hexdigest()[:12]
        if version != self._version:
            self._version = version
            self._files.clear()

    async def _file(self, path: str) -> File | None:
        """A file by its path, None if it does not exist."""
        found = self._files.get(path)
        if found is None:
            version = self._version
            media_type = MEDIA_TYPES.get(Path(path).suffix)
            if media_type is None or (plain := self._read(path)) is None:
                return None
            if path == INDEX:
                base = f"{self._prefix}/ui/{version}"
                plain = plain.replace(BASE, base.encode()).replace(PREFIX, self._prefix.encode())
                self._policy = policy(plain)
            found = File(plain, await _pack(plain), media_type)
            if version == self._version:
                self._files[path] = found
        return found

    def _read(self, path: str) -> bytes | None:
        """The content of a file by its path, None if it does not exist."""
        if path == STYLES:
            return b"\n".join((self._folder / each).read_bytes() for each in SHEETS)
        where = self._folder / path
        return where.read_bytes() if ".." not in where.parts and where.is_file() else None


def policy(page: bytes) -> str:
    """The Content-Security-Policy of a page: allows the files, and the scripts in the page."""
    hashes = [hashlib.sha256(text).digest() for text in INLINE_SCRIPT.findall(page)]
    scripts = " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in hashes)
    return (
        f"default-src 'self'; script-src 'self' {scripts}; img-src 'self' data: blob:; object-src 'none'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def _respond(http: HttpRequest, file: File, headers: dict[str, str]) -> Response:
    headers["Vary"] = "Accept-Encoding"
    if "gzip" in http.headers.get("accept-encoding", ""):
        headers["Content-Encoding"] = "gzip"
        return Response(file.packed, 200, headers, file.media_type)
    return Response(file.plain, 200, headers, file.media_type)
