"""Values at the edges of every type: of arguments of methods, of fields in tables, and of JSON.

All of them are made when they are asked for, in the same order each time, so that a seed chooses the same ones again.
"""

from __future__ import annotations

import json
import struct
from typing import Final

from leveret.wire.fields import MAX_DEPTH
from tests.clients.codec import Typed, encode_value, long_string, short_string

BITS: Final = {"u8": 8, "u16": 16, "u32": 32, "u64": 64}
LARGE: Final = 64 << 10  # bytes of a large text
NUMBERS: Final = (
    *(0, 1, -1, 9, 10, 127, 128, 255, 256, -128, -129),
    *(2**15 - 1, 2**15, -(2**15), 2**16 - 1, 2**16, 2**31 - 1, 2**31, -(2**31), 2**32 - 1, 2**32),
    *(2**48, 2**62, 2**63 - 1, -(2**63)),
)
BEYOND: Final = (2**63, 2**64 - 1, 2**64, -(2**63) - 1, 10**20, 10**40, -(10**20))  # of JSON, and of digits in a text

NOT_UTF8: Final = b"\xff\xfe\x80"
SURROGATE: Final = b"\xed\xa0\x80"  # half a character, as a careless encoder writes it
TEXTS: Final = (
    *(b"", b"a", b"\x00", b"a\x00b", b"\n", b" ", NOT_UTF8, SURROGATE, "\u00e4\U0001f407".encode()),
    *(b"a" * 127, b"a" * 254, b"a" * 255, b"." * 255, b"#", b"*.#", b"amq.direct", b"amq.rabbitmq.reply-to"),
    *(b"amq.rabbitmq.reply-to.g1h2AA", b"amq.gen-x", b"0", b"-1", b"1e3", b"0x10", b"9" * 255),
)
LONG_TEXTS: Final = (*TEXTS, b"a" * 256, b"a" * LARGE, NOT_UTF8 * 100)
FIXED: Final = {"b": (8, True), "B": (8, False), "s": (16, True), "u": (16, False), "I": (32, True), "i": (32, False)}
WIDE: Final = {"l": True, "L": True, "T": False}  # 64 bits; whether with a sign
KNOWN_TAGS: Final = frozenset(b"tbBsuIilLfdDSxTAFV")
FLOATS: Final = (0.0, -0.0, 1.0, -1.5, 1e308, 5e-324, float("nan"), float("inf"), float("-inf"))
DEPTHS: Final = (MAX_DEPTH - 1, MAX_DEPTH, MAX_DEPTH + 1, 4 * MAX_DEPTH)


def numbers(bits: int, signed: bool) -> list[int]:
    """The edges that fit into so many bits."""
    least, most = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    return [number for number in dict.fromkeys((*NUMBERS, least, most)) if least <= number <= most]


def nested(depth: int, tag: str) -> bytes:
    """A field of so many tables, or arrays, inside each other."""
    value = encode_value("x")
    for _ in range(depth):
        value = tag.encode() + long_string(short_string("k") + value if tag == "F" else value)
    return value


def table(*entries: tuple[str | bytes, bytes]) -> bytes:
    """A table of fields that are encoded already; keys may come twice."""
    return long_string(b"".join(short_string(key) + value for key, value in entries))


def fields() -> list[bytes]:
    """Fields of every type with the edges of each, of types that do not exist, and broken ones."""
    found = [
        encode_value(Typed(tag, number)) for tag, (bits, signed) in FIXED.items() for number in numbers(bits, signed)
    ]
    found += [encode_value(Typed(tag, number)) for tag, signed in WIDE.items() for number in numbers(64, signed)]
    found += [encode_value(Typed("d", number)) for number in FLOATS]
    found += [b"f" + struct.pack(">f", number) for number in FLOATS if abs(number) < 1e38 or number != number]
    found += [b"D" + struct.pack(">BI", scale, number) for scale in (0, 1, 255) for number in (0, 2**31, 2**32 - 1)]
    found += [b"t" + bytes([octet]) for octet in (0, 1, 2, 255)]
    found += [tag + long_string(text) for tag in (b"S", b"x") for text in LONG_TEXTS]
    found += [b"S" + long_string(str(number).encode()) for number in BEYOND]
    found += [b"V", b"F" + long_string(b""), b"A" + long_string(b"")]
    found += [nested(depth, tag) for tag in "FA" for depth in DEPTHS]
    twice = (("x-match", encode_value("all")), ("x-match", encode_value("any")), ("", encode_value(1)))
    found += [b"F" + table(*twice), b"A" + long_string(encode_value(1) * 1000)]
    return found


def broken_fields() -> list[bytes]:
    """Fields that nobody can read: each type that does not exist, and lengths that are not true."""
    unknown = [bytes([octet]) + bytes(8) for octet in range(256) if octet not in KNOWN_TAGS]
    lengths = [tag + struct.pack(">I", size) for tag in (b"S", b"x", b"F", b"A") for size in (1, 2**31, 2**32 - 1)]
    return [*unknown, *lengths, b"", b"l\x00", b"F" + long_string(b"\x05ab"), b"A" + long_string(b"S\x00")]


def json_values() -> list[str]:
    """JSON texts of every kind, and a few that are no JSON."""
    found = [json.dumps(number) for number in (*NUMBERS, *BEYOND)]
    found += ["1.5", "-0.0", "1e400", "NaN", "Infinity", "-Infinity", "null", "true", "false", "01", "1" * 5000]
    found += [json.dumps(text.decode("utf-8", "replace")) for text in (*TEXTS, b"a" * 256, b"a" * LARGE)]
    found += ['"\\ud800"', '"a\\udfffb"', '"\\u0000"', '""', '"(("', '"^(a|aa)+$"', '"(?<=a{1,9})b"']
    found += ["[]", "{}", "[[]]", '[""]', '{"":null}', '{"a":1,"a":2}', '{"a":{"b":[1,2,{}]}}', '["a","a"]']
    found += ["[" * depth + "1" + "]" * depth for depth in (*DEPTHS, 5000)]
    found += ['{"a":' * depth + "1" + "}" * depth for depth in DEPTHS]
    return found
