"""Authentication by HTTP Basic or by the cookie of a session, and protection against requests from other sites."""

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
OWN_SITE = ("same-origin", "none")  # Sec-Fetch-Site of requests from our pages, and from the browser itself
PAGE = "x-requested-with"  # the web UI sends it: it asks for the password itself, so the browser must not
FOREIGN = "the request comes from a page of another site; such pages cannot change anything"
NO_TOKEN = "send the header X-CSRF-Token with the token that the login returned"


def client_of(http: HttpRequest) -> Client:
    """The client that sent a request. Ignores headers of proxies, such as X-Forwarded-For."""
    host = http.client.host if http.client is not None else ""
    server = http.scope.get("server")
    return Client(host, server[1] if server else 0, http.scope["scheme"] == "https")


def check_site(http: HttpRequest) -> None:
    """Refuse a change that a page of another site makes a browser send. Raises: ApiError 403.

    Only browsers send these headers. X-Forwarded-Host is as safe as Host here: a page of another site cannot make a
    browser send either.
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
    """The user who sent the request. Raises: ApiError 401, 403, 503."""
    client = client_of(http)
    if "authorization" in http.headers:
        user = await log_in(services, *credentials(http.headers["authorization"]), client.host)
        begin_for(client.host, user.name)
        return Caller(user)
    token = http.cookies.get(client.cookie)
    if token is None:
        raise ApiError(401, headers={} if PAGE in http.headers else {"WWW-Authenticate": REALM})
    session = services.sessions.find(token, client.host)
    if session is None:  # no WWW-Authenticate header: the page asks for the password, not the browser
        raise ApiError(401, "not_authorized", "the session has ended; log in again")
    if http.method not in SAFE:
        if not services.sessions.is_csrf_token(token, http.headers.get("x-csrf-token", "")):
            raise ApiError(403, "forbidden", NO_TOKEN)
    begin_for(client.host, session.user.name)
    return Caller(session.user, session, token)
