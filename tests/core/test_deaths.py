"""The x-death headers of dead letters: byte-identical to a slow implementation that decodes everything."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from leveret.core.message.deaths import REJECTED, Deaths, recorded
from leveret.core.message.message import Message, address
from leveret.core.queue.dead_letter import EXPIRED, MAXLEN
from leveret.wire import patch
from leveret.wire.content import make_content
from leveret.wire.fields import (
    ARRAY,
    DECIMAL,
    FLOAT64,
    INT8,
    TIMESTAMP,
    UINT16,
    VOID,
    Field,
    Table,
    array,
    boolean,
    long,
    longstr,
    signedint,
    table,
    timestamp,
)
from leveret.wire.properties import BasicProperties

QUEUES = ["q", "qq", "", "é", "x" * 255, "\udcff"]
REASONS = ["rejected", EXPIRED, MAXLEN]
KEYS = ["", "k", "a.b", "\udc80"]

# Names as clients have them, in any order; two levels of what can be inside each other.
NAMES = st.sampled_from(["a", "b", "A", "x-death", "x-first-death-queue", "x-last-death-reason", "x-delivery-count",
                         "x-deat", "x-deaths", "z", "", "é"])  # fmt: skip
SIMPLE = st.one_of(
    st.builds(longstr, st.binary(max_size=8)),
    st.builds(long, st.integers(-(1 << 63), (1 << 63) - 1)),
    st.builds(signedint, st.integers(-(1 << 31), (1 << 31) - 1)),
    st.builds(boolean, st.booleans()),
    st.builds(timestamp, st.integers(0, (1 << 64) - 1)),
    st.just(Field(VOID, None)),
    st.builds(lambda value: Field(INT8, value), st.integers(-128, 127)),
    st.builds(lambda value: Field(UINT16, value), st.integers(0, 65535)),
    st.builds(lambda value: Field(FLOAT64, value), st.floats(allow_nan=False)),
    st.just(Field(DECIMAL, (2, 31415))),
    st.just(Field(TIMESTAMP, 1)),
)
VALUES = st.one_of(
    SIMPLE, st.builds(array, st.lists(SIMPLE, max_size=3)), st.builds(table, st.dictionaries(NAMES, SIMPLE))
)
TABLES = st.dictionaries(NAMES, VALUES, max_size=8)


@st.composite
def contents(draw: st.DrawFn) -> BasicProperties:
    """Properties of any kind."""
    properties = BasicProperties()
    properties.content_type = draw(st.sampled_from([None, "", "text/plain"]))
    properties.content_encoding = draw(st.sampled_from([None, "gzip"]))
    properties.headers = draw(st.one_of(st.none(), TABLES))
    properties.delivery_mode = draw(st.sampled_from([None, 1, 2]))
    properties.priority = draw(st.sampled_from([None, 0, 9]))
    properties.expiration = draw(st.sampled_from([None, "0", "60000"]))
    properties.timestamp = draw(st.sampled_from([None, 0, 1 << 40]))
    properties.cluster_id = draw(st.sampled_from([None, "c"]))
    return properties


def of(properties: BasicProperties, has_died: bool = False) -> Message:
    """A message with these properties."""
    where = address("exchange", "key", ("copy",), ("hidden",))
    return Message(where, make_content(properties.encode(), b"body"), properties.delivery_mode == 2, has_died)


def slow(message: Message, queue: str, reason: str, died_s: int) -> bytes:
    """The content of the dead letter, computed with decoded headers."""
    properties = message.properties()
    headers = dict(properties.headers or {})
    if message.is_counted:
        for name in ("x-delivery-count", "x-acquired-count"):
            headers.pop(name, None)
    was = headers.get("x-death")
    earlier = was.value if message.has_died and was is not None and was.kind == ARRAY else []
    assert isinstance(earlier, list)
    death: Table = {}
    for item in earlier:
        if item.value["queue"] == longstr(queue) and item.value["reason"] == longstr(reason):
            death = {**item.value, "count": long(item.value["count"].integer + 1)}
    others = [item for item in earlier if not death or item.value["routing-keys"] is not death["routing-keys"]]
    if not death:
        if properties.expiration is not None:
            death["original-expiration"] = longstr(properties.expiration)
        death["count"] = long(1)
        death["reason"] = longstr(reason)
        death["queue"] = longstr(queue)
        death["time"] = timestamp(died_s)
        death["exchange"] = longstr(message.address.exchange)
        keys = [message.address.routing_key, *message.address.copies]
        death["routing-keys"] = array([longstr(key) for key in keys])
    headers["x-death"] = array([table(death), *others])
    for about, value in (("reason", reason), ("queue", queue), ("exchange", message.address.exchange)):
        if not earlier:
            headers[f"x-first-death-{about}"] = longstr(value)
        headers[f"x-last-death-{about}"] = longstr(value)
    raw = sorted((name.encode("utf-8", "surrogateescape"), name) for name in headers)
    properties.headers = {name: headers[name] for _, name in raw}
    properties.expiration = None
    return make_content(properties.encode(), b"body")


def died(message: Message, queue: str, reason: str, died_s: int) -> Message:
    """The message after one more death."""
    headers = recorded(message, queue.encode("utf-8", "surrogateescape"), reason.encode(), died_s)
    where = address("dlx", message.address.routing_key)
    content = patch.with_headers(message.content, headers, False)
    return Message(where, content, message.persistent, True)


DEATHS = st.lists(st.tuples(st.sampled_from(QUEUES), st.sampled_from(REASONS)), min_size=1, max_size=12)


@given(contents(), DEATHS, st.booleans())
def test_each_is_as_if_all_were_decoded(
    properties: BasicProperties, ways: list[tuple[str, str]], counted: bool
) -> None:
    message = of(properties)
    message.is_counted = counted
    for died_s, (queue, reason) in enumerate(ways):
        expected = slow(message, queue, reason, died_s)
        message = died(message, queue, reason, died_s)
        assert message.content == expected


@given(DEATHS)
def test_cycles(ways: list[tuple[str, str]]) -> None:
    message = of(BasicProperties())
    entries: list[tuple[str, str]] = []  # the newest first
    for queue, reason in ways:
        message = died(message, queue, reason, 0)
        entries = [(queue, reason), *[each for each in entries if each != (queue, reason)]]
    since: list[str] = []
    for queue, reason in entries:
        if reason == REJECTED.decode():
            break
        since.append(queue)
    for queue in [*QUEUES, "other"]:
        assert Deaths(message.content).is_cycle(queue.encode("utf-8", "surrogateescape")) == (queue in since)


def test_many_targets_are_compared_with_the_same_deaths() -> None:
    message = died(died(of(BasicProperties()), "a", EXPIRED, 0), "b", EXPIRED, 0)
    deaths = Deaths(message.content)
    assert [deaths.is_cycle(name) for name in (b"c", b"a", b"c", b"b")] == [False, True, False, True]


def test_what_only_looks_like_an_entry_is_none() -> None:
    properties = BasicProperties()
    properties.headers = {"t": table({"queue": longstr("q"), "reason": longstr(EXPIRED)})}
    message = died(of(properties), "other", EXPIRED, 0)
    assert not Deaths(message.content).is_cycle(b"q")
    assert Deaths(message.content).of(b"q", b"expired") == (-1, -1)


def test_an_entry_that_was_imported_without_a_count() -> None:
    properties = BasicProperties()
    entry = table({"reason": longstr(EXPIRED), "queue": longstr("q")})
    properties.headers = {"x-death": array([longstr("none"), entry])}
    message = died(of(properties, has_died=True), "q", EXPIRED, 0)
    headers = message.properties().headers
    assert headers is not None
    first = table({"reason": longstr(EXPIRED), "queue": longstr("q"), "count": long(1)})
    assert headers["x-death"] == array([first, longstr("none")])
