"""Authentication: who is let in, by HTTP Basic or by the cookie of a session, and not by a page of another site."""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.requests import Request as HttpRequest

from leveret.api.access import Caller
from leveret.api.errors import ApiError
from leveret.api.login import REALM, credentials, log_in
from leveret.api.request import Client
from leveret.api.services import Services
from leveret.api.sharing import begin_for

SAFE = ("GET", "HEAD", "OPTIONS")
OWN_SITE = ("same-origin", "none")  # what browsers say of requests of their own, and of our pages
PAGE = "x-requested-with"  # pages send it, which ask for a password themselves: the browser need not
FOREIGN = "this comes from a page of another site, which may change nothing"
NO_TOKEN = "send the header X-CSRF-Token with the token that the login has returned"


def client_of(http: HttpRequest) -> Client:
    """Where a request comes from. What proxies say of that is not believed."""
    host = http.client.host if http.client is not None else ""
    server = http.scope.get("server")
    return Client(host, server[1] if server else 0, http.scope["scheme"] == "https")


def check_site(http: HttpRequest) -> None:
    """Refuse a change that another site has a browser send. Raises: ApiError 403.

    Whoever is no browser sends none of these headers. X-Forwarded-Host is as good as Host here: a page of another
    site can make a browser send neither.
    """
    if http.method in SAFE:
        return
    site = http.headers.get("sec-fetch-site")
    if site is not None:
        if site not in OWN_SITE:
            raise ApiError(403, "forbidden", FOREIGN)
        return
    origin = http.headers.get("origin")
    if origin is None:
        return
    try:
        host = urlsplit(origin).netloc
    except ValueError:
        host = ""
    if not host or host not in (http.headers.get("host"), http.headers.get("x-forwarded-host")):
        raise ApiError(403, "forbidden", FOREIGN)


async def authenticate(services: Services, http: HttpRequest) -> Caller:
    """Who asks. Raises: ApiError 401, 403, 503."""
    client = client_of(http)
    if "authorization" in http.headers:
        user = await log_in(services, *credentials(http.headers["authorization"]), client.host)
        begin_for(client.host, user.name)
        return Caller(user)
    token = http.cookies.get(client.cookie)
    if token is None:
        raise ApiError(401, headers={} if PAGE in http.headers else {"WWW-Authenticate": REALM})
    session = services.sessions.find(token, client.host)
    if session is None:  # without the header that makes a browser ask for a password: the page does that
        raise ApiError(401, "not_authorized", "the session is over; log in again")
    if http.method not in SAFE:
        if not services.sessions.is_csrf_token(token, http.headers.get("x-csrf-token", "")):
            raise ApiError(403, "forbidden", NO_TOKEN)
    begin_for(client.host, session.user.name)
    return Caller(session.user, session, token)
