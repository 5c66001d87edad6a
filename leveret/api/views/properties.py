"""Message properties in RabbitMQ's JSON format. Source: rabbit_mgmt_format.erl basic_properties."""

from __future__ import annotations

from typing import Any

import msgspec

from leveret.api.errors import bad_request
from leveret.api.names import arguments_of
from leveret.core.message.codec import MAX_PROPERTIES
from leveret.management.arguments import to_json
from leveret.wire.properties import BasicProperties

SHORT = 255  # maximum bytes of a text


class Properties(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The properties of a message. timestamp: seconds since 1970. expiration: milliseconds, as a string."""

    content_type: str | None = None
    content_encoding: str | None = None
    headers: dict[str, Any] | None = None
    delivery_mode: int | None = None
    priority: int | None = None
    correlation_id: str | None = None
    reply_to: str | None = None
    expiration: str | None = None
    message_id: str | None = None
    timestamp: int | None = None
    type: str | None = None
    user_id: str | None = None
    app_id: str | None = None
    cluster_id: str | None = None


NAMES = {"type": "message_type"}
NUMBERS = {"delivery_mode": 255, "priority": 255, "timestamp": (1 << 64) - 1}


def read_properties(given: Properties | list[Any]) -> BasicProperties:
    """Properties from JSON. Some clients send an empty list for no properties. Raises: ApiError 400."""
    found = BasicProperties()
    if isinstance(given, list):
        if given:
            raise bad_request("properties: an object is expected, not a list")
        return found
    for name in Properties.__struct_fields__:
        value = getattr(given, name)
        if value is None:
            continue
        if name == "headers":
            found.headers = arguments_of(value)
            continue
        if isinstance(value, str) and len(value.encode("utf-8", "surrogateescape")) > SHORT:
            raise bad_request(f"properties.{name} may have at most {SHORT} bytes")
        if isinstance(value, int) and not 0 <= value <= NUMBERS[name]:
            raise bad_request(f"properties.{name} must be a number from 0 to {NUMBERS[name]}")
        setattr(found, NAMES.get(name, name), value)
    if found.headers is not None and (size := len(found.encode())) > MAX_PROPERTIES:
        raise bad_request(f"properties: {size} bytes are too large for a frame, which holds {MAX_PROPERTIES}")
    return found


def write_properties(properties: BasicProperties) -> Properties:
    """Properties as JSON."""
    found = Properties()
    for name in Properties.__struct_fields__:
        value = getattr(properties, NAMES.get(name, name))
        if value is not None:
            setattr(found, name, to_json(value) if name == "headers" else value)
    return found
