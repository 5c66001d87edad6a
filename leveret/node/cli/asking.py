"""Asking a running broker for operations of its HTTP API: over HTTP, or through its control socket without HTTP.

Whatever goes wrong ends the command with one sentence and status 1.
"""

from __future__ import annotations

import contextlib
import json
import socket
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn, Protocol
from urllib.parse import quote

import typer

from leveret.node.cli.output import refuse
from leveret.node.cli.remote import Place, RemoteBroker, Reply, Unreachable, read_url
from leveret.node.cli.target import URL_VARIABLE, BrokerError, Link, Target, reach, url_in_environment

PAGE = 500
LOGIN_FAILED = "not_authorized"
NOT_THERE = ("", "Not Found", "vhost_not_found", "queue_not_found", "exchange_not_found")


def path(*parts: str) -> str:
    """A path of the API: words, and names as they stand in paths."""
    return "".join(f"/{quote(part, safe='', errors='surrogateescape')}" for part in parts)


class Asker(Protocol):
    """What asks. Raises: Unreachable."""

    def ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Ask an operation. path: below /api."""

    def begin(self, method: str, path: str, body: object) -> tuple[Reply, Iterator[bytes]]:
        """Ask an operation whose answer goes on. Returns: the head of the answer, and its body in pieces."""

    def close(self) -> None:
        """Ask no more."""


class LocalBroker:
    """Asks through a control socket, as an administrator."""

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
        data = b"" if body is None else json.dumps(body).encode()
        pieces: list[bytes] = []
        heads: list[dict[str, Any]] = []
        try:
            for head in self._link.stream("ask", arguments, data):
                heads.append(head)
                pieces.append(self._link.data)
        except BrokerError as error:
            raise Unreachable(str(error)) from None
        return Reply(heads[-1]["status"], heads[-1]["headers"], b"".join(pieces))

    def begin(self, method: str, path: str, body: object) -> tuple[Reply, Iterator[bytes]]:
        """Ask an operation whose answer goes on. path: below /api.

        Returns: the head of the answer, and its body in pieces, as they come. Raises: Unreachable, as do the pieces.
        """
        arguments: dict[str, object] = {"method": method, "path": path}
        answers = self._link.stream("ask", arguments, json.dumps(body).encode())
        try:
            head = next(answers)
        except BrokerError as error:
            raise Unreachable(str(error)) from None
        return Reply(head["status"], head["headers"], b""), self._pieces(answers)

    def _pieces(self, answers: Iterator[dict[str, Any]]) -> Iterator[bytes]:
        yield self._link.data
        try:
            for _ in answers:
                yield self._link.data
        except BrokerError as error:
            raise Unreachable(str(error)) from None

    def close(self) -> None:
        """Ask no more."""
        self._link.__exit__()


class Broker:
    """A running broker, asked for operations of its API. Whatever is refused ends the command."""

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
        """What it answers, whatever that is; only somebody who may not log in gets no answer."""
        try:
            reply = self._asker.ask(method, path, query, body, headers)
        except Unreachable as error:
            refuse(str(error))
        return self._known(reply)

    def lines(self, method: str, path: str, body: object, missing: str = "") -> Iterator[dict[str, Any]]:
        """The lines of an answer that goes on, each when it comes. missing: what is said if there is nothing there."""
        try:
            head, pieces = self._asker.begin(method, path, body)
            if not head.is_good:
                self.refuse(self._known(Reply(head.status, head.headers, b"".join(pieces))), missing)
            rest = b""
            for piece in pieces:
                *whole, rest = (rest + piece).split(b"\n")
                for line in whole:
                    found: dict[str, Any] = self.read(Reply(head.status, {}, line))
                    yield found
        except Unreachable as error:
            refuse(str(error))

    def _known(self, reply: Reply) -> Reply:
        """The same, unless it says that the user may not log in."""
        if reply.status == 401 and (not reply.body or self._error(reply) == LOGIN_FAILED):
            place = self.place
            assert place is not None
            text = f"{place.shown} does not let user '{place.user}' in: the name or the password is wrong"
            refuse(f"{text}, or the user may log in from that machine only")
        return reply

    def get(self, path: str, query: Mapping[str, str] | None = None, missing: str = "") -> Any:
        """What there is at a path. missing: what is said if there is nothing."""
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
        """Do something. missing: what is said if there is nothing at the path."""
        return self._expect(self.ask(method, path, query, body, headers), missing)

    def find(self, path: str, query: Mapping[str, str] | None = None) -> Any:
        """What there is at a path; None for nothing."""
        reply = self.ask("GET", path, query)
        return None if reply.status == 404 else self.read(self._expect(reply, ""))

    def pages(self, path: str, query: Mapping[str, str], limit: int | None, missing: str = "") -> list[dict[str, Any]]:
        """The items of a list, at most so many. query: may filter them, which the API does only page by page."""
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
        """End the command with the reason why something was not done."""
        reason = self._reason(reply)
        if reply.status == 404:
            refuse(missing if missing and reason in NOT_THERE else reason or "there is no such thing")
        if reply.status == 401:
            user = "this user" if self.place is None else f"user '{self.place.user}'"
            refuse(f"{user} may not do this: {reason}")
        if reply.status == 503:
            refuse(f"the broker cannot do this now: {reason}")
        refuse(reason or f"the broker answers with status {reply.status}; its log may say why")

    def close(self) -> None:
        """Ask no more."""
        self._asker.close()

    def _expect(self, reply: Reply, missing: str) -> Reply:
        if not reply.is_good:
            self.refuse(reply, missing)
        return reply

    def read(self, reply: Reply) -> Any:
        """The content of an answer."""
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


@contextlib.contextmanager
def broker_at(target: Target) -> Iterator[Broker]:
    """The running broker that is meant."""
    broker = connect(target)
    try:
        yield broker
    finally:
        broker.close()


def connect(target: Target) -> Broker:
    """The running broker that is meant; the command ends if there is none."""
    if target.is_remote:
        place, ca_file = where(target)
        try:
            return Broker(RemoteBroker(place, ca_file), place)
        except Unreachable as error:
            refuse(str(error))
    return Broker(LocalBroker(local_link(target)), None)


def local_link(target: Target) -> Link:
    """A connection to the control socket of the broker on this machine that is meant."""

    def offline(directory: Path) -> NoReturn:
        from leveret.store.snapshot import check_unused

        check_unused(directory)
        start = "start one there with `leveret serve`, or name one elsewhere with --url"
        refuse(f"no broker runs on '{directory}', and only a running one can do this; {start}")

    def online(client: socket.socket) -> Link:
        return Link(client)

    return reach(target, online, offline)


def where(target: Target) -> tuple[Place, str]:
    """The place of a broker somewhere, and the file of CAs for it. Asks for a password that is not there."""
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
    """The place with the password that somebody at a terminal says."""
    from dataclasses import replace

    if not sys.stdin.isatty():
        text = f"there is no password for user '{place.user}' of {place.shown}"
        refuse(f"{text}: put it into the URL, or run this at a terminal")
    password: str = typer.prompt(f"Password of user '{place.user}' of {place.shown}", hide_input=True, err=True)
    return replace(place, password=password)
