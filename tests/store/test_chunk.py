"""Chunks: packed and read again, and any damage is seen."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leveret.core.message.message import Message, Provenance, address
from leveret.store.chunk import ALL, FOREVER_MS, DamagedChunk, Entry, Head, Label, Place, pack, parse, trim
from leveret.wire.content import make_content

NAMES = st.binary(max_size=20).map(lambda raw: raw.decode("utf-8", "surrogateescape"))
NUMBERS = st.integers(1, (1 << 63) - 1)
QUEUES = st.one_of(st.integers(-3, -1), st.integers(1, 3), st.integers(1, (1 << 62) - 1))
COUNTS = st.one_of(st.just(0), st.integers(0, (1 << 63) - 1))
PLACES = st.lists(
    st.tuples(QUEUES, NUMBERS, st.integers(0, 1 << 50), st.integers(0, 255), COUNTS),
    max_size=5,
    unique_by=lambda place: place[:2],
)
TIMES = st.one_of(st.sampled_from([0, 1_700_000_000_000]), st.integers(0, 1 << 50))
ORIGINS = st.one_of(st.none(), st.tuples(NAMES, st.integers(0, (1 << 63) - 1)))
KEYS = st.lists(st.one_of(NAMES, st.just("long" * 100)), max_size=2).map(tuple)
Spot = tuple[int, int, int, int, int]
Keys = tuple[str, ...]
Row = tuple[str, str, Keys, Keys, bytes, bool, bool, int, tuple[str, int] | None, list[Spot]]
ROWS = st.lists(
    st.tuples(
        *(NAMES, NAMES, KEYS, KEYS, st.binary(max_size=80), st.booleans(), st.booleans(), TIMES, ORIGINS, PLACES)
    ),
    max_size=8,
)


def entries_of(rows: list[Row]) -> list[Entry]:
    """Messages in their places; those without places are none."""
    return [entry for row in rows for entry in entries_of_one(row)]


def entries_of_one(row: Row) -> list[Entry]:
    """A message in its places."""
    exchange, key, copies, hidden, body, persistent, has_died, arrived_ms, origin, places = row
    content = make_content(b"\x10\x00\x02" if persistent else b"\x00\x00", body)
    message = Message(address(exchange, key, copies, hidden), content, persistent, has_died)
    message.arrived_ms = arrived_ms
    message.provenance = Provenance(*origin) if origin is not None else None
    entries: list[Entry] = []
    for queue_id, position, deadline_ms, level, counts in places:
        entry = Entry(queue_id, position, deadline_ms, level, message)
        entry.counts = counts
        entries.append(entry)
    return entries


def spot_of(place: Place) -> Spot:
    """What is known of a place."""
    return (place.queue_id, place.position, place.deadline_ms, place.level, place.counts)


def content_of(label: Label, data: bytes) -> bytes:
    """What the data has for a label."""
    return data[label.start : label.start + label.length]


def rows_of(head: Head, data: bytes) -> list[Row]:
    """What is in a chunk."""
    found: list[Row] = []
    for label in head.labels:
        message = head.message(label, content_of(label, data))
        assert label.size == message.size
        where = message.address
        assert where.encoded == address(where.exchange, where.routing_key).encoded
        keys = where.exchange, where.routing_key, where.copies, where.hidden
        came_from = message.provenance
        origin = (came_from.name, came_from.number) if came_from is not None else None
        about = message.persistent, message.has_died, message.arrived_ms, origin
        found.append((*keys, message.body(), *about, [spot_of(place) for place in label.places]))
    return found


def placed(rows: list[Row]) -> list[Row]:
    """Those that have a place."""
    return [row for row in rows if row[-1]]


@given(ROWS)
def test_round_trip(rows: list[Row]) -> None:
    head, data = pack(entries_of(rows))
    assert parse(head).count == len(placed(rows))
    assert rows_of(parse(head), data) == placed(rows)


@given(st.lists(st.integers(0, 2), max_size=12))
def test_a_message_in_many_places_is_there_once(run: list[int]) -> None:
    where = address("x", "key")
    messages = [Message(where, make_content(b"\x00\x00", bytes((number,))), False) for number in range(3)]
    head, data = pack([Entry(at, 7, 0, 0, messages[number]) for at, number in enumerate(run, 1)])
    found = parse(head)
    assert [place.queue_id for label in found.labels for place in label.places] == list(range(1, len(run) + 1))
    assert [found.message(label, content_of(label, data)).body()[0] for label in found.labels] == [
        number for at, number in enumerate(run) if at == 0 or run[at - 1] != number
    ]


def test_messages_that_came_the_same_way_share_an_address() -> None:
    where = address("x", "key" * 50)
    entries = [Entry(1, at, 0, 0, Message(where, make_content(b"\x00\x00", b""), False)) for at in range(1, 11)]
    head, data = pack(entries)
    found = parse(head)
    assert len(found.encoded) == 1
    messages = [found.message(label, content_of(label, data)) for label in found.labels]
    assert len({id(message.address) for message in messages}) == 1


@given(ROWS, QUEUES)
def test_what_is_said_of_one_queue(rows: list[Row], queue: int) -> None:
    head, data = pack(entries_of(rows))
    of_queue = [(*row[:-1], [place for place in row[-1] if place[0] == queue]) for row in rows]
    assert rows_of(parse(head, queue), data) == placed(of_queue)


@given(ROWS, st.data())
def test_what_is_crossed_out_is_trimmed_away(rows: list[Row], data: st.DataObject) -> None:
    places = sorted({(place[0], place[1]) for row in rows for place in row[-1]})
    ends = sorted({(place[0], ALL) for place in places})
    gone = set(data.draw(st.lists(st.sampled_from(places + ends)))) if places else set()
    head, contents = pack(entries_of(rows))
    found = parse(head)
    found.cross_out(gone)
    left = [
        (*row[:-1], [place for place in row[-1] if place[:2] not in gone and (place[0], ALL) not in gone])
        for row in rows
    ]
    head, contents = trim(found, contents)
    assert rows_of(parse(head), contents) == placed(left)
    assert parse(head).count == len(placed(left))


@given(ROWS, st.data())
def test_what_was_counted_since_is_added(rows: list[Row], data: st.DataObject) -> None:
    places = sorted({(place[0], place[1]) for row in rows for place in row[-1]})
    counts = {place: data.draw(COUNTS) for place in places if data.draw(st.booleans())}
    head, contents = pack(entries_of(rows))
    found = parse(head)
    found.add_counts(counts)
    head, contents = trim(found, contents)
    expected: list[Row] = []
    for row in placed(rows):
        spots: list[Spot] = []
        for spot in row[-1]:
            spots.append((*spot[:4], max(spot[4], counts.get(spot[:2], 0))))
        expected.append((*row[:-1], spots))
    assert rows_of(parse(head), contents) == expected


def test_messages_that_arrive_together_say_so_once() -> None:
    where = address("x", "key")
    sizes: list[int] = []
    for times in ([0, 0, 0], [5, 5, 5], [5, 6, 7]):
        entries: list[Entry] = []
        for position, arrived_ms in enumerate(times, 1):
            message = Message(where, make_content(b"\x00\x00", b""), False)
            message.arrived_ms = arrived_ms
            entries.append(Entry(1, position, 0, 0, message))
        sizes.append(len(pack(entries)[0]))
    assert [size - sizes[0] for size in sizes] == [0, 8, 24]


@given(ROWS, st.data())
def test_a_damaged_head_is_seen(rows: list[Row], data: st.DataObject) -> None:
    head, _ = pack(entries_of(rows))
    broken = bytearray(head)
    broken[data.draw(st.integers(0, len(head) - 1))] ^= data.draw(st.integers(1, 255))
    for damaged in (bytes(broken), head[: data.draw(st.integers(0, len(head) - 1))]):
        with pytest.raises(DamagedChunk):
            parse(damaged)


@given(ROWS.filter(placed), st.data())
def test_damage_costs_the_messages_that_it_hits(rows: list[Row], data: st.DataObject) -> None:
    head, contents = pack(entries_of(rows))
    broken = bytearray(contents)
    hit = data.draw(st.integers(0, len(contents) - 1))
    broken[hit] ^= data.draw(st.integers(1, 255))
    found = parse(head)
    for label in found.labels:
        if label.start <= hit < label.start + label.length:
            with pytest.raises(DamagedChunk):
                found.message(label, content_of(label, bytes(broken)))
        else:
            found.message(label, content_of(label, bytes(broken)))


def test_data_that_is_cut_short_is_not_trimmed() -> None:
    head, data = pack(entries_of([("x", "key", (), (), b"body", True, False, 0, None, [(1, 1, 0, 0, 0)])]))
    with pytest.raises(DamagedChunk, match="head and data are inconsistent"):
        trim(parse(head), data[:-1])


@pytest.mark.parametrize("number", [0, 3, 6])
def test_another_format_is_refused(number: int) -> None:
    head, _ = pack([])
    head = bytes((number,)) + head[1:-4]
    with pytest.raises(DamagedChunk, match="unknown format"):
        parse(head + zlib.crc32(head).to_bytes(4, "big"))


@pytest.mark.parametrize(("queue", "position"), [(0, 1), (-(1 << 63), 1), (1, 0), (1, -1), (1, -(1 << 63))])
def test_places_that_cannot_be(queue: int, position: int) -> None:
    sent = Message(address("x", "key"), make_content(b"\x00\x00", b""), False)
    head, _ = pack([Entry(1, 1, 0, 0, sent), Entry(queue, position, 0, 0, sent)])
    with pytest.raises(DamagedChunk, match="it contains an invalid place"):
        parse(head)


@pytest.mark.parametrize("deadline_ms", [FOREVER_MS + 1, (1 << 63) - 1, -1, -(1 << 63)])
def test_a_deadline_beyond_all_others_never_comes(deadline_ms: int) -> None:
    sent = Message(address("x", "key"), make_content(b"\x00\x00", b""), False)
    head, _ = pack([Entry(1, 1, deadline_ms, 0, sent)])
    assert [place.deadline_ms for label in parse(head).labels for place in label.places] == [FOREVER_MS]


def test_a_message_without_an_address() -> None:
    sent = Message(address("x", "key"), make_content(b"\x00\x00", b""), False)
    head = bytearray(pack([Entry(1, 1, 0, 0, sent)])[0][:-4])
    head[-13] = 7  # the number of the address, in front of three of four bytes
    with pytest.raises(DamagedChunk, match="its parts do not belong together"):
        parse(bytes(head) + zlib.crc32(head).to_bytes(4, "big"))
