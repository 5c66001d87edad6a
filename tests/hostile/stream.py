"""What attackers send: hits made from spec/methods.toml, from the tables of arguments, and what is not allowed at all.

A hit is a few frames for a channel of its own. `every_argument` and the functions beside it make all there are of a
kind; `stories` makes as many as are wanted, each a sequence of methods that mostly make sense.
"""

from __future__ import annotations

import random
import struct
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

from leveret.core.policy import arguments
from leveret.wire.constants import MAX_MESSAGE_SIZE
from tests.clients.codec import (
    BODY,
    FRAME_END,
    HEADER,
    HEARTBEAT,
    METHOD,
    Typed,
    encode_table,
    encode_value,
    short_string,
)
from tests.hostile import edges

ROOT: Final = Path(__file__).resolve().parent.parent.parent
SPEC: Final = ROOT / "spec" / "methods.toml"

TYPES: Final[dict[str, dict[str, Any]]] = {
    "direct": {},
    "fanout": {},
    "topic": {},
    "headers": {},
    "x-delayed-message": {"x-delayed-type": "fanout"},
    "x-message-deduplication": {"x-cache-size": 10},
    "x-recent-history": {},
    "x-consistent-hash": {},
    "x-modulus-hash": {},
    "x-random": {},
    "x-local-random": {},
    "x-federation-upstream": {"x-max-hops": Typed("l", 1)},
}
"""Types of exchanges, each with the arguments that it needs."""

QUEUES: Final[dict[str, dict[str, Any]]] = {
    "h.plain": {},
    "h.quorum": {"x-queue-type": "quorum", "x-delivery-limit": 2, "x-dead-letter-exchange": "h.fanout"},
    "h.priority": {"x-max-priority": 5, "x-max-length": 50},
    "h.short": {"x-message-ttl": 5, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": "h.plain"},
    "h.full": {"x-max-length": 2, "x-overflow": "reject-publish-dlx", "x-dead-letter-exchange": "h.topic"},
    "h.once": {"x-message-deduplication": True},
    "h.single": {"x-single-active-consumer": True, "x-max-length-bytes": 100_000},
}
"""Queues that attackers share; others of any name come and go."""

EXCHANGES: Final = {f"h.{type_.removeprefix('x-')}": type_ for type_ in TYPES}
QUEUE_NAMES: Final = tuple(QUEUES)
EXCHANGE_NAMES: Final = tuple(EXCHANGES)
QUEUE_ARGUMENTS: Final = (*arguments.BY_NAME, "x-message-deduplication", "x-unknown", "", "x-queue-mode")
EXCHANGE_ARGUMENTS: Final = (
    *("alternate-exchange", "x-delayed-type", "hash-header", "hash-property", "x-cache-size", "x-cache-ttl"),
    *("x-cache-persistence", "x-deduplication-header", "x-message-deduplication", "x-recent-history-length"),
    *("x-recent-history-no-store", "x-unknown"),
)
CONSUMER_ARGUMENTS: Final = (*arguments.CONSUMER_TYPES, "x-cancel-on-ha-failover", "x-unknown")
BINDING_ARGUMENTS: Final = ("x-match", "a", "", "x-unknown")
MESSAGE_HEADERS: Final = (
    *("CC", "BCC", "x-delay", "x-deduplication-header", "x-cache-ttl", "x-death", "x-first-death-queue"),
    *("x-delivery-count", "x-acquired-count", "x-recent-history-no-store", "x-retries", "a", ""),
)
TABLES: Final = {  # by class and method: names that arguments of it know
    ("exchange", "declare"): EXCHANGE_ARGUMENTS,
    ("exchange", "bind"): BINDING_ARGUMENTS,
    ("exchange", "unbind"): BINDING_ARGUMENTS,
    ("queue", "declare"): QUEUE_ARGUMENTS,
    ("queue", "bind"): BINDING_ARGUMENTS,
    ("queue", "unbind"): BINDING_ARGUMENTS,
    ("basic", "consume"): CONSUMER_ARGUMENTS,
}
PROPERTIES: Final = (  # in wire order: name and type
    *(("content_type", "ss"), ("content_encoding", "ss"), ("headers", "F"), ("delivery_mode", "u8")),
    *(("priority", "u8"), ("correlation_id", "ss"), ("reply_to", "ss"), ("expiration", "ss")),
    *(("message_id", "ss"), ("timestamp", "u64"), ("type", "ss"), ("user_id", "ss"), ("app_id", "ss")),
    ("cluster_id", "ss"),
)
SIZES: Final = (*(0, 1, 7, 7, 100, 100, 100, 1000, 4088, 4089) * 8, 20_000, 300_000)
Values: TypeAlias = dict[str, bytes | int]  # of arguments by name: bits as numbers, everything else as bytes
STEP: Final = 4088  # bytes of a body in one frame


@dataclass(frozen=True)
class Method:
    """A method of the specification. arguments: name and type of each, in wire order."""

    group: str
    name: str
    index: tuple[int, int]
    arguments: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        return f"{self.group}.{self.name}"


@dataclass(frozen=True)
class Frame:
    """One frame. channel: None for the hit's own. size: what it says of its length. None for the truth."""

    kind: int
    payload: bytes
    channel: int | None = None
    size: int | None = None
    end: bytes = FRAME_END

    def bytes_on(self, channel: int) -> bytes:
        """As it is sent."""
        number = channel if self.channel is None else self.channel
        size = len(self.payload) if self.size is None else self.size
        return struct.pack(">BHI", self.kind, number, size) + self.payload + self.end


@dataclass(frozen=True)
class Hit:
    """Frames that are sent together. what: for people. hangs: nobody can know where the next frame begins."""

    what: str
    frames: tuple[Frame, ...]
    hangs: bool = False

    def bytes_on(self, channel: int) -> bytes:
        """As they are sent."""
        return b"".join(frame.bytes_on(channel) for frame in self.frames)


def read_methods() -> list[Method]:
    """All methods of the specification."""
    found = []
    for group, content in tomllib.loads(SPEC.read_text()).items():
        for name, (number, said) in content["methods"].items():
            pairs = [tuple(part.split()) for part in said.split(",") if part.strip()]
            found.append(Method(group, name, (content["id"], number), tuple((each[0], each[1]) for each in pairs)))
    return found


METHODS: Final = read_methods()
BY_NAME: Final = {str(method): method for method in METHODS}


def payload(method: Method, values: Values) -> bytes:
    """The payload of a method. values: bits as numbers, everything else as bytes."""
    out = struct.pack(">HH", *method.index)
    bits: list[int] = []
    for name, kind in (*method.arguments, ("", "")):
        if kind == "bit":
            bits.append(int(values[name]))
            continue
        if bits:
            out += bytes([sum(bit << at for at, bit in enumerate(bits))])
            bits = []
        if name:
            value = values[name]
            assert isinstance(value, bytes)
            out += value
    return out


def likely(name: str, kind: str, method: Method, chance: random.Random) -> bytes | int:
    """A value that makes sense."""
    if kind == "bit":
        is_rare = name in ("passive", "exclusive", "immediate", "nowait", "if_unused", "if_empty", "internal", "global")
        return int(chance.random() < (0.1 if is_rare else 0.5))
    if kind == "F":
        if str(method) == "queue.declare":
            return encode_table(QUEUES[chance.choice(QUEUE_NAMES)])
        return encode_table({})
    if kind in edges.BITS:
        small = {"delivery_tag": chance.randrange(6), "prefetch_count": chance.randrange(1, 20)}.get(name, 0)
        return small.to_bytes(edges.BITS[kind] // 8, "big")
    if name == "type":
        text = chance.choice(list(TYPES))
    elif name == "queue" or (name == "routing_key" and chance.random() < 0.6):
        text = chance.choice(QUEUE_NAMES)
    elif name in ("exchange", "source", "destination"):
        text = chance.choice(EXCHANGE_NAMES if method.name != "publish" else ("", "", *EXCHANGE_NAMES))
    elif name == "consumer_tag":
        text = f"t{chance.randrange(3)}"
    else:
        text = ""
    return short_string(text) if kind == "ss" else struct.pack(">I", len(text)) + text.encode()


def edge_values(kind: str) -> list[bytes | int]:
    """All edges of an argument."""
    if kind == "bit":
        return [0, 1]
    if kind in edges.BITS:
        bits = edges.BITS[kind]
        return [number.to_bytes(bits // 8, "big") for number in edges.numbers(bits, False)]
    if kind == "ss":
        return [*map(short_string, edges.TEXTS), b"\xff", b"\xffab", b"\x02\xc3\x28"]
    if kind == "ls":
        found: list[bytes | int] = [struct.pack(">I", len(text)) + text for text in edges.LONG_TEXTS]
        return [*found, b"\xff\xff\xff\xff", b"\x00\x00\x00\x09a"]
    tables: list[bytes | int] = [edges.table(("k", field)) for field in edges.fields()]
    tables += [edges.table(("k", field)) for field in edges.broken_fields()]
    return [*tables, b"\x00\x00\x00\x00", b"\x00\x00\x00\x01", b"\xff\xff\xff\xff", edges.table((b"\xff" * 255, b"V"))]


def with_values(method: Method, chance: random.Random, **given: bytes | int) -> Values:
    """Values for all arguments: those that are given, and likely ones."""
    return {**{name: likely(name, kind, method, chance) for name, kind in method.arguments}, **given}


def hit(method: Method, values: Values, what: str, chance: random.Random) -> Hit:
    """A method; a publish has its content."""
    frames = [Frame(METHOD, payload(method, values))]
    if str(method) == "basic.publish":
        frames += content(chance)
    return Hit(f"{method} {what}".rstrip(), tuple(frames))


def content(chance: random.Random, properties: bytes | None = None, size: int | None = None) -> list[Frame]:
    """A content header and its body."""
    body = bytes(chance.choice(SIZES) if size is None else size)
    if properties is None:
        properties = chance.choice((b"\x00\x00", b"\x10\x00\x02", b"\x10\x00\x02", b"\x18\x00\x02\x03"))
    header = struct.pack(">HHQ", 60, 0, len(body)) + properties
    return [Frame(HEADER, header), *(Frame(BODY, body[at : at + STEP]) for at in range(0, len(body), STEP))]


def every_argument(chance: random.Random) -> Iterator[Hit]:
    """Every argument of every method with each of its edges, and every method that has none."""
    for method in METHODS:
        if not method.arguments:
            yield hit(method, {}, "", chance)
        for name, kind in method.arguments:
            for number, value in enumerate(edge_values(kind)):
                values = with_values(method, chance, **{name: value})
                yield hit(method, values, f"{name} edge {number}", chance)
        yield Hit(f"{method} cut short", (Frame(METHOD, payload(method, with_values(method, chance))[:-1]),))
        yield Hit(f"{method} too long", (Frame(METHOD, payload(method, with_values(method, chance)) + b"\x00" * 9),))


def every_field(chance: random.Random) -> Iterator[Hit]:
    """Every x-argument of queues, exchanges, bindings and consumers with every field."""
    values = edges.fields()
    for key, names in TABLES.items():
        method = BY_NAME[".".join(key)]
        for name in names:
            for number, field in enumerate(values):
                entries = [(name, field)]
                if key == ("queue", "declare"):
                    said: Values = {"queue": short_string(f"h.field{chance.randrange(20)}"), "passive": 0, "nowait": 0}
                    if chance.random() < 0.3 and name != "x-queue-type":
                        entries.append(("x-queue-type", encode_value("quorum")))
                        said |= {"durable": 1, "exclusive": 0, "auto_delete": 0}
                elif key == ("exchange", "declare"):
                    said = {"exchange": short_string(f"h.field{chance.randrange(20)}"), "passive": 0}
                else:
                    said = {}
                given = with_values(method, chance, **said, arguments=edges.table(*entries))
                yield hit(method, given, f"{name} field {number}", chance)


def every_property(chance: random.Random) -> Iterator[Hit]:
    """Every property and every header of a message with each of its edges, and content that is none."""
    method = BY_NAME["basic.publish"]
    cases: list[tuple[str, bytes]] = []
    for at, (name, kind) in enumerate(PROPERTIES):
        flags = struct.pack(">H", 1 << (15 - at))
        cases += [(f"{name} edge {number}", flags + _octets(value)) for number, value in enumerate(edge_values(kind))]
    texts = [str(number).encode() for number in (*edges.NUMBERS, *edges.BEYOND)]
    cases += [(f"expiration {text!r}", b"\x01\x00" + short_string(text)) for text in texts]
    for header in MESSAGE_HEADERS:
        for number, field in enumerate(edges.fields()):
            cases.append((f"{header} field {number}", b"\x20\x00" + edges.table((header, field))))
    for number, field in enumerate(edges.fields()):
        death = b"A" + _long(
            b"F" + edges.table(("count", field), ("queue", field), ("reason", encode_value("rejected")))
        )
        cases.append((f"death {number}", b"\x20\x00" + edges.table(("x-death", death))))
    cases += [("flags without end", b"\x00\x01" * 20), ("no flags", b""), ("all flags", b"\xff\xfe")]
    for what, properties in cases:
        frames = [Frame(METHOD, payload(method, with_values(method, chance)))]
        yield Hit(f"basic.publish {what}", (*frames, *content(chance, properties, chance.choice((0, 3, 5000)))))


def _octets(value: bytes | int) -> bytes:
    assert isinstance(value, bytes)
    return value


def _long(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def every_nonsense(chance: random.Random) -> Iterator[Hit]:
    """Frames that are none, or that come at a wrong time."""
    publish = Frame(METHOD, payload(BY_NAME["basic.publish"], with_values(BY_NAME["basic.publish"], chance)))
    header = Frame(HEADER, struct.pack(">HHQ", 60, 0, 5) + b"\x00\x00")
    body = Frame(BODY, b"12345")
    for kind in range(256):
        yield Hit(f"frame type {kind}", (Frame(kind, chance.randbytes(chance.randrange(12))),))
    for channel in (0, 2047, 2048, 65535):
        for frame in (publish, header, body, Frame(HEARTBEAT, b"")):
            yield Hit(f"kind {frame.kind} on channel {channel}", (Frame(frame.kind, frame.payload, channel),))
    for size in (0, 1, 3, 4, 131_064, 131_065, 2**31, 2**32 - 1):
        for kind in (METHOD, HEADER, BODY, HEARTBEAT):
            yield Hit(f"kind {kind} says size {size}", (Frame(kind, b"1234", None, size),), True)
    for octet in (0, 1, 205, 207, 255):
        yield Hit(f"end byte {octet}", (Frame(METHOD, publish.payload, None, None, bytes([octet])),))
    orders = ((header,), (body,), (publish, body), (publish, publish), (publish, header, publish), (header, body))
    for number, order in enumerate(orders):
        yield Hit(f"content order {number}", order)
    for size in (0, 4, 6, MAX_MESSAGE_SIZE, MAX_MESSAGE_SIZE + 1, 2**63, 2**64 - 1):
        yield Hit(
            f"body of {size}", (publish, Frame(HEADER, struct.pack(">HHQ", 60, 0, size) + b"\x00\x00"), body), True
        )
    for class_id, weight in ((0, 0), (61, 0), (60, 1), (65535, 65535)):
        head = Frame(HEADER, struct.pack(">HHQ", class_id, weight, 5) + b"\x00\x00")
        yield Hit(f"header of class {class_id}, weight {weight}", (publish, head, body))
    yield Hit("heartbeat on the channel", (Frame(HEARTBEAT, b""), Frame(HEARTBEAT, b"x")))
    yield Hit("heartbeats", (Frame(HEARTBEAT, b"", 0),) * 500)
    yield Hit(
        "crumbs", (publish, Frame(HEADER, struct.pack(">HHQ", 60, 0, 300) + b"\x00\x00"), *(Frame(BODY, b"1"),) * 300)
    )
    yield Hit("empty pieces", (publish, header, *(Frame(BODY, b""),) * 300, body))
    for class_id in (0, 10, 60, 61, 65535):
        for method_id in (0, 1, 65535):
            yield Hit(f"method {class_id}.{method_id}", (Frame(METHOD, struct.pack(">HH", class_id, method_id)),))
    for size in (0, 1, 2, 3):
        yield Hit(f"method of {size} bytes", (Frame(METHOD, b"\x00\x3c\x00"[:size]),))
    for number in range(40):
        yield Hit(f"noise {number}", (Frame(chance.choice((1, 2, 3)), chance.randbytes(chance.randrange(200))),))
        noise = chance.randbytes(chance.randrange(1, 300))
        yield Hit(f"bare noise {number}", (Frame(noise[0], noise, None, chance.randrange(500), noise[:1]),), True)


CLIENT_METHODS: Final = tuple(
    BY_NAME[name]
    for name in (
        *("exchange.declare", "exchange.delete", "exchange.bind", "exchange.unbind"),
        *("queue.declare", "queue.bind", "queue.unbind", "queue.purge", "queue.delete"),
        *("basic.qos", "basic.consume", "basic.consume", "basic.cancel", "basic.get", "basic.get"),
        *("basic.ack", "basic.reject", "basic.nack", "basic.recover", "basic.recover-async"),
        *("confirm.select", "tx.select", "tx.commit", "tx.rollback"),
    )
)
PUBLISH_SHARE: Final = 0.5
EDGE_SHARE: Final = 0.03  # of the arguments in stories


def stories(chance: random.Random) -> Iterator[Hit]:
    """Without end: sequences of methods that mostly make sense."""
    while True:
        frames: list[Frame] = []
        names: list[str] = []
        for _ in range(chance.randint(5, 40)):
            publishes = chance.random() < PUBLISH_SHARE
            method = BY_NAME["basic.publish"] if publishes else chance.choice(CLIENT_METHODS)
            edge = {
                name: chance.choice(edge_values(kind))
                for name, kind in method.arguments
                if chance.random() < EDGE_SHARE and kind != "F"
            }
            one = hit(method, with_values(method, chance, **edge), "", chance)
            frames += one.frames
            names.append(one.what)
        yield Hit(f"story {' '.join(dict.fromkeys(names))}", tuple(frames))


def setup() -> list[Hit]:
    """Declares what attackers share."""
    found = []
    chance = random.Random(0)
    for name, type_ in EXCHANGES.items():
        table = encode_table(TYPES[type_])
        given: Values = {"exchange": short_string(name), "type": short_string(type_), "durable": 1, "arguments": table}
        off: Values = {"passive": 0, "auto_delete": 0, "internal": 0, "nowait": 0}
        method = BY_NAME["exchange.declare"]
        found.append(hit(method, with_values(method, chance, **off, **given), name, chance))
    for name, arguments_ in QUEUES.items():
        given = {"queue": short_string(name), "durable": 1, "arguments": encode_table(arguments_)}
        off = {"passive": 0, "exclusive": 0, "auto_delete": 0, "nowait": 0}
        method = BY_NAME["queue.declare"]
        found.append(hit(method, with_values(method, chance, **off, **given), name, chance))
        method = BY_NAME["queue.bind"]
        for exchange in EXCHANGE_NAMES:
            key = "1" if "hash" in exchange else name
            given = {"queue": short_string(name), "exchange": short_string(exchange), "routing_key": short_string(key)}
            found.append(hit(method, with_values(method, chance, **given, nowait=0), name, chance))
    return found


def teardown() -> list[Hit]:
    """Deletes everything that can have been declared."""
    found = []
    chance = random.Random(0)
    names = [*map(str.encode, (*QUEUE_NAMES, *EXCHANGE_NAMES)), *edges.TEXTS]
    names += [f"h.field{number}".encode() for number in range(20)]
    for kind in ("queue", "exchange"):
        method = BY_NAME[f"{kind}.delete"]
        for name in names:
            given: Values = {kind: short_string(name), "if_unused": 0, "nowait": 0}
            if kind == "queue":
                given["if_empty"] = 0
            found.append(hit(method, with_values(method, chance, **given), "", chance))
    return found
