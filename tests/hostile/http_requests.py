"""What attackers of the HTTP API send: each operation of its table with values of every kind, and what is hardly HTTP.

As with verbs.py, names are those of attackers: `guest`, `/` and the canaries' virtual host are never meant.
"""

from __future__ import annotations

import base64
import functools
import json
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

import msgspec

from leveret.api.operation import Operation
from leveret.api.operations import OPERATIONS
from leveret.api.views.properties import Properties
from tests.api.strange import STRANGE, deep
from tests.hostile import edges
from tests.hostile.stream import EXCHANGE_NAMES, QUEUE_NAMES
from tests.hostile.verbs import DOOMED, USERS, VHOST, definitions_files

ENDLESS: Final = "/api/leveret/events"
WAITING: Final = ("/traces/{vhost}", "/receive")  # for what comes, up to a minute
LOGINS: Final = ("/login", "/leveret/session")  # which cost a slow hash each
GUEST: Final = b"Authorization: Basic " + base64.b64encode(b"guest:guest")
PAIRS: Final = (b":", b"h.u1:\x00", b"\xff:\xff", b"a" * 9_000)
CHUNKS: Final = 500  # of a body at most, about
MANY: Final = 50_000

BROKEN_NAMES: Final = (
    *("%", "%2", "a%", "%zz", "%u0041", "%ff%fe", "%C3%28", "%ed%a0%80", "%C0%AF", "%00", "%25%32%46", "..%2F..", ".."),
    *("%0d%0aX-Evil:%20yes", "+", "~", "*", "a;b=c", "%20", "%F0%9F%90%87", "%e2%80%ae", "a" * 8_000, "%61" * 2_000),
)
RAW_NAMES: Final = ("ä".encode(), b"\xff", b"\xed\xa0\x80", b"a\x00b", b"a b", b"\x7f", b'"<>\\^`{|}')
NAMES: Final = (*(quote(text, safe="") for text in edges.TEXTS if text), *BROKEN_NAMES)
QUERY_VALUES: Final = (
    *("", "0", "-1", "1", "2", "500", "501", "9" * 9, "9" * 10, "9" * 5_000, "1.5", "1e3", "%D9%A3", "true", "maybe"),
    *("%5B", "(", "%5E(a%7Caa)%2B%24", "(%3FR)", "%ff", "%00", "%zz", "a,b,,.", ".", "a.b.c", "name.x.y", "," * 3_000),
    *("__class__.__mro__", "a" * 4_000, "%26", "%3D", "%F0%9F%90%87", "queues:%252F", "queues:%25ff"),
)
NO_JSON: Final = (b"", b"{", b'{"a":1}x', b"\xff\xfe{}", b"\xef\xbb\xbf{}", b"\x00", b"'a'", b"{" * 100_000)
JSON: Final = (
    *(b"[]", b"null", b"1", b'"x"', b'{"a":1,"a":2}', b'{"":null}', b'{"\\ud800":1}', b"{}" + b" " * 500_000),
    b"[" + b",".join([b"1"] * MANY) + b"]",
    b"{" + b",".join(b'"%d":%d' % (number, number) for number in range(MANY)) + b"}",
    *(b'{"value":' + number + b"}" for number in (b"1" * 5_000, b"-" + b"9" * 100_000, b"1e400", b"1E-99999", b"NaN")),
)

LIKELY_NAMES: Final[dict[str, tuple[str, ...]]] = {
    "vhost": (VHOST, DOOMED[0]),
    "queue": QUEUE_NAMES,
    "exchange": (*EXCHANGE_NAMES, "amq.topic", "amq.default"),
    "source": (*EXCHANGE_NAMES, "amq.topic"),
    "destination": (*QUEUE_NAMES, *EXCHANGE_NAMES),
    "dtype": ("q", "e"),
    "props": ("~", "h.plain"),
    "user": USERS,
    "username": USERS,
    "name": ("h.n1", "h.n2", "max-queues", "max-connections", "max-channels"),
    "component": ("h.shovel", "policy"),
    "node": ("x", "rabbit@localhost"),
    "unit": ("days",),
    "within": ("1",),
    "port": ("5672",),
    "protocols": ("amqp", "http,amqp"),
    "verb": ("list_users", "show_status", "show_log_levels", "export_definitions"),
}
LIKELY_VALUES: Final[dict[str, tuple[str, ...]]] = {
    "durable": ("true", "false"),
    "type": ('"direct"', '"topic"'),
    "routing_key": ('"h.plain"',),
    "payload": ('"x"',),
    "payload_encoding": ('"string"', '"base64"'),
    "properties": ("{}", '{"delivery_mode":2}'),
    "count": ("3", "100"),
    "ackmode": ('"ack_requeue_true"', '"reject_requeue_false"'),
    "encoding": ('"auto"',),
    "truncate": ("10",),
    "tags": ('""', '"management"'),
    "users": (json.dumps(USERS),),
    "password_hash": ('""',),
    "configure": ('".*"',),
    "write": ('".*"',),
    "read": ('".*"',),
    "exchange": ('"amq.topic"',),
    "pattern": ('"^h[.]"',),
    "definition": ('{"max-length":5}', '{"message-ttl":100}'),
    "priority": ("0",),
    "apply-to": ('"all"',),
    "value": ("100", '{"a":1}'),
    "name": ('"h.cluster"',),
    "action": ('"sync"',),
    "description": ('""',),
}
"""Of fields in bodies; the others are left out."""


@dataclass(frozen=True)
class Ask:
    """A request. what: for people. hangs: nobody can know where the next request begins, or whether it is answered."""

    what: str
    data: bytes
    method: str = "GET"
    hangs: bool = False


def whole(
    what: str, method: str, path: str | bytes, body: bytes | None = None, *, pieces: int = 0, login: bytes = GUEST
) -> Ask:
    """A request as HTTP wants it. pieces: bytes of a chunk of the body; 0 says how long it is instead."""
    target = path.encode() if isinstance(path, str) else path
    lines = [method.encode() + b" " + target + b" HTTP/1.1", b"Host: x"]
    if login:
        lines.append(login)
    if body is None:
        return Ask(what, b"\r\n".join([*lines, b"", b""]), method)
    lines.append(b"Content-Type: application/json")
    if pieces:
        pieces = max(pieces, len(body) // CHUNKS)
        chunks = (body[at : at + pieces] for at in range(0, len(body), pieces))
        lines.append(b"Transfer-Encoding: chunked")
        body = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    else:
        lines.append(b"Content-Length: %d" % len(body))
    return Ask(what, b"\r\n".join([*lines, b"", body]), method)


# -- operations


def attacked() -> list[Operation]:
    """Those that an attacker may ask for one after the other."""
    return [
        each
        for each in OPERATIONS
        if f"/api{each.path}" != ENDLESS and each.path not in LOGINS and not each.path.endswith(WAITING)
    ]


def fields(operation: Operation) -> list[str]:
    """The names of what a body may have."""
    takes = operation.takes
    is_shape = isinstance(takes, type) and issubclass(takes, msgspec.Struct)
    return [each.encode_name for each in _fields(takes)] if is_shape else []


@functools.cache
def _fields(shape: Any) -> tuple[Any, ...]:
    return msgspec.structs.fields(shape)


def _place(operation: Operation, chance: random.Random, **given: str) -> str:
    """The path, with likely names but for those that are given."""
    path = operation.path
    may_end = operation.method != "GET" and path.startswith(("/vhosts", "/vhost-limits"))  # a virtual host, or change
    for name in operation.parameters:
        likely = DOOMED if name == "vhost" and may_end else LIKELY_NAMES.get(name, ("h.n1",))
        path = path.replace(f"{{{name}}}", given.get(name) or quote(chance.choice(likely), safe=""))
    return f"/api{path}"


def _body(operation: Operation, chance: random.Random, **given: str) -> bytes | None:
    """A likely body, but for the fields that are given, as JSON texts."""
    if operation.takes is None:
        return None
    likely = {name: chance.choice(LIKELY_VALUES[name]) for name in fields(operation) if name in LIKELY_VALUES}
    texts = {**likely, **given}
    return ("{" + ",".join(f"{json.dumps(name)}:{text}" for name, text in texts.items()) + "}").encode()


def every_operation(chance: random.Random) -> Iterator[list[Ask]]:
    """Every operation with each name in its path, each value in its query and its body; by what is unlikely in it."""
    values = edges.json_values()
    for operation in attacked():
        title = f"{operation.method} {operation.path}"

        def ask(what: str, path: str, body: bytes | None, operation: Operation = operation, title: str = title) -> Ask:
            pieces = chance.choice((0, 0, 1, 7, 1_000)) if body is not None and len(body) < MANY else 0
            return whole(f"{title} {what}", operation.method, path, body, pieces=pieces)

        yield [ask("as it is meant", _place(operation, chance), _body(operation, chance))]
        for name in operation.parameters:
            yield [
                ask(f"{name} {text[:60]}", _place(operation, chance, **{name: text}), _body(operation, chance))
                for text in NAMES
            ]
        if operation.query:
            yield [
                ask(f"{name}={text[:60]}", f"{_place(operation, chance)}?{name}={text}", None)
                for name in operation.query
                for text in QUERY_VALUES
            ]
        for name in fields(operation):
            yield [
                ask(f"{name}: {text[:60]}", _place(operation, chance), _body(operation, chance, **{name: text}))
                for text in values
            ]
        if operation.takes is not None:
            bodies = (*NO_JSON, *JSON, *deep(300), *deep(20_000))
            yield [ask(f"body {body[:40]!r}", _place(operation, chance), body) for body in bodies]
    yield from _properties(chance)
    yield from _files(chance)


def _properties(chance: random.Random) -> Iterator[list[Ask]]:
    """Publishes with each property at its edges."""
    publish = next(each for each in OPERATIONS if each.path.endswith("/publish"))
    for each in _fields(Properties):
        texts = [f'{{"{each.encode_name}":{value}}}' for value in edges.json_values()]
        yield [
            whole(f"publish {text[:60]}", "POST", _place(publish, chance), _body(publish, chance, properties=text))
            for text in texts
        ]


def _files(chance: random.Random) -> Iterator[list[Ask]]:
    """Definitions files, as JSON and as the field of a form."""
    group: list[Ask] = []
    for text in definitions_files():
        path = chance.choice(("/api/definitions", "/api/all-configuration", f"/api/definitions/{VHOST}"))
        group.append(whole(f"POST {path} {text[:60]}", "POST", path, text.encode()))
        if len(group) == 40:
            yield group
            group = []
    for head in (b'name="file"', b'name="x"', b"", b'name="file"\xff', b'name="file"\r\n\r\n{}\r\n' * 200):
        body = b"--b\r\nContent-Disposition: form-data; %b\r\n\r\n{}\r\n--b--\r\n" % head
        for kind in (b"multipart/form-data; boundary=b", b"multipart/form-data", b"multipart/form-data; boundary=\xff"):
            ask = whole("a form", "POST", "/api/definitions", body)
            group.append(Ask("a form", ask.data.replace(b"application/json", kind, 1), "POST"))
    yield group


# -- what is hardly HTTP


def every_path(chance: random.Random) -> Iterator[list[Ask]]:
    """Paths that are not encoded as they have to be, lead elsewhere, or nowhere."""
    for method in ("GET", "PUT", "DELETE", "POST", "HEAD", "OPTIONS", "PATCH", "h"):
        body = b"{}" if method in ("PUT", "POST") else None
        wild = [f"/{name}" for name in BROKEN_NAMES if name != ".."] + ["/api", "/", "//api//queues", "/api/queues/"]
        wild += [f"/api/queues/{VHOST}/{name}/bindings" for name in BROKEN_NAMES]
        wild += [f"/api/queues?{name}={name}&{name}" for name in BROKEN_NAMES]
        yield [whole(f"{method} {path[:80]}", method, path, body) for path in wild]
        raw = [b"/api/users/" + name for name in RAW_NAMES] + [b"/api/queues?name=" + name for name in RAW_NAMES]
        yield [_hanging(f"{method} {path[:80]!r}", whole("", method, path, body).data) for path in raw]
    lines = list(STRANGE)
    chance.shuffle(lines)
    yield [_hanging(f"line {text[:60]!r}", text.encode("latin-1") + b"\r\nHost: x\r\n\r\n") for text in lines]
    yield [_hanging("noise", chance.randbytes(chance.randrange(1, 200))) for _ in range(20)]


def every_header(chance: random.Random) -> Iterator[list[Ask]]:
    """Headers that are too large, too many, twice, or say what is not so."""
    large: list[Iterable[bytes]] = [
        *([b"A: " + b"b" * size] for size in (8_000, 16_000, 17_000, 33_000, 300_000)),
        *([b"A" * size + b": b"] for size in (8_000, 17_000)),
        *([b"a%d: b" % number for number in range(count)] for count in (95, 101, 2_000)),
        [b"a:"] * 30_000,
        [b"Cookie: " + b"a=b; " * 2_500],
        [b"A: b", b" folded: yes"],
    ]
    said = (
        *(b"Authorization: Basic", b"Authorization: Basic =", b"Authorization: Basic /////w==", b"Authorization: x"),
        *(b"Authorization: Basic " + base64.b64encode(pair) for pair in PAIRS),
        *(b"Cookie: leveret-15672=\xff", b"Cookie: =;;=", b"X-Reason: \xff\r\n\tfolded", b"Origin: http://["),
        *(b"Content-Length: -1", b"Content-Length: 1, 2", b"Content-Length: " + b"9" * 20, b"Content-Length: x"),
        *(b"Content-Length: 5\r\nTransfer-Encoding: chunked", b"Transfer-Encoding: gzip", b"Transfer-Encoding: \xff"),
        *(b"Expect: 100-continue\r\nContent-Length: 5", b"Upgrade: websocket\r\nConnection: Upgrade", b"X-Y : z"),
        *(b": x", b"Range: bytes=0-1", b"Accept: \xff", b"Sec-Fetch-Site: cross-site", b"\x00: x", b"A: \x00"),
    )
    for method, path in (("GET", b"/api/overview"), ("PUT", b"/api/queues/prey/h.headers"), ("GET", b"/metrics")):
        line = method.encode() + b" " + path + b" HTTP/1.1\r\nHost: x\r\n"
        for login in (GUEST + b"\r\n", b""):
            yield [
                _hanging(f"{method} headers {next(iter(each))[:40]!r}", line + login + b"\r\n".join(each) + b"\r\n\r\n")
                for each in large
            ]
            yield [_hanging(f"{method} {each[:60]!r}", line + login + each + b"\r\n\r\n") for each in said]
    tail = chance.randbytes(40)
    yield [_hanging("PUT and more", line + b"Content-Length: 2\r\n\r\n{}" + tail)]


def every_body(chance: random.Random) -> Iterator[list[Ask]]:
    """Bodies whose length is not true, and broken chunks."""
    sizes = (b"", b"zz", b"-1", b"0x5", b"f" * 16, b"f" * 40, b"5;" + b"a" * 100, b"5;" + b"a" * 60_000, b" 5", b"5 ")
    chunked: list[bytes] = [size + b"\r\n12345\r\n0\r\n\r\n" for size in sizes]
    chunked += [
        b"5\r\n12345",
        b"5\r\n12345678\r\n0\r\n\r\n",
        b"5\n12345\n0\n\n",
        b"0\r\nA: " + b"b" * 20_000 + b"\r\n\r\n",
    ]
    chunked += [b"1\r\nx\r\n" * 20_000, b"0\r\n" + b"a: b\r\n" * 5_000 + b"\r\n", b"100000\r\n" + bytes(10), b"\r\n"]
    lengths = [b"%d\r\n\r\n" % size + b"{}" for size in (0, 1, 3, 1_000, 1 << 20, (1 << 20) + 1, 1 << 40)]
    places = ("PUT /api/queues/prey/h.body", "POST /api/definitions", "POST /api/queues/prey/h.plain/get")
    for place in (*places, "GET /api/overview", "PUT /api/nothing", "POST /api/leveret/verbs/list_users"):
        for login in (GUEST + b"\r\n", b""):
            line = place.encode() + b" HTTP/1.1\r\nHost: x\r\n" + login
            yield [
                _hanging(f"{place} chunk {body[:30]!r}", line + b"Transfer-Encoding: chunked\r\n\r\n" + body)
                for body in chunked
            ]
            yield [_hanging(f"{place} length {each[:30]!r}", line + b"Content-Length: " + each) for each in lengths]
            size = chance.randrange(1 << 20)
            line += b"Content-Length: %d\r\n\r\n" % size
            yield [_hanging(f"{place} cut off", line + b" " * chance.randrange(size + 1))]


def _hanging(what: str, data: bytes) -> Ask:
    return Ask(what, data, "?", hangs=True)  # what the broker takes it for, nobody knows


def every_kind(chance: random.Random) -> Iterator[list[Ask]]:
    """All that is hardly HTTP."""
    yield from every_path(chance)
    yield from every_header(chance)
    yield from every_body(chance)
