"""Login: checks the credentials of a request."""

from __future__ import annotations

import base64
import binascii
import logging

from leveret.api.errors import ApiError
from leveret.api.services import Services
from leveret.auth.authenticator import ClientGone, LoginRefused, TooBusy
from leveret.core.access.user import User

REALM = 'Basic realm="RabbitMQ Management"'  # as RabbitMQ's: clients store credentials by realm

log = logging.getLogger("leveret.api")


def credentials(header: str) -> tuple[str, str]:
    """Name and password in the header Authorization. Raises: ApiError 401."""
    scheme, _, value = header.partition(" ")
    if scheme.lower() != "basic":
        raise ApiError(401, headers={"WWW-Authenticate": REALM})
    try:
        name, colon, password = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError, ValueError):
        colon = ""
    if not colon:
        raise ApiError(401, "not_authorized", "Not_Authorized", {"WWW-Authenticate": REALM})
    return name, password


async def log_in(services: Services, name: str, password: str, host: str) -> User:
    """The user with these credentials. host: the client's address. Raises: ApiError 401, 503."""
    authenticator = services.authenticator
    try:
        user = authenticator.authenticate_now(name, password, host)
        if user is None:
            user = await authenticator.authenticate(name, password, host, lambda: False)
    except LoginRefused as error:
        log.warning("HTTP login from %s refused: %s", host, error)
        raise ApiError(401, "not_authorized", "Not_Authorized") from None
    except (TooBusy, ClientGone):
        text = "too many passwords are waiting to be checked; try again"
        raise ApiError(503, "busy", text, {"Retry-After": "1"}) from None
    return user
