"""Deliveries: messages on their way to clients of HTTP, as JSON or as they are, in pieces that take little time."""

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

PIECE: Final = 192 << 10  # bytes of a body that are sent at a time: three make four in base64
LARGE: Final = 1 << 20  # bytes of a body, from which on it is in base64 even where it is UTF-8
MOST_HEADER: Final = 8 << 10  # bytes of properties in a header
TYPE: Final = "application/octet-stream"


class Delivery(msgspec.Struct, kw_only=True):
    """A message that has come. tag: with which it is settled. payload_encoding: string for UTF-8, or base64."""

    tag: int
    redelivered: bool
    exchange: str
    routing_key: str
    properties: Properties
    payload_bytes: int
    payload_encoding: str
    payload: str


class Received(msgspec.Struct):
    """Messages, in the order in which they come; none if none has come in time."""

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
    """One message: the JSON of a Delivery, on one line."""
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
    """The body of a message."""
    body = arrival.message.body()
    for at in range(0, max(len(body), 1), PIECE):
        async with turns:
            piece = body[at : at + PIECE]
        yield piece


def headers_of(arrival: Arrival) -> dict[str, str]:
    """What headers tell of a message whose body is sent as it is. All of it is ASCII, whatever a publisher has sent.

    Table of headers and properties that need too much room are left out, which is said.
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
    """What a publisher has said that the body is, if that can be said in a header."""
    if given and given.isascii() and given.isprintable() and given.strip() == given:
        return given
    return TYPE


def _quoted(name: str) -> str:
    return quote(name.encode("utf-8", "surrogateescape"))
