"""Call operations of a broker's HTTP API, over HTTP or through the control socket.

An error ends the command with one sentence and status 1.
"""

from __future__ import annotations

import contextlib
import json
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn, Protocol
from urllib.parse import quote

import typer

from leveret.node.cli.output import refuse
from leveret.node.cli.remote import Place, RemoteBroker, Reply, Unreachable, read_url
from leveret.node.cli.target import URL_VARIABLE, BrokerError, Link, Target, reach, url_in_environment

PAGE = 500
BUSY = "busy"  # the API error that asks the client to retry
BUSY_S = 0.5
TRIES = 20
LOGIN_FAILED = "not_authorized"
ODD = "the server is not the HTTP API of a Leveret broker; check the URL"
NOT_THERE = ("", "Not Found", "vhost_not_found", "queue_not_found", "exchange_not_found")


class Refused(Exception):
    """The broker refused a request. The text says why."""


def path(*parts: str) -> str:
    """A path of the API from unescaped parts."""
    return "".join(f"/{quote(part, safe='', errors='surrogateescape')}" for part in parts)


class Asker(Protocol):
    """Sends requests to the API of a broker. Raises: Unreachable."""

    def ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Call an operation. path: below /api."""

    def stream(self, method: str, path: str, body: object) -> Reply | Iterator[bytes]:
        """Call an operation with a streamed answer. Returns: its pieces as they arrive, or the reply if it failed."""

    def close(self) -> None:
        """Close the connection."""


class LocalBroker:
    """Sends requests through a control socket, as an administrator."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Ask an operation. path: below /api. Raises: Unreachable."""
        arguments: dict[str, object] = {"method": method, "path": path, "query": query or {}, "headers": headers or {}}
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        pieces: list[bytes] = []
        heads: list[dict[str, Any]] = []
        try:
            for head in self._link.stream("ask", arguments, data):
                heads.append(head)
                pieces.append(self._link.data)
        except BrokerError as error:
            raise Unreachable(str(error), error.is_gone) from None
        return Reply(heads[-1]["status"], heads[-1]["headers"], b"".join(pieces))

    def stream(self, method: str, path: str, body: object) -> Reply | Iterator[bytes]:
        """Call an operation with a streamed answer. Returns: its pieces as they arrive, or the reply if it failed.

        Raises: Unreachable, also while reading the pieces. Read all pieces before the next request.
        """
        arguments: dict[str, object] = {"method": method, "path": path, "query": {}, "headers": {}}
        heads = self._link.stream("ask", arguments, json.dumps(body).encode())
        try:
            head = next(heads)
        except BrokerError as error:
            raise Unreachable(str(error), error.is_gone) from None
        if not 200 <= head["status"] < 300:
            return Reply(head["status"], head["headers"], self._link.data)
        return self._pieces(self._link.data, heads)

    def _pieces(self, first: bytes, heads: Iterator[dict[str, Any]]) -> Iterator[bytes]:
        yield first
        try:
            for _ in heads:
                yield self._link.data
        except BrokerError as error:
            raise Unreachable(str(error), error.is_gone) from None

    def close(self) -> None:
        """Close the connection."""
        self._link.__exit__()


class Broker:
    """A running broker. A refused request ends the command."""

    def __init__(self, asker: Asker, place: Place | None) -> None:
        self._asker = asker
        self.place = place

    def ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Call an operation and return any reply. A failed login ends the command."""
        try:
            reply = self._asker.ask(method, path, query, body, headers)
        except Unreachable as error:
            refuse(str(error))
        refused = self._login_failure(reply)
        if refused:
            refuse(refused)
        return reply

    def _login_failure(self, reply: Reply) -> str:
        """The error text if the login failed, else empty."""
        if reply.status != 401 or (reply.body and self._error(reply) != LOGIN_FAILED):
            return ""
        place = self.place
        assert place is not None
        text = f"{place.shown} refused the login of user '{place.user}': wrong name or password"
        return f"{text}, or the user may only log in from that machine"

    def attempt(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: object = None,
        missing: str = "",
    ) -> Reply:
        """Call an operation, retrying while the broker is busy.

        Raises: BrokerError; its is_gone means that the operation may have been performed.
        """
        for _ in range(TRIES):
            try:
                reply = self._asker.ask(method, path, query, body)
            except Unreachable as error:
                raise BrokerError(str(error), error.is_sent) from None
            try:
                told = reply.content
            except Unreachable:  # a page of a proxy, perhaps
                told = None
            if reply.is_good:
                return reply
            if not isinstance(told, dict):
                where = "the broker" if self.place is None else self.place.shown
                text = f"{where} answered with status {reply.status} and without a reason"
                raise BrokerError(text, reply.status >= 500)
            if told.get("error") != BUSY:
                raise BrokerError(self.reason(reply, missing), reply.status == 500)
            time.sleep(BUSY_S)
        raise BrokerError(self.reason(reply, missing))

    def lines(self, path: str, body: object, missing: str = "") -> Iterator[dict[str, Any]]:
        """The JSON objects of a streamed answer, each as it arrives. missing: the error text for status 404.

        Raises: Refused; Unreachable, also while iterating.
        """
        try:
            json.dumps(body, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise Refused("the command line contains bytes that are not UTF-8, which JSON cannot represent") from None
        found = self._asker.stream("POST", path, body)
        if isinstance(found, Reply):
            raise Refused(self.reason(found, missing))
        return _read_lines(found)

    def get(self, path: str, query: Mapping[str, str] | None = None, missing: str = "") -> Any:
        """GET a path. missing: the error text for status 404."""
        return self.read(self._expect(self.ask("GET", path, query), missing))

    def do(
        self,
        method: str,
        path: str,
        body: object = None,
        query: Mapping[str, str] | None = None,
        missing: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Call an operation. missing: the error text for status 404."""
        return self._expect(self.ask(method, path, query, body, headers), missing)

    def find(self, path: str, query: Mapping[str, str] | None = None) -> Any:
        """GET a path; None for status 404."""
        reply = self.ask("GET", path, query)
        return None if reply.status == 404 else self.read(self._expect(reply, ""))

    def pages(self, path: str, query: Mapping[str, str], limit: int | None, missing: str = "") -> list[dict[str, Any]]:
        """The items of a list, up to a limit. Reads page by page if the query filters, as the API requires."""
        if limit is None and "name" not in query:
            found: list[dict[str, Any]] = self.get(path, query, missing)
            return found
        found = []
        number = 1
        while True:
            size = PAGE if limit is None else min(PAGE, limit)
            page = self.get(path, {**query, "page": str(number), "page_size": str(size)}, missing)
            found += page["items"]
            if number >= page["page_count"] or (limit is not None and len(found) >= limit):
                return found[:limit]
            number += 1

    def refuse(self, reply: Reply, missing: str = "") -> NoReturn:
        """End the command with the reason of a failed request."""
        refuse(self.reason(reply, missing))

    def reason(self, reply: Reply, missing: str = "") -> str:
        """The reason of a failed request. missing: the text for status 404."""
        refused = self._login_failure(reply)
        if refused:
            return refused
        reason = self._reason(reply)
        if reply.status == 404:
            return missing if missing and reason in NOT_THERE else reason or "not found"
        if reply.status == 401:
            user = "this user" if self.place is None else f"user '{self.place.user}'"
            return f"{user} may not do this: {reason}"
        if reply.status == 503:
            return f"the broker cannot do this now: {reason}"
        return reason or f"the broker answered with status {reply.status}; see its log"

    def close(self) -> None:
        """Close the connection."""
        self._asker.close()

    def _expect(self, reply: Reply, missing: str) -> Reply:
        if not reply.is_good:
            self.refuse(reply, missing)
        return reply

    def read(self, reply: Reply) -> Any:
        """The parsed content of a reply. An invalid one ends the command."""
        try:
            return reply.content
        except Unreachable as error:
            refuse(str(error))

    def _error(self, reply: Reply) -> str:
        content = self.read(reply)
        return str(content.get("error", "")) if isinstance(content, dict) else ""

    def _reason(self, reply: Reply) -> str:
        content = self.read(reply)
        return str(content.get("reason", "")).strip() if isinstance(content, dict) else ""


def _read_lines(pieces: Iterator[bytes]) -> Iterator[dict[str, Any]]:
    """Parse lines of JSON objects. Raises: Unreachable if a line is invalid or incomplete."""
    begun: list[bytes] = []  # pieces of an incomplete line
    for piece in pieces:
        *ended, rest = piece.split(b"\n")
        for end in ended:
            line = b"".join([*begun, end])
            begun.clear()
            try:
                found = json.loads(line)
            except ValueError:
                raise Unreachable(ODD) from None
            if not isinstance(found, dict):
                raise Unreachable(ODD)
            yield found
        if rest:
            begun.append(rest)
    if begun:
        raise Unreachable("the answer was cut short")


@contextlib.contextmanager
def broker_at(target: Target) -> Iterator[Broker]:
    """The running target broker."""
    broker = connect(target)
    try:
        yield broker
    finally:
        broker.close()


def connect(target: Target) -> Broker:
    """Connect to the running target broker. Ends the command if there is none."""
    if target.is_remote:
        place, ca_file = where(target)
        try:
            return Broker(RemoteBroker(place, ca_file), place)
        except Unreachable as error:
            refuse(str(error))
    return Broker(LocalBroker(local_link(target)), None)


def local_link(target: Target) -> Link:
    """A connection to the control socket of the local target broker."""

    def offline(directory: Path) -> NoReturn:
        from leveret.store.snapshot import check_unused

        check_unused(directory)
        start = "start it with `leveret serve`, or name another broker with --url"
        refuse(f"no broker is running on '{directory}', and this command needs one; {start}")

    def online(client: socket.socket) -> Link:
        return Link(client)

    return reach(target, online, offline)


def check_directory(target: Target) -> None:
    """End the command if the target data directory does not exist or cannot be used."""

    def offline(directory: Path) -> None:
        from leveret.store.snapshot import check_unused

        if not directory.exists():
            refuse(f"there is no data directory '{directory}'; start a broker there first, or name a broker with --url")
        check_unused(directory)

    if not target.control:
        reach(target, lambda client: client.close(), offline)


def where(target: Target) -> tuple[Place, str]:
    """The address of a remote broker and its CA file. Prompts for a missing password."""
    ca_file = target.ca_file or ""
    if target.profile:
        from leveret.node.cli import profiles_file

        try:
            profile = profiles_file.find(target.profile)
        except profiles_file.ProfileError as error:
            refuse(str(error))
        text, ca_file, option = profile.url, ca_file or profile.ca_file, f"profile '{target.profile}'"
    elif target.url:
        text, option = target.url, "--url"
    else:
        text, option = url_in_environment(), URL_VARIABLE
    try:
        place = read_url(text)
    except ValueError as error:
        raise typer.BadParameter(f"{option}: {error}") from None
    if place.password is None:
        place = with_password(place)
    return place, ca_file


def with_password(place: Place) -> Place:
    """The address with a password from a prompt."""
    from dataclasses import replace

    if not sys.stdin.isatty():
        text = f"there is no password for user '{place.user}' of {place.shown}"
        refuse(f"{text}: put it into the URL, or run this in a terminal")
    password: str = typer.prompt(f"Password of user '{place.user}' of {place.shown}", hide_input=True, err=True)
    return replace(place, password=password)
