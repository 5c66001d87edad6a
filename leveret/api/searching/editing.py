"""Editing: changes messages before it republishes them."""

from __future__ import annotations

import base64
import binascii
from typing import Any

import msgspec

from leveret.api.errors import bad_request, not_authorised
from leveret.api.searching.acting import Send
from leveret.api.searching.candidate import Candidate
from leveret.api.searching.requests import Edit
from leveret.api.views.properties import Properties, read_properties
from leveret.core.access.user import User
from leveret.core.message.codec import MAX_PROPERTIES
from leveret.core.message.message import Message
from leveret.core.policy.checks import expiration_error
from leveret.core.queue.queue import Queue
from leveret.wire.content import make_content
from leveret.wire.fields import DecodeError
from leveret.wire.properties import BasicProperties


class Republish(Send):
    """Changes messages and moves them to the end of the queue or to a target. Checks changes as in a publish.

    Raises: ApiError 400, 401.
    """

    def __init__(self, queue: Queue, edit: Edit, user: User, max_message_size: int) -> None:
        super().__init__(queue, False)
        self._edit = edit
        self._body = _body(edit)
        self._given = read_properties(_typed(edit))
        if self._body is not None and len(self._body) > max_message_size:
            raise bad_request(f"edit: a message may have at most {max_message_size} bytes")
        expiration, user_id = self._given.expiration, self._given.user_id
        if expiration is not None and (reason := expiration_error(expiration)):
            raise bad_request(f"edit: invalid expiration '{expiration}': {reason}")
        if user_id is not None and user_id != user.name and "impersonator" not in user.tags:
            raise not_authorised(f"edit: user_id is '{user_id}', and user '{user.name}' without the tag impersonator")

    def made(self, candidate: Candidate) -> Message:
        """The message with its changes, and the same exchange, routing key and age. Raises: DecodeError."""
        message = candidate.entry.message
        properties = message.properties()
        for name, value in self._edit.properties.items():
            field = "message_type" if name == "type" else name
            setattr(properties, field, None if value is None else getattr(self._given, field))
        _change_headers(properties, self._edit.headers, self._given)
        encoded = properties.encode()
        if len(encoded) > MAX_PROPERTIES:
            raise DecodeError("its properties would not fit into a frame")
        body = message.body() if self._body is None else self._body
        found = Message(message.address, make_content(encoded, body), properties.delivery_mode == 2)
        found.arrived_ms = message.arrived_ms
        return found


def _change_headers(properties: BasicProperties, changes: dict[str, Any], given: BasicProperties) -> None:
    if not changes:
        return
    headers = dict(properties.headers or {})
    for name, value in changes.items():
        if value is None:
            headers.pop(name, None)
        else:
            assert given.headers is not None
            headers[name] = given.headers[name]
    properties.headers = headers


def _typed(edit: Edit) -> Properties:
    """The given properties and headers, with their types checked. Raises: ApiError 400."""
    given = {name: value for name, value in edit.properties.items() if value is not None}
    unknown = set(edit.properties) - set(Properties.__struct_fields__) | set(given) & {"headers"}
    if unknown:
        raise bad_request(f"edit: there is no editable property {min(unknown)[:60]!r}")
    headers = {name: value for name, value in edit.headers.items() if value is not None}
    try:
        return msgspec.convert({**given, "headers": headers}, Properties)
    except msgspec.ValidationError as error:
        raise bad_request(f"edit: {error}") from None


def _body(edit: Edit) -> bytes | None:
    if edit.payload is None:
        return None
    if edit.payload_encoding == "string":
        return edit.payload.encode("utf-8", "surrogateescape")
    try:
        return base64.b64decode(edit.payload, validate=True)
    except (binascii.Error, ValueError):
        raise bad_request("edit: the payload is not valid base64") from None
