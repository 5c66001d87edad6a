"""Deliveries: messages sent to HTTP clients, as JSON or as raw bodies, in pieces that take little time."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncGenerator
from typing import Final
from urllib.parse import quote

import msgspec

from leveret.api.encoding import encode, plain
from leveret.api.payloads import readable
from leveret.api.turns import Turns
from leveret.api.views.properties import Properties, write_properties
from leveret.core.client.leased import Arrival

PIECE: Final = 192 << 10  # bytes of a body in one piece; divisible by 3, so that pieces of base64 join
LARGE: Final = 1 << 20  # bodies of this many bytes or more are sent in base64, even if they are UTF-8
MOST_HEADER: Final = 8 << 10  # maximum bytes of properties in a header
TYPE: Final = "application/octet-stream"


class Delivery(msgspec.Struct, kw_only=True):
    """A delivered message. tag: the delivery tag, for acknowledging. payload_encoding: string (UTF-8) or base64."""

    tag: int
    redelivered: bool
    exchange: str
    routing_key: str
    properties: Properties
    payload_bytes: int
    payload_encoding: str
    payload: str


class Received(msgspec.Struct):
    """Messages in the order of delivery; empty if none arrived in time."""

    messages: list[Delivery]


def _delivery(arrival: Arrival, payload: str, encoding: str) -> Delivery:
    message = arrival.message
    return Delivery(
        tag=int(arrival.tag),
        redelivered=arrival.redelivered,
        exchange=message.address.exchange,
        routing_key=message.address.routing_key,
        properties=write_properties(message.readable_properties()),
        payload_bytes=int(message.size),
        payload_encoding=encoding,
        payload=payload,
    )


async def as_json(arrival: Arrival, turns: Turns) -> AsyncGenerator[bytes]:
    """One message: a Delivery as one line of JSON."""
    body = arrival.message.body()
    is_large = len(body) >= LARGE
    async with turns:
        first = encode(_delivery(arrival, "", "base64") if is_large else _short(arrival, body))
    if not is_large:
        yield first
        return
    yield first.removesuffix(b'"}')  # the payload comes last
    for at in range(0, len(body), PIECE):
        async with turns:
            piece = base64.b64encode(body[at : at + PIECE])
        yield piece
    yield b'"}'


def _short(arrival: Arrival, body: bytes) -> Delivery:
    return _delivery(arrival, *readable(body))


async def as_it_is(arrival: Arrival, turns: Turns) -> AsyncGenerator[bytes]:
    """The raw body of a message."""
    body = arrival.message.body()
    for at in range(0, max(len(body), 1), PIECE):
        async with turns:
            piece = body[at : at + PIECE]
        yield piece


def headers_of(arrival: Arrival) -> dict[str, str]:
    """The HTTP headers for a message that is sent as its raw body. They are always ASCII.

    The headers table is left out if the properties are too large; Leveret-Left-Out then says so.
    """
    message = arrival.message
    properties = write_properties(message.readable_properties())
    headers = {
        "Content-Type": _media_type(properties.content_type),
        "Content-Length": str(message.size),
        "Content-Disposition": "attachment",
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "Leveret-Delivery-Tag": str(arrival.tag),
        "Leveret-Redelivered": "true" if arrival.redelivered else "false",
        "Leveret-Exchange": _quoted(message.address.exchange),
        "Leveret-Routing-Key": _quoted(message.address.routing_key),
    }
    told = _ascii(properties)
    if len(told) > MOST_HEADER:
        headers["Leveret-Left-Out"] = "headers"
        told = _ascii(msgspec.structs.replace(properties, headers=None))
    headers["Leveret-Properties"] = told
    return headers


def _ascii(properties: Properties) -> str:
    """Properties as JSON in ASCII."""
    return json.dumps(plain(properties), separators=(",", ":"))


def _media_type(given: str | None) -> str:
    """The content type that the publisher set, if it is valid in an HTTP header."""
    if given and given.isascii() and given.isprintable() and given.strip() == given:
        return given
    return TYPE


def _quoted(name: str) -> str:
    return quote(name.encode("utf-8", "surrogateescape"))
