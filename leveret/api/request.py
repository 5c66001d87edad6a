"""Request: what an operation is given, and what it may answer."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec

from leveret.api.access import Caller
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
from leveret.core.client.errand import Errand
from leveret.core.errors.administration import AdministrationError
from leveret.core.errors.refusals import Refusal
from leveret.core.vhost import VirtualHost
from leveret.management.errors import explain

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
class Lines:
    """An answer that goes on: JSON objects, a line each. What cannot be gone on with is said in its last line."""

    pieces: AsyncGenerator[bytes]


CREATED = Answer(201)
DONE = Answer(204)


class Request:
    """One request. method: GET, PUT and so on. path: the names in the path, by what the operation calls them.

    headers: by their names in lower case. client: where it comes from. caller: who asks; only Access.ANYBODY goes
    without one.
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
    ) -> None:
        self.services = services
        self.broker = services.broker
        self.method = method
        self.path = path
        self.query = query
        self.headers = headers
        self.body = body
        self.client = client
        self._caller = caller

    @property
    def host(self) -> str:
        """The address of whoever asks."""
        return self.client.host

    @property
    def caller(self) -> Caller:
        """Who asks."""
        assert self._caller is not None  # the operation has let in nobody else
        return self._caller

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
        user = self.caller.user
        if vhost.name not in user.permissions:
            raise not_authorised(f"access to vhost '{vhost.name}' refused for user '{user.name}'")
        return Errand(self.broker, f"HTTP API, {self.host}", user, vhost)

    async def perform(self, verb: str, **arguments: object) -> Any:
        """Do a verb of administration. Raises: ApiError."""
        try:
            return await self.services.performer.perform(verb, arguments)
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

    async def act(self, vhost: VirtualHost, step: Callable[[Errand], T]) -> T:
        """Do something as the caller, in a virtual host, as an AMQP client would. Raises: ApiError."""
        errand = self.errand(vhost)
        found: list[T] = []
        try:
            await self.services.performer.do("this", lambda: found.append(step(errand)))
        except Refusal as refusal:
            raise of_refusal(refusal) from None
        except AdministrationError as error:
            raise ApiError(503, "not_durable", str(error)) from None
        finally:
            errand.end()
        return found[0]
