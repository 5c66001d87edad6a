"""Requests that nobody decent makes: lines that are no HTTP or hardly, and bodies that are too deep."""

from __future__ import annotations

from collections.abc import Iterator

STRANGE = [
    "GET / HTTP/1.1",
    "GET /api HTTP/1.1",
    "GET /api/../../../etc/passwd HTTP/1.1",
    "GET /api/queues/..%2F..%2Fetc%2Fpasswd HTTP/1.1",
    "GET /api/%2e%2e/%2e%2e HTTP/1.1",
    "GET /api/queues/%2F/%00 HTTP/1.1",
    "GET /api/queues/%00/%00 HTTP/1.1",
    "PUT /api/queues/%2F/%0d%0aX-Evil:%20yes HTTP/1.1",
    "GET /api/queues/%2F/%ff%fe HTTP/1.1",
    "PUT /api/vhosts/%ff HTTP/1.1",
    "PUT /api/users/%ff HTTP/1.1",
    "DELETE /api/users/%ff HTTP/1.1",
    "GET /api/queues/%zz/% HTTP/1.1",
    "GET /api/queues/%2F/%25%32%46 HTTP/1.1",
    "GET /api/queues?page=%ff&page_size=%00&name=%ff&sort=%ff.%00&columns=%ff,,.,.. HTTP/1.1",
    "GET /api/queues?page=1&name=%5B&use_regex=true HTTP/1.1",
    "GET /api/queues?page=1&page=2&&&=&=x&%3d HTTP/1.1",
    "GET /api/queues?sort=__class__&columns=__class__.__mro__ HTTP/1.1",
    "GET /api/queues?" + "a=b&" * 3000 + " HTTP/1.1",
    "GET //api//queues HTTP/1.1",
    "GET http://elsewhere.example/api/queues HTTP/1.1",
    "GET *  HTTP/1.1",
    "OPTIONS * HTTP/1.1",
    "CONNECT x:80 HTTP/1.1",
    "TRACE /api/queues HTTP/1.1",
    "PATCH /api/queues HTTP/1.1",
    "BREW /api/queues HTTP/1.1",
    "GET /api/queues HTTP/0.9",
    "GET /api/queues HTTP/2.0",
    "GET /api/queues",
    "PRI * HTTP/2.0",
    "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "AMQP\x00\x00\x09\x01",
    "\x00" * 100,
    "\xff\xfe",
    "GET /api/\xff HTTP/1.1",
]


def deep(depth: int) -> Iterator[bytes]:
    """Values in values."""
    yield b"[" * depth + b"]" * depth
    yield b'{"a":' * depth + b"1" + b"}" * depth
    for field in (b"arguments", b"definition", b"value", b"properties", b"headers", b"queues", b"users", b"tags"):
        inner = b"[" * depth + b"]" * depth
        yield b'{"pattern":"x","priority":1,"apply-to":"all","%s":%s}' % (field, inner)
        inner = b'{"a":' * depth + b"1" + b"}" * depth
        yield b'{"pattern":"x","priority":1,"apply-to":"all","%s":%s}' % (field, inner)
    yield b'{"properties":{"headers":%s},"routing_key":"","payload":"","payload_encoding":"string"}' % inner
