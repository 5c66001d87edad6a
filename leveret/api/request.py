"""Request: what an operation is given, and what it may answer."""

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
    """An answer that is more than a 200 with JSON. content: what becomes JSON, or bytes of media_type."""

    status: int = 200
    content: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    media_type: str = "application/json"


@dataclass(frozen=True)
class Client:
    """Where a request comes from. host: its address; port: to which it came; is_secure: over HTTPS."""

    host: str
    port: int
    is_secure: bool

    @property
    def cookie(self) -> str:
        """The name of the cookie of a session. Browsers do not tell the ports of one machine apart, so it does."""
        return f"leveret-{self.port}"


@dataclass
class Events:
    """An answer that goes on: an event stream, as browsers read it. It ends when the client is gone."""

    pieces: AsyncGenerator[bytes]


@dataclass
class Pieces:
    """An answer that is made while it is sent. headers: with Content-Length where the size is known.

    Raises: ApiError before the first piece.
    """

    pieces: AsyncGenerator[bytes]
    media_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)


CREATED = Answer(201)
DONE = Answer(204)


class Request:
    """One request. method: GET, PUT and so on. path: the names in the path, by what the operation calls them.

    headers: by their names in lower case. client: where it comes from. caller: who asks; only Access.ANYBODY goes
    without one. presence: of the client; programs of this machine are taken for being there.
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
        """The address of whoever asks."""
        return self.client.host

    @property
    def caller(self) -> Caller:
        """Who asks."""
        assert self._caller is not None  # the operation has let in nobody else
        return self._caller

    def is_welcome(self, access: Access) -> bool:
        """Whether the caller may still ask, for answers that go on. access: that the operation needs."""
        caller, user = self.caller, self.caller.user
        if caller.session is not None and not self.services.sessions.is_good(caller.session):
            return False
        if self.broker.users.get(user.name) is not user:
            return False
        return user.credential is self._credential and caller.has(access)

    def read(self, shape: type[T]) -> T:
        """The body, as JSON of this shape; an empty one is an empty object. Raises: ApiError 400."""
        try:
            return msgspec.json.decode(self.body or b"{}", type=shape)
        except msgspec.ValidationError as error:
            path, reason = explain(error)
            raise bad_request(f"{path.lstrip('.')}: {reason}" if path else reason) from None
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            raise bad_request("not_json") from None

    def vhost(self, for_monitors: bool = False) -> VirtualHost:
        """The virtual host that the path names. for_monitors: whether they need no permission in it.

        Raises: ApiError 404, also where the caller has no permission in it.
        """
        vhost = self.broker.vhosts.get(self.path["vhost"])
        if vhost is None:
            raise not_there() if self.method in ("GET", "HEAD", "DELETE") else not_found("vhost_not_found")
        if not (self.caller.may_see(vhost) if for_monitors else self.caller.may_enter(vhost)):
            raise not_found("Not Found")
        return vhost

    def no_vhost(self, name: str) -> ApiError:
        """What is said of a virtual host that is not there, and in the same words of one that may not be entered."""
        shown = name if len(name) <= SHOWN else f"{name[:SHOWN]}..."
        return not_found(f"virtual host '{shown}' does not exist, or user '{self.caller.user.name}' may not enter it")

    def vhosts(self, for_monitors: bool = False) -> list[VirtualHost]:
        """Those that the caller may enter, in order; only the one that the path names, if it names one.

        for_monitors: whether they need no permissions. Raises: ApiError 404 as vhost().
        """
        if "vhost" in self.path:
            return [self.vhost(for_monitors)]
        may = self.caller.may_see if for_monitors else self.caller.may_enter
        return sorted(filter(may, self.broker.vhosts.values()), key=lambda vhost: vhost.name)

    def errand(self, vhost: VirtualHost) -> Errand:
        """What acts as the caller in a virtual host. Raises: ApiError 401 where the caller has no permission in it, as
        an administrator may look into all.
        """
        self.check_entry(vhost)
        return Errand(self.broker, f"HTTP API, {self.host}", self.caller.user, vhost)

    def check_entry(self, vhost: VirtualHost) -> None:
        """Refuse who has no permission in a virtual host, also administrators, who may look into it. Raises: ApiError
        401.
        """
        user = self.caller.user
        if vhost.name not in user.permissions:
            raise not_authorised(f"access to vhost '{vhost.name}' refused for user '{user.name}'")

    async def perform(self, verb: str, **arguments: object) -> Any:
        """Do a verb of administration. Raises: ApiError."""
        try:
            return await self.services.performer.perform(verb, arguments)
        except AdministrationError as error:
            raise of_administration(error) from None

    async def perform_all(self, *verbs: tuple[str, dict[str, object]]) -> None:
        """Do verbs of administration that belong together. Raises: ApiError."""
        try:
            await self.services.performer.perform_all(verbs)
        except AdministrationError as error:
            raise of_administration(error) from None

    async def change(self, name: str, step: Callable[[], object]) -> None:
        """Change something of the broker for an administrator. name: what an error calls it. Raises: ApiError."""
        try:
            await self.services.performer.do(name, step)
        except Refusal as refusal:
            raise of_refusal(refusal) from None
        except AdministrationError as error:
            raise of_administration(error) from None

    async def act(self, vhost: VirtualHost, step: Callable[[Errand], T], is_persisted: bool = True) -> T:
        """Do something as the caller, in a virtual host, as an AMQP client would.

        is_persisted: whether it is about what the data directory keeps, so that the answer waits for the disk.
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
