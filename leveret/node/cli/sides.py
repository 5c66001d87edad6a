"""The two brokers of a migration, named by a data directory, a URL or a profile."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import unquote, urlsplit

import typer

from leveret.auth.operator import NAME as OPERATOR
from leveret.node.amqp import AmqpClient, AmqpError
from leveret.node.cli.asking import LocalBroker, where
from leveret.node.cli.remote import CONNECT_S, Place, RemoteBroker, Unreachable, make_context
from leveret.node.cli.target import BrokerError, Link, Target, dial, local_name
from leveret.node.control_path import ControlError
from leveret.node.migration.side import HEARTBEAT_S, Side, SideError, refusal

PORTS = {"amqp": 5672, "amqps": 5671}


@dataclass(frozen=True)
class Address:
    """An AMQP address. user: empty to use the user of the HTTP API."""

    host: str
    port: int
    has_tls: bool
    user: str = ""
    password: str = ""


def read_address(text: str, option: str) -> Address:
    """Parse an AMQP URL. Raises: typer.BadParameter."""
    wrong = typer.BadParameter(
        "not a valid URL: expected amqp://USER:PASSWORD@HOST:5672, or amqps://", param_hint=option
    )
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise wrong from None
    if parts.scheme not in PORTS or not parts.hostname:
        raise wrong
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    return Address(parts.hostname, port or PORTS[parts.scheme], parts.scheme == "amqps", user, password)


class LocalSide(Side):
    """A broker on this machine, reached through its control socket with full rights."""

    is_here = True

    def __init__(self, target: Target) -> None:
        name = local_name(target)
        super().__init__(f"'{name}'", f"here:{name}", OPERATOR)
        self._target = target
        self._link: Link | None = None

    def ask(
        self, method: str, path: str, query: Mapping[str, str] | None = None, body: object = None
    ) -> tuple[int, Any]:
        """Call an operation of the HTTP API. path: below /api."""
        try:
            reply = LocalBroker(self._connected()).ask(method, path, query, body)
            return reply.status, reply.content
        except Unreachable as error:
            self.close()
            raise SideError(str(error), True) from None

    def do(self, verb: str, arguments: dict[str, object]) -> Any:
        """Perform an administration verb."""
        try:
            return self._connected().ask(verb, arguments)
        except BrokerError as error:
            if error.is_gone:
                self.close()
            raise SideError(str(error), error.is_gone) from None

    def dial(self, vhost: str, between: Callable[[], None]) -> AmqpClient:
        """Open an AMQP connection."""
        try:
            link = self._dialled()
            link.ask("amqp", {})
        except (BrokerError, SideError) as error:
            raise AmqpError(str(error)) from None
        return AmqpClient(link.detach(), "", "", vhost, HEARTBEAT_S, between)

    def close(self) -> None:
        """Close the connection."""
        if self._link is not None:
            self._link.__exit__()
            self._link = None

    def _connected(self) -> Link:
        if self._link is None:
            self._link = self._dialled()
        return self._link

    def _dialled(self) -> Link:
        try:
            client = dial(self._target)
        except ControlError as error:
            raise SideError(str(error), True) from None
        if client is None:
            text = f"no broker is running on {self.shown}, and this command needs one"
            raise SideError(f"{text}; start it with `leveret serve`, or name another broker with --url", True)
        return Link(client)


class RemoteSide(Side):
    """Any broker, reached over HTTP and AMQP."""

    def __init__(self, place: Place, ca_file: str, address: Address | None) -> None:
        user = address.user if address is not None and address.user else place.user
        super().__init__(place.shown, place.shown, user)
        self._place = place
        self._ca_file = ca_file
        self._address = address
        try:
            self._broker = RemoteBroker(place, ca_file)
            self._context = make_context(ca_file)
        except Unreachable as error:
            raise SideError(str(error)) from None

    def ask(
        self, method: str, path: str, query: Mapping[str, str] | None = None, body: object = None
    ) -> tuple[int, Any]:
        """Call an operation of the HTTP API. path: below /api."""
        try:
            reply = self._broker.ask(method, path, query, body)
            content = reply.content if reply.is_good or reply.headers.get("content-type", "").endswith("json") else None
        except Unreachable as error:
            self._broker.close()
            raise SideError(str(error), True) from None
        if reply.status == 401 and path in ("/overview", "/whoami"):
            user = self._place.user
            raise SideError(f"{self.shown} refused the login of user '{user}': wrong name or password")
        if reply.status >= 500:
            raise SideError(refusal(self, reply.status, content), True)
        return reply.status, content

    def do(self, verb: str, arguments: dict[str, object]) -> Any:
        """Perform an administration verb."""
        status, answer = self.ask("POST", f"/leveret/verbs/{verb}", body=arguments)
        if status >= 300:
            raise SideError(refusal(self, status, answer))
        return answer["result"]

    def dial(self, vhost: str, between: Callable[[], None]) -> AmqpClient:
        """Open an AMQP connection."""
        address = self._address or self._found()
        name = f"{address.host}:{address.port}"
        try:
            raw = socket.create_connection((address.host, address.port), CONNECT_S)
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if address.has_tls:
                raw = self._context.wrap_socket(raw, server_hostname=address.host)
        except ssl.SSLCertVerificationError as error:
            text = f"the certificate of {name} is not trusted: {error.verify_message}"
            raise AmqpError(f"{text}; give its CA file with --ca-file") from None
        except OSError as error:
            raise AmqpError(f"cannot connect to the AMQP port {name}: {error.strerror or error}") from None
        user = address.user or self._place.user
        password = address.password if address.user else self._place.password or ""
        try:
            return AmqpClient(raw, user, password, vhost, HEARTBEAT_S, between)
        except AmqpError:
            raw.close()
            raise

    def close(self) -> None:
        """Close the connection."""
        self._broker.close()

    def _found(self) -> Address:
        """The AMQP address that the HTTP API reports."""
        has_tls = self._place.scheme == "https"
        protocol = "amqp/ssl" if has_tls else "amqp"
        for listener in self.overview.get("listeners", []):
            if listener.get("protocol") == protocol:
                return Address(self._place.host, int(listener["port"]), has_tls)
        raise AmqpError(f"it reports no port for {protocol}; give the address with --from-amqp or --to-amqp")


def other_side(text: str, option: str, ca_file: str | None, amqp: str | None) -> Side:
    """The broker that an option names by URL or profile. Raises: SideError, typer.BadParameter."""
    named = Target(url=text, ca_file=ca_file) if "://" in text else Target(profile=text, ca_file=ca_file)
    try:
        place, found = where(named)
    except typer.BadParameter as error:
        raise typer.BadParameter(error.message.removeprefix("--url: "), param_hint=option) from None
    address = None if amqp is None else read_address(amqp, f"{option}-amqp")
    return RemoteSide(place, found, address)


def this_side(target: Target, option: str, amqp: str | None) -> Side:
    """The broker that the common options name. Raises: SideError, typer.BadParameter."""
    if not target.is_remote:
        if amqp is not None:
            raise typer.BadParameter("it requires a broker given by URL or profile", param_hint=f"{option}-amqp")
        return LocalSide(replace(target, ca_file=None))
    place, ca_file = where(target)
    return RemoteSide(place, ca_file, None if amqp is None else read_address(amqp, f"{option}-amqp"))
