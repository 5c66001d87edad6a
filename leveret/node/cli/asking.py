"""Asking a running broker for operations of its HTTP API: over HTTP, or through its control socket without HTTP.

Whatever goes wrong ends the command with one sentence and status 1.
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
BUSY = "busy"  # the error of an answer to somebody who may try again in a moment
BUSY_S = 0.5
TRIES = 20
LOGIN_FAILED = "not_authorized"
ODD = "what answers there is no HTTP API of a Leveret; check the URL"
NOT_THERE = ("", "Not Found", "vhost_not_found", "queue_not_found", "exchange_not_found")


class Refused(Exception):
    """A broker does not do it; the text says why."""


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

    def stream(self, method: str, path: str, body: object) -> Reply | Iterator[bytes]:
        """Ask an operation whose answer goes on. Returns: its pieces as they come, or why it is refused."""

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
        """Ask an operation whose answer goes on. Returns: its pieces as they come, or why it is refused.

        Raises: Unreachable, the pieces too. Who does not read them to their end asks no more.
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
        refused = self._not_let_in(reply)
        if refused:
            refuse(refused)
        return reply

    def _not_let_in(self, reply: Reply) -> str:
        """What is said to who may not log in; empty for all others."""
        if reply.status != 401 or (reply.body and self._error(reply) != LOGIN_FAILED):
            return ""
        place = self.place
        assert place is not None
        text = f"{place.shown} does not let user '{place.user}' in: the name or the password is wrong"
        return f"{text}, or the user may log in from that machine only"

    def attempt(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: object = None,
        missing: str = "",
    ) -> Reply:
        """Do something, for who has something to say when it fails.

        Raises: BrokerError, whose is_gone means that nobody knows whether it was done.
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
                text = f"{where} answers with status {reply.status} and without a reason"
                raise BrokerError(text, reply.status >= 500)
            if told.get("error") != BUSY:
                raise BrokerError(self.reason(reply, missing), reply.status == 500)
            time.sleep(BUSY_S)
        raise BrokerError(self.reason(reply, missing))

    def lines(self, path: str, body: object, missing: str = "") -> Iterator[dict[str, Any]]:
        """Objects of an answer that goes on, each as soon as it comes. missing: what is said if there is nothing there.

        Raises: Refused, and Unreachable also later.
        """
        try:
            json.dumps(body, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise Refused("there are bytes in the command line that are no UTF-8; JSON cannot say them") from None
        found = self._asker.stream("POST", path, body)
        if isinstance(found, Reply):
            raise Refused(self.reason(found, missing))
        return _read_lines(found)

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
        refuse(self.reason(reply, missing))

    def reason(self, reply: Reply, missing: str = "") -> str:
        """Why something was not done. missing: what is said if there is nothing at the path."""
        refused = self._not_let_in(reply)
        if refused:
            return refused
        reason = self._reason(reply)
        if reply.status == 404:
            return missing if missing and reason in NOT_THERE else reason or "there is no such thing"
        if reply.status == 401:
            user = "this user" if self.place is None else f"user '{self.place.user}'"
            return f"{user} may not do this: {reason}"
        if reply.status == 503:
            return f"the broker cannot do this now: {reason}"
        return reason or f"the broker answers with status {reply.status}; its log may say why"

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


def _read_lines(pieces: Iterator[bytes]) -> Iterator[dict[str, Any]]:
    """Lines of JSON. Raises: Unreachable for what is none, or is cut short."""
    begun: list[bytes] = []  # of a line
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


def check_directory(target: Target) -> None:
    """End the command if the data directory that is meant may not be used, whether a broker runs there or not."""

    def offline(directory: Path) -> None:
        from leveret.store.snapshot import check_unused

        if not directory.exists():
            refuse(f"there is no data directory '{directory}'; start a broker there once, or name one with --url")
        check_unused(directory)

    if not target.control:
        reach(target, lambda client: client.close(), offline)


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
