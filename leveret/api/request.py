"""Request: the input of an operation, and the kinds of answers that it may return."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec

from leveret.api.access import Access, Caller
from leveret.api.errors import (
    ApiError,
    bad_request,
    not_authorised,
    not_found,
    not_there,
    of_administration,
    of_refusal,
)
from leveret.api.query import Query
from leveret.api.services import Services
from leveret.api.streaming import Presence
from leveret.core.client.errand import Errand
from leveret.core.errors.administration import AdministrationError
from leveret.core.errors.refusals import Refusal
from leveret.core.vhost import VirtualHost
from leveret.management.errors import SHOWN, explain

T = TypeVar("T")


@dataclass
class Answer:
    """An answer other than 200 with JSON. content: a value to encode as JSON, or bytes of media_type."""

    status: int = 200
    content: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    media_type: str = "application/json"


@dataclass(frozen=True)
class Client:
    """The client of a request. host: its address; port: the broker's port that it used; is_secure: over HTTPS."""

    host: str
    port: int
    is_secure: bool

    @property
    def cookie(self) -> str:
        """The name of the session cookie. It includes the port: browsers share cookies among all ports of a host."""
        return f"leveret-{self.port}"


@dataclass
class Events:
    """A server-sent event stream. It ends when the client disconnects."""

    pieces: AsyncGenerator[bytes]


@dataclass
class Pieces:
    """An answer that is made while it is sent. headers: include Content-Length if the size is known.

    Raises: ApiError before the first piece.
    """

    pieces: AsyncGenerator[bytes]
    media_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)


CREATED = Answer(201)
DONE = Answer(204)


class Request:
    """One request. method: GET, PUT and so on. path: the values in the path, by the names in the operation's path.

    headers: by lower-case name. caller: the user; None only for Access.ANYBODY. presence: of the client; programs on
    this machine count as connected.
    """

    def __init__(
        self,
        services: Services,
        method: str,
        path: dict[str, str],
        query: Query,
        headers: dict[str, str],
        body: bytes,
        client: Client,
        caller: Caller | None,
        presence: Presence | None = None,
    ) -> None:
        self.services = services
        self.broker = services.broker
        self.method = method
        self.path = path
        self.query = query
        self.headers = headers
        self.body = body
        self.client = client
        self.presence = Presence() if presence is None else presence
        self._caller = caller
        self._credential = None if caller is None else caller.user.credential

    @property
    def host(self) -> str:
        """The client's address."""
        return self.client.host

    @property
    def caller(self) -> Caller:
        """The user who sent the request."""
        assert self._caller is not None  # the operation needs a login
        return self._caller

    def is_welcome(self, access: Access) -> bool:
        """Whether the caller still has access, for long-lived answers. access: that the operation needs."""
        caller, user = self.caller, self.caller.user
        if caller.session is not None and not self.services.sessions.is_good(caller.session):
            return False
        if self.broker.users.get(user.name) is not user:
            return False
        return user.credential is self._credential and caller.has(access)

    def read(self, shape: type[T]) -> T:
        """The JSON body, decoded as this type; an empty body is an empty object. Raises: ApiError 400."""
        try:
            return msgspec.json.decode(self.body or b"{}", type=shape)
        except msgspec.ValidationError as error:
            path, reason = explain(error)
            raise bad_request(f"{path.lstrip('.')}: {reason}" if path else reason) from None
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            raise bad_request("not_json") from None

    def vhost(self, for_monitors: bool = False) -> VirtualHost:
        """The virtual host that the path names. for_monitors: whether monitoring users need no permission in it.

        Raises: ApiError 404, also if the caller has no permission in it.
        """
        vhost = self.broker.vhosts.get(self.path["vhost"])
        if vhost is None:
            raise not_there() if self.method in ("GET", "HEAD", "DELETE") else not_found("vhost_not_found")
        if not (self.caller.may_see(vhost) if for_monitors else self.caller.may_enter(vhost)):
            raise not_found("Not Found")
        return vhost

    def no_vhost(self, name: str) -> ApiError:
        """The error for a virtual host that does not exist, and the same for one that the caller may not access."""
        shown = name if len(name) <= SHOWN else f"{name[:SHOWN]}..."
        return not_found(f"virtual host '{shown}' does not exist, or user '{self.caller.user.name}' may not access it")

    def vhosts(self, for_monitors: bool = False) -> list[VirtualHost]:
        """The virtual hosts that the caller may access, by name; only the one that the path names, if it names one.

        for_monitors: whether monitoring users need no permissions. Raises: ApiError 404 as vhost().
        """
        if "vhost" in self.path:
            return [self.vhost(for_monitors)]
        may = self.caller.may_see if for_monitors else self.caller.may_enter
        return sorted(filter(may, self.broker.vhosts.values()), key=lambda vhost: vhost.name)

    def errand(self, vhost: VirtualHost) -> Errand:
        """An errand that acts as the caller in a virtual host. Raises: ApiError 401 if the caller has no permission in
        it, even an administrator.
        """
        self.check_entry(vhost)
        return Errand(self.broker, f"HTTP API, {self.host}", self.caller.user, vhost)

    def check_entry(self, vhost: VirtualHost) -> None:
        """Refuse a caller without permissions in a virtual host, even an administrator, who may view it. Raises:
        ApiError 401.
        """
        user = self.caller.user
        if vhost.name not in user.permissions:
            raise not_authorised(f"access to vhost '{vhost.name}' refused for user '{user.name}'")

    async def perform(self, verb: str, **arguments: object) -> Any:
        """Run an administration command. Raises: ApiError."""
        try:
            return await self.services.performer.perform(verb, arguments)
        except AdministrationError as error:
            raise of_administration(error) from None

    async def perform_all(self, *verbs: tuple[str, dict[str, object]]) -> None:
        """Run several administration commands as one change. Raises: ApiError."""
        try:
            await self.services.performer.perform_all(verbs)
        except AdministrationError as error:
            raise of_administration(error) from None

    async def change(self, name: str, step: Callable[[], object]) -> None:
        """Change the broker for an administrator. name: the change's name in errors. Raises: ApiError."""
        try:
            await self.services.performer.do(name, step)
        except Refusal as refusal:
            raise of_refusal(refusal) from None
        except AdministrationError as error:
            raise of_administration(error) from None

    async def act(self, vhost: VirtualHost, step: Callable[[Errand], T], is_persisted: bool = True) -> T:
        """Run a step as the caller in a virtual host, as an AMQP client would.

        is_persisted: whether it changes data on disk, so that the answer waits for the disk.
        Raises: ApiError.
        """
        errand = self.errand(vhost)
        found: list[T] = []
        try:
            await self.services.performer.do("this", lambda: found.append(step(errand)), is_persisted)
        except Refusal as refusal:
            raise of_refusal(refusal) from None
        except AdministrationError as error:
            raise of_administration(error) from None
        finally:
            errand.end()
        return found[0]
