"""Errors of the API. Clients of RabbitMQ check the status, a few check `error`; `reason` is for people.

Source: rabbit_mgmt_util.erl bad_request, not_found, not_authorised.
"""

from __future__ import annotations

from leveret.core.errors import refusals
from leveret.core.errors.administration import (
    AdministrationError,
    ProtectedError,
    UnknownError,
)
from leveret.core.errors.refusals import Refusal
from leveret.server.performer import NotDurable


class ApiError(Exception):
    """An error answer. error: a short code; reason: a sentence. Without either there is no body."""

    def __init__(self, status: int, error: str = "", reason: str = "", headers: dict[str, str] | None = None) -> None:
        super().__init__(reason)
        self.status = status
        self.error = error
        self.reason = reason
        self.headers = headers or {}


def bad_request(reason: str) -> ApiError:
    """The request is not valid."""
    return ApiError(400, "bad_request", reason)


def not_there() -> ApiError:
    """The path names something that does not exist."""
    return ApiError(404, "Object Not Found", "Not Found")


def not_found(reason: str) -> ApiError:
    """Something that the request needs does not exist."""
    return ApiError(404, "not_found", reason)


def not_authorised(reason: str) -> ApiError:
    """The user is known but has no right to do this. Clients expect 401, which RabbitMQ sends, and not 403."""
    return ApiError(401, "not_authorised", reason)


def not_durable(reason: str) -> ApiError:
    """The disk cannot be written at the moment."""
    return ApiError(503, "not_durable", reason)


def of_refusal(refusal: Refusal) -> ApiError:
    """The error for a declaration, a deletion or a binding that the core refused."""
    if refusal.kind == refusals.FORBIDDEN:
        return not_authorised(refusal.text)
    if refusal.kind == refusals.UNKNOWN:
        return not_found(refusal.text)
    return bad_request(refusal.text)


STATUSES = {
    refusals.UNKNOWN: (404, "not_found"),
    refusals.FORBIDDEN: (403, "forbidden"),
    refusals.NOT_ALLOWED: (403, "forbidden"),
    refusals.LOCKED: (409, "locked"),
    refusals.FAULTY: (503, "faulty"),
}
"""Statuses of refusals when publishing and consuming; all others are a 400."""


def of_messaging(refusal: Refusal) -> ApiError:
    """The error for a refusal when publishing or consuming. A missing permission is a 403: the login was valid."""
    status, error = STATUSES.get(refusal.kind, (400, "bad_request"))
    return ApiError(status, error, refusal.text)


def busy(reason: str, after_s: int = 1) -> ApiError:
    """The request cannot be served now; the client may try again after after_s seconds."""
    return ApiError(503, "busy", reason, {"Retry-After": str(after_s)})


def of_administration(error: AdministrationError) -> ApiError:
    """The error for an administration command that was refused."""
    if isinstance(error, UnknownError):
        return not_found(str(error))
    if isinstance(error, ProtectedError):
        return ApiError(412, "precondition_failed", str(error))
    if isinstance(error, NotDurable):
        return not_durable(str(error))
    return bad_request(str(error))
